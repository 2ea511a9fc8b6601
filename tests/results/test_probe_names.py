"""A probe is named by index, id or path; what could be two probes is refused with both."""

from __future__ import annotations

import pytest

from depara.errors import ConfigError
from depara.results.probes import find_probe
from depara.types import Probe


def probe(index: int, probe_id: str, uri: str) -> Probe:
    return Probe(probe_id.ljust(64, "0"), index, uri, 8, 8)


PROBES = [
    probe(0, "1234ab", "/data/a/cat.jpg"),
    probe(1, "1234cd", "/data/b/cat.jpg"),
    probe(2, "cafe01", "s3://bucket/dog.png"),
    probe(3, "ffff02", "/data/cafe"),
    probe(4, "99999999", "/data/probes.parquet#12"),
    probe(5, "abcdef", "/data/\x1b[31m\nred.png"),
]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        (3, 3),
        ("3", 3),
        ("0004", 4),
        ("1234a", 0),
        ("1234AB", 0),
        ("99999999", 4),
        ("a/cat.jpg", 0),
        ("/data/b/cat.jpg", 1),
        ("dog.png", 2),
        ("s3://bucket/dog.png", 2),
        ("probes.parquet#12", 4),
        ("cafe0", 2),
        ("/cafe", 3),
        ("\x1b[31m\nred.png", 5),
    ],
)
def test_a_name_means_one_probe(name: int | str, index: int) -> None:
    assert find_probe(PROBES, name).index == index


@pytest.mark.parametrize("name", ["cat.jpg", "/cat.jpg", "cafe"])
def test_a_name_of_several_probes_is_refused_with_them(name: str) -> None:
    with pytest.raises(ConfigError, match="may be any of 2 probes") as caught:
        find_probe(PROBES, name)
    expected = ("0 (id 1234ab00", "1 (id 1234cd00") if "cat" in name else ("2 (id", "3 (id")
    assert all(part in str(caught.value) for part in (*expected, "give the index"))


@pytest.mark.parametrize(
    "name", ["", "at.jpg", "jpg", "caf", "-1", "6", -1, 6, "dgo.png", "\x1b[0m"]
)
def test_a_name_of_no_probe_says_how_to_name_one(name: int | str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_probe(PROBES, name)
    assert "there is no probe" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    if name == "dgo.png":
        assert "did you mean 'dog.png'" in str(caught.value)


def test_digits_alone_are_an_index_never_an_id() -> None:
    with pytest.raises(ConfigError, match=r"no probe of index 1234: .* 6 probes, 0 to 5"):
        find_probe(PROBES, "1234")


def test_many_candidates_are_counted_not_all_listed() -> None:
    many = [probe(n, f"{n:08x}", f"/{n}/same.jpg") for n in range(9)]
    with pytest.raises(ConfigError, match=r"any of 9 probes: .*, and 4 more"):
        find_probe(many, "same.jpg")
