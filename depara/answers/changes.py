"""What changed between two scans: models, first choices, ranks, settings; what of it is real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from depara.answers.standings import CONFIDENCE, standings
from depara.dotted import leaves
from depara.errors import ConfigError, StoreError
from depara.results import ScanResults, open_scan
from depara.store.scans import finished_scans
from depara.store.storage import Storage

Verdict = Literal["real", "noise", "unknown"]
"""Whether the intervals of both scans say that a change is more than the choice of probes."""

MOST_MOVES = 20
_MISSING = "(not set)"
_UNTOLD = ("models", "output")
"""Fields of the scan file that are no settings of the method."""


@dataclass(frozen=True)
class FirstChoice:
    """A target whose first choice is another one now; ``why`` says how the verdict was reached."""

    target: str
    before: str
    after: str
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class RankMove:
    """A source whose rank for a target moved, among the sources that both scans have."""

    target: str
    source: str
    before: int
    after: int
    verdict: Verdict


@dataclass(frozen=True)
class Setting:
    """A setting of the scan file, or a version, that differs; None where one scan has none."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True)
class ScanChanges:
    """What is different in scan ``after`` from scan ``before``.

    ``new``, ``removed``, ``changed`` (other weights or code), ``failed`` (worked before) and
    ``recovered`` are model ids. ``moves`` are the largest, most first; ``num_moves`` counts all.
    """

    before: str
    after: str
    new: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    failed: tuple[str, ...]
    recovered: tuple[str, ...]
    num_targets: int
    first_choices: tuple[FirstChoice, ...]
    moves: tuple[RankMove, ...]
    num_moves: int
    settings: tuple[Setting, ...]

    def frame(self) -> pd.DataFrame:
        """Returns everything as one table: ``what, name, before, after, verdict, why``."""
        rows: list[dict[str, Any]] = [
            {"what": what, "name": name}
            for what in ("new", "removed", "changed", "failed", "recovered")
            for name in getattr(self, what)
        ]
        rows += [
            {**asdict(one), "what": "first choice", "name": one.target}
            for one in self.first_choices
        ]
        rows += [
            {**asdict(one), "what": "rank", "name": f"{one.target}: {one.source}"}
            for one in self.moves
        ]
        rows += [{**asdict(one), "what": "setting"} for one in self.settings]
        return pd.DataFrame(rows, columns=["what", "name", "before", "after", "verdict", "why"])

    def record(self) -> dict[str, Any]:
        """Returns everything as JSON-ready values."""
        return asdict(self)

    def _repr_html_(self) -> str:
        return self.frame().to_html(index=False, na_rep="")


def diff(after: ScanResults, before: ScanResults | str | None = None) -> ScanChanges:
    """Returns what changed since an earlier scan.

    Args:
        after: the later scan.
        before: the earlier one, or its id in the same output; None is the one right before.

    Raises:
        ConfigError: there is no earlier scan.
        StoreError: no such scan, or a table is missing or damaged.
    """
    if not isinstance(before, ScanResults):
        before = open_scan(after.output, before or _scan_before(after))
    old, new = (scan.table("models").set_index("model_id") for scan in (before, after))
    both = [name for name in new.index if name in old.index]
    old_worked, new_worked = (set(one.index[one["status"] != "failed"]) for one in (old, new))
    rankings = _Rankings.of(before), _Rankings.of(after)
    common = sorted(set(rankings[0].firsts) & set(rankings[1].firsts))
    moves, num_moves = _moves(*rankings)
    return ScanChanges(
        before=before.scan_id,
        after=after.scan_id,
        new=tuple(name for name in new.index if name not in old.index),
        removed=tuple(name for name in old.index if name not in new.index),
        changed=tuple(name for name in both if _is_other(old.loc[name], new.loc[name])),
        failed=tuple(name for name in both if name in old_worked - new_worked),
        recovered=tuple(name for name in both if name in new_worked - old_worked),
        num_targets=len(common),
        first_choices=tuple(_first_choices(common, *rankings)),
        moves=moves,
        num_moves=num_moves,
        settings=tuple(_settings(before.manifest, after.manifest)),
    )


