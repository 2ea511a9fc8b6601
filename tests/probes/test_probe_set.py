"""Draw, duplicates, order and key."""

from __future__ import annotations

import random
import string
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from depara.identity import probe_set_key
from depara.probes import ProbeMeta, build_probe_set, draw_order
from depara.types import DecodedProbe, ProbeRef

NAMES = st.lists(
    st.text(string.ascii_lowercase + "/.é#", min_size=1, max_size=12), unique=True, max_size=30
)


@settings(deadline=None)
@given(names=NAMES, seed=st.integers(-5, 2**40), shuffle=st.randoms(use_true_random=False))
def test_draw_is_a_permutation_that_no_listing_order_changes(
    names: list[str], seed: int, shuffle: random.Random
) -> None:
    refs = [ProbeRef(f"/photos/{name}", label=name) for name in names]
    drawn = draw_order(refs, seed)
    assert Counter(drawn) == Counter(refs)
    shuffled = refs.copy()
    shuffle.shuffle(shuffled)
    assert draw_order(shuffled, seed) == drawn


def test_draw_depends_on_the_seed_and_not_on_the_place() -> None:
    names = [f"{group}/{number}.jpg" for group in "ab" for number in range(50)]

    def drawn(root: str, seed: int) -> list[str]:
        refs = [ProbeRef(root + name) for name in names]
        return [ref.uri.removeprefix(root) for ref in draw_order(refs, seed)]

    assert drawn("/data/", 0) == drawn("s3://bucket/photos/", 0)
    assert drawn("/data/", 0) != drawn("/data/", 1)
    assert drawn("/data/", 0) != names


def test_draw_is_fair() -> None:
    refs = [ProbeRef(f"{number:02d}") for number in range(10)]
    firsts = Counter(draw_order(refs, seed)[0].uri for seed in range(2000))
    # 200 expected for each, standard deviation 13.4.
    assert len(firsts) == 10
    assert all(140 < count < 260 for count in firsts.values())


def test_a_source_that_grows_keeps_most_of_its_draw() -> None:
    refs = [ProbeRef(f"/photos/{number}.jpg") for number in range(1000)]
    before = {ref.uri for ref in draw_order(refs[:990], seed=3)[:200]}
    after = {ref.uri for ref in draw_order(refs, seed=3)[:200]}
    assert len(before & after) >= 190


def meta(probe_id: str, uri: str) -> ProbeMeta:
    return ProbeMeta(probe_id, uri, 40, 30, "cat")


def test_probe_set_is_ordered_and_names_each_duplicate() -> None:
    probes, failures = build_probe_set(
        [meta("c" * 64, "x"), meta("a" * 64, "y"), meta("c" * 64, "z"), meta("b" * 64, "w")]
    )
    assert [(probe.index, probe.probe_id[0], probe.uri) for probe in probes] == [
        (0, "a", "y"),
        (1, "b", "w"),
        (2, "c", "x"),
    ]
    assert (probes[0].width, probes[0].height, probes[0].label) == (40, 30, "cat")
    [failure] = failures
    assert failure.error_type == "DuplicateProbe"
    assert failure.stage == "probes"
    assert failure.probe_id == "c" * 64
    assert failure.message.startswith("z: has the same canvas as x")


def test_a_probe_given_twice_is_a_duplicate_of_itself() -> None:
    twice = meta("a" * 64, "x")
    probes, failures = build_probe_set([twice, twice])
    assert len(probes) == 1
    assert len(failures) == 1


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 15).map(lambda value: f"{value:064x}"), max_size=20))
def test_probe_set_holds_each_id_once_in_order(ids: list[str]) -> None:
    probes, failures = build_probe_set([meta(name, str(n)) for n, name in enumerate(ids)])
    assert [probe.probe_id for probe in probes] == sorted(set(ids))
    assert [probe.index for probe in probes] == list(range(len(probes)))
    assert len(probes) + len(failures) == len(ids)
    assert all(ids.index(probe.probe_id) == int(probe.uri) for probe in probes)


def test_decoded_probes_do_as_well_and_metas_drop_the_canvas() -> None:
    canvas = np.zeros((8, 8, 3), dtype=np.uint8)
    decoded = DecodedProbe("a" * 64, "x", 5, 6, None, canvas)
    assert ProbeMeta.of(decoded) == ProbeMeta("a" * 64, "x", 5, 6, None)
    assert build_probe_set([decoded]) == build_probe_set([ProbeMeta.of(decoded)])


def test_key_names_the_set_and_the_side() -> None:
    ids = ["b" * 64, "a" * 64]
    key = probe_set_key(ids, 224)
    assert len(key) == 32
    assert int(key, 16) >= 0
    assert key == probe_set_key(ids[::-1], 224)
    assert len({key, probe_set_key(ids, 192), probe_set_key(ids[:1], 224)}) == 3
