"""What to start from for one target: the sentence, the candidates behind it, and what to try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from depara.answers.standings import Standing
from depara.texts import listed

_NAMED = 4


@dataclass(frozen=True)
class Costs:
    """What a source costs at its cut, where it is known.

    ``num_parameters`` of the whole model; ``gflop`` of a forward pass of one probe up to the cut,
    1e9 operations; ``seconds_per_probe`` of a whole forward pass where the model was opened;
    ``bytes_per_probe`` of activations up to its last layer; ``licence`` as its source states it.
    """

    num_parameters: int | None = None
    gflop: float | None = None
    seconds_per_probe: float | None = None
    bytes_per_probe: int | None = None
    licence: str | None = None


@dataclass(frozen=True)
class Candidate:
    """One source for a target.

    ``rank`` and ``similarity`` are those of the model ranking, ``low`` to ``high`` and ``rank_low``
    to ``rank_high`` their 5 to 95 % intervals over resampled probes, ``p_first`` the share of
    resamples in which it is first; None without resamples. ``cut`` is its best layer for the target
    (DEPARA, Eq. 6), first among its layers in a share ``cut_p_first`` of resamples.
    """

    model: str
    cut: str
    rank: int
    similarity: float
    standing: Standing
    low: float | None = None
    high: float | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    p_first: float | None = None
    cut_p_first: float | None = None
    costs: Costs = Costs()


@dataclass(frozen=True)
class Trial:
    """A model and cut to try: the zoo's ``general`` best source, or one of the target's ``own``."""

    model: str
    cut: str
    reason: Literal["general", "own"]


@dataclass(frozen=True)
class Recommendation:
    """The sources for a target, best first, and what is to be known of them.

    ``general`` is the best source of the others: of those for the zoo's other targets, the one of
    the highest mean similarity. ``null_similarity`` is that of the first one's random-weights
    twins, None without twins. ``warnings`` are in plain words. ``regret`` is the measured mean
    regret of k such trials, by k, where the scan was evaluated against a truth.
    """

    target: str
    target_layer: str
    candidates: tuple[Candidate, ...]
    general: str
    null_similarity: float | None = None
    warnings: tuple[str, ...] = ()
    regret: tuple[tuple[int, float], ...] = ()

    @property
    def first(self) -> Candidate:
        """The source to start from."""
        return self.candidates[0]

    def of(self, standing: Standing) -> tuple[Candidate, ...]:
        """Returns the candidates of one standing, best first."""
        return tuple(one for one in self.candidates if one.standing == standing)

    @property
    def sentence(self) -> str:
        """What a colleague would say."""
        first = self.first
        parts = [f"start from {first.model}, cut at {first.cut}{_how_sure(first)}"]
        good, out = self.of("as good"), self.of("out")
        if good:
            verb = "is" if len(good) == 1 else "are"
            parts.append(f"{_names(good)} {verb} as good within the intervals")
        elif first.p_first is not None:
            parts.append("no other is as good within the intervals")
        if out:
            verb = "is" if len(out) == 1 else "are"
            named = _names(out) if len(out) <= _NAMED else f"{len(out)} of {len(self.candidates)}"
            parts.append(f"{named} {verb} out")
        return "; ".join(parts)

    def trials(self, budget: int) -> tuple[Trial, ...]:
        """Returns what to try with a budget: the generally best source, then the target's own best.

        The hybrid rule of Renggli et al., "Which model to transfer?", CVPR 2022, with the mean
        similarity over the zoo's other targets in the place of ImageNet accuracy. A single trial
        goes to the target's own best: the rule needs two.

        Args:
            budget: number of trials, at least 1; fewer are returned where there are fewer sources.
        """
        own = [Trial(one.model, one.cut, "own") for one in self.candidates]
        if budget == 1:
            return tuple(own[:1])
        general = next(one for one in own if one.model == self.general)
        rest = [one for one in own if one is not general]
        return (Trial(general.model, general.cut, "general"), *rest)[:budget]

    def expected_regret(self, budget: int) -> tuple[int, float] | None:
        """Returns the largest measured k up to the budget, and the mean regret of k trials."""
        known = [one for one in self.regret if one[0] <= budget]
        return max(known) if known else None

    def frame(self) -> pd.DataFrame:
        """Returns the candidates as a table, one row each, best first."""
        return pd.DataFrame(
            [
                {
                    "target_model": self.target,
                    "rank": one.rank,
                    "source_model": one.model,
                    "cut": one.cut,
                    "standing": one.standing,
                    "similarity": one.similarity,
                    "low": one.low,
                    "high": one.high,
                    "rank_low": one.rank_low,
                    "rank_high": one.rank_high,
                    "p_first": one.p_first,
                    **vars(one.costs),
                }
                for one in self.candidates
            ]
        ).astype(
            {
                **dict.fromkeys(("low", "high", "p_first", "gflop", "seconds_per_probe"), float),
                **dict.fromkeys(("rank_low", "rank_high"), "Int32"),
                **dict.fromkeys(("num_parameters", "bytes_per_probe"), "Int64"),
            }
        )

    def record(self, budget: int | None = None) -> dict[str, Any]:
        """Returns everything as JSON-ready values; with a budget also the trials."""
        tree: dict[str, Any] = {
            "target": self.target,
            "target_layer": self.target_layer,
            "sentence": self.sentence,
            "general": self.general,
            "null_similarity": self.null_similarity,
            "warnings": list(self.warnings),
            "candidates": [{**vars(one), "costs": vars(one.costs)} for one in self.candidates],
        }
        if budget is not None:
            tree["trials"] = [vars(one) for one in self.trials(budget)]
            known = self.expected_regret(budget)
            tree["expected_regret"] = known and {"trials": known[0], "regret": known[1]}
        return tree

    def _repr_html_(self) -> str:
        from html import escape

        lines = [f"<p><b>{escape(self.target)}</b>: {escape(self.sentence)}</p>"]
        lines += [f"<p>{escape(one)}</p>" for one in self.warnings]
        return "\n".join([*lines, self.frame().to_html(index=False, float_format="{:.3f}".format)])


def _how_sure(first: Candidate) -> str:
    if first.p_first is None:
        return " (how sure is not known: no resamples)"
    cut = ""
    if first.cut_p_first is not None:
        cut = f", the cut in {first.cut_p_first:.0%}"
    return f": first in {first.p_first:.0%} of resamples{cut}"


def named(names: Sequence[str]) -> str:
    """Returns some names as a sentence lists them, the last of many as a number."""
    if len(names) > _NAMED:
        names = [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} more"]
    return listed(names)


def _names(candidates: Sequence[Candidate]) -> str:
    return named([one.model for one in candidates])