@dataclass(frozen=True)
class _Rankings:
    """The model ranking of one scan with its intervals, and its first choices by target."""

    table: pd.DataFrame
    firsts: Mapping[str, str]
    good: Mapping[str, frozenset[str]]
    pairs: pd.MultiIndex

    @classmethod
    def of(cls, scan: ScanResults) -> _Rankings:
        ranking = scan.table("model_ranking")[["target_model", "source_model", "rank"]]
        sure = scan.table("rank_uncertainty")
        sure = sure[sure["ranking"] == "model"]
        columns = ["target_model", "source_model", "rank_low", "rank_high", "p_first"]
        table = ranking.merge(sure[columns], on=columns[:2], how="left")
        first = table[table["rank"] == 1]
        firsts = dict(zip(first["target_model"], first["source_model"], strict=True))
        is_sure = table["p_first"].notna().groupby(table["target_model"]).transform("all")
        is_good = is_sure & standings(table).isin(["first", "as good"])
        groups = table[is_good].groupby("target_model")["source_model"]
        good = {str(name): frozenset(sources) for name, sources in groups}
        pairs = pd.MultiIndex.from_frame(table[["target_model", "source_model"]])
        return cls(table, firsts, good, pairs)


def _first_choices(common: list[str], old: _Rankings, new: _Rankings) -> Iterator[FirstChoice]:
    for target in common:
        before, after = old.firsts[target], new.firsts[target]
        if before != after:
            verdict, why = _verdict(target, before, after, old, new)
            yield FirstChoice(target, before, after, verdict, why)


def _verdict(
    target: str, before: str, after: str, old: _Rankings, new: _Rankings
) -> tuple[Verdict, str]:
    if (target, before) not in new.pairs:
        return "real", f"{before} is no source any more"
    if target not in old.good or target not in new.good:
        return "unknown", "a scan has no resamples"
    if before in new.good[target]:
        return "noise", f"{before} is still as good within the intervals"
    if after in old.good[target]:
        return "noise", f"{after} was as good within the intervals before"
    if (target, after) not in old.pairs:
        return "real", f"{after} is new, and first in {CONFIDENCE:.0%} of resamples with its equals"
    return "real", f"{before} cannot be first any more, nor could {after} before"


def _moves(old: _Rankings, new: _Rankings) -> tuple[tuple[RankMove, ...], int]:
    """Returns the largest moves, and how many there are."""
    keys = ["target_model", "source_model"]
    both = old.table.merge(new.table, on=keys, suffixes=("_before", "_after"))
    for side in ("before", "after"):  # among the sources that both have
        both[f"rank_{side}"] = both.groupby("target_model")[f"rank_{side}"].rank().astype(int)
    both["size"] = (both["rank_before"] - both["rank_after"]).abs()
    moved = both[both["size"] > 0].sort_values(["size", *keys], ascending=[False, True, True])
    moves = [_move(row) for row in moved.head(MOST_MOVES).to_dict("records")]
    return tuple(moves), len(moved)


def _move(row: Mapping[Any, Any]) -> RankMove:
    ends = [row[f"rank_{end}_{side}"] for side in ("before", "after") for end in ("low", "high")]
    verdict: Verdict = "unknown"
    if not any(map(pd.isna, ends)):
        verdict = "noise" if ends[0] <= ends[3] and ends[2] <= ends[1] else "real"
    target, source = row["target_model"], row["source_model"]
    return RankMove(target, source, row["rank_before"], row["rank_after"], verdict)


def _is_other(old: pd.Series[Any], new: pd.Series[Any]) -> bool:
    return any(
        pd.notna(old[name]) and pd.notna(new[name]) and old[name] != new[name]
        for name in ("weights_sha256", "architecture")
    )


def _settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Setting]:
    parts = ({}, {}) if not (old and new) else (_flat(old), _flat(new))
    for name in sorted({*parts[0], *parts[1]}):
        before, after = (part.get(name, _MISSING) for part in parts)
        if before != after:
            yield Setting(name, before, after)


def _flat(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a scan by their dotted names, its probes and the versions."""
    config = {k: v for k, v in manifest.get("config", {}).items() if k not in _UNTOLD}
    found = dict(leaves(config))
    found["probe_set"] = manifest.get("probe_set")
    found |= {f"version of {name}": text for name, text in manifest.get("versions", {}).items()}
    return found


def _scan_before(scan: ScanResults) -> str:
    known = finished_scans(Storage(scan.output))
    try:
        place = known.index(scan.scan_id)
    except ValueError as error:
        raise StoreError(f"scan {scan.scan_id!r} is no more in {scan.output}") from error
    if place == 0:
        raise ConfigError(f"scan {scan.scan_id} is the first of {scan.output}: none is before it")
    return known[place - 1]
