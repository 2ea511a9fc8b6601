"""What is told of two scans: models, first choices, ranks, settings, and what of it is real."""

from __future__ import annotations

import json

import numpy as np
import pytest

from depara.answers import ScanChanges, diff
from depara.errors import ConfigError
from tests.answers.scans import ScanInMemory, scan_of

NAMES = ["a", "b", "c"]
BEFORE = np.array([[3.0, 2.0, 1.0], [2.0, 3.0, 0.5], [1.0, 0.5, 3.0]])
AFTER = np.array([[3.0, 1.0, 2.0], [1.0, 3.0, 0.5], [2.0, 0.5, 3.0]])
SAFE = {("a", "b"): (1, 1, 1.0), ("a", "c"): (2, 2, 0.0)}
TURNED = {("a", "c"): (1, 1, 1.0), ("a", "b"): (2, 2, 0.0)}
CLOSE = {("a", "c"): (1, 2, 0.6), ("a", "b"): (1, 2, 0.4)}


def first_of_a(found: ScanChanges) -> tuple[str, str, str]:
    (one,) = [choice for choice in found.first_choices if choice.target == "a"]
    return one.after, one.verdict, one.why


@pytest.mark.parametrize(
    ("before", "after", "verdict", "why"),
    [
        (SAFE, TURNED, "real", "b cannot be first any more, nor could c before"),
        (SAFE, CLOSE, "noise", "b is still as good within the intervals"),
        (CLOSE, TURNED, "noise", "c was as good within the intervals before"),
        ({}, TURNED, "unknown", "a scan has no resamples"),
    ],
)
def test_a_first_choice_changed_for_real_or_by_chance(
    before: dict, after: dict, verdict: str, why: str
) -> None:
    found = diff(
        scan_of(AFTER, NAMES, scan_id="s2", p_first=after), scan_of(BEFORE, NAMES, p_first=before)
    )
    assert first_of_a(found) == ("c", verdict, why)
    assert (found.before, found.after, found.num_targets) == ("s1", "s2", 3)


def test_a_source_that_is_gone_or_new_is_real() -> None:
    gone = diff(scan_of(AFTER[::2, ::2], ["a", "c"]), scan_of(BEFORE, NAMES, p_first=SAFE))
    assert gone.removed == ("b",)
    assert first_of_a(gone) == ("c", "real", "b is no source any more")
    new = diff(
        scan_of(AFTER, NAMES, p_first=TURNED),
        scan_of(BEFORE[:2, :2], NAMES[:2], p_first={("a", "b"): (1, 1, 1.0)}),
    )
    assert new.new == ("c",)
    assert first_of_a(new)[1:] == (
        "real",
        "c is new, and first in 95% of resamples with its equals",
    )


def with_models(scan: ScanInMemory, **changes: dict) -> ScanInMemory:
    rows = [{**row, **changes.get(str(row["model_id"]), {})} for row in scan.rows["models"]]
    return ScanInMemory(scan.output, scan.scan_id, scan.manifest, {**scan.rows, "models": rows})


def test_models_that_changed_failed_and_recovered() -> None:
    before = with_models(scan_of(BEFORE, NAMES), a={"weights_sha256": "1"}, b={"status": "failed"})
    after = with_models(scan_of(BEFORE, NAMES), a={"weights_sha256": "2"}, c={"status": "failed"})
    found = diff(after, before)
    assert (found.changed, found.failed, found.recovered) == (("a",), ("c",), ("b",))
    assert not found.first_choices
    assert not found.num_moves


def test_ranks_move_among_the_sources_that_both_have() -> None:
    names = [*NAMES, "d"]
    wider = np.full((4, 4), 9.0)
    wider[:3, :3] = BEFORE
    assert diff(scan_of(wider, names), scan_of(BEFORE, NAMES)).num_moves == 0
    found = diff(scan_of(AFTER, NAMES, p_first=TURNED), scan_of(BEFORE, NAMES, p_first=SAFE))
    moves = {(one.target, one.source): (one.before, one.after, one.verdict) for one in found.moves}
    assert found.num_moves == 2
    assert moves == {("a", "b"): (1, 2, "real"), ("a", "c"): (2, 1, "real")}
    close = diff(scan_of(AFTER, NAMES, p_first=CLOSE), scan_of(BEFORE, NAMES, p_first=SAFE))
    assert {(m.target, m.source): m.verdict for m in close.moves}["a", "b"] == "noise"


def test_settings_versions_and_probes_that_differ() -> None:
    old = {
        "config": {"similarity": {"lambda": 2.0}, "models": [1], "output": "x"},
        "probe_set": "p",
        "versions": {"torch": "2.1"},
    }
    new = {
        "config": {"similarity": {"lambda": 1.0, "pairs": "all"}, "models": [2], "output": "y"},
        "probe_set": "p",
        "versions": {"torch": "2.2"},
    }
    found = diff(scan_of(BEFORE, NAMES, manifest=new), scan_of(BEFORE, NAMES, manifest=old))
    assert [(one.name, one.before, one.after) for one in found.settings] == [
        ("similarity.lambda", 2.0, 1.0),
        ("similarity.pairs", "(not set)", "all"),
        ("version of torch", "2.1", "2.2"),
    ]


def test_everything_is_in_the_table_and_in_json() -> None:
    found = diff(
        scan_of(AFTER, [*NAMES[:2], "<b>c"], p_first={}, manifest={"probe_set": "q"}),
        scan_of(BEFORE, [*NAMES[:2], "<b>c"], manifest={"probe_set": "p"}),
    )
    frame = found.frame()
    assert set(frame["what"]) == {"first choice", "rank", "setting"}
    assert len(frame) == len(found.first_choices) + len(found.moves) + len(found.settings)
    assert json.loads(json.dumps(found.record()))["settings"][0]["name"] == "probe_set"
    assert "<b>" not in found._repr_html_()


def test_the_first_scan_has_none_before_it(scan_folder: str) -> None:
    from depara import open_scan

    with pytest.raises(ConfigError, match=r"is the first of .*: none is before it"):
        open_scan(scan_folder).diff()
