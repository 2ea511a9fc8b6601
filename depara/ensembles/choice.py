"""Choosing a set of sources step by step: the next member is the one that adds the most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import pandas as pd

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Step:
    """A member of a set: the value of the set with it, what it added, and its own value alone."""

    model_id: str
    value: float
    gain: float
    alone: float


@dataclass(frozen=True)
class Ensemble:
    """Which models to combine, in the order of their choice.

    ``score`` is what was maximised; ``target`` the model that stands for the task, None for the
    labelled probes; ``steps`` the members, the first of which has its own value for its gain.
    ``wanted`` is the size that was asked for: where there are fewer members, no other model adds
    anything. ``left_out`` says of each model that could not be a candidate why.
    """

    score: str
    target: str | None
    steps: tuple[Step, ...]
    wanted: int
    num_candidates: int
    left_out: Mapping[str, str]

    @property
    def members(self) -> list[str]:
        """The models, in the order of their choice."""
        return [step.model_id for step in self.steps]

    @property
    def sentence(self) -> str:
        """What a colleague would say."""
        first, *others = self.steps
        parts = [f"{first.model_id} alone has {self.score} {first.value:.3f}"]
        parts += [f"{one.model_id} adds {one.gain:.3f}" for one in others]
        if len(self.steps) < min(self.wanted, self.num_candidates):
            parts.append("no other of the candidates adds anything")
        return "; ".join(parts)

    def frame(self) -> pd.DataFrame:
        """Returns one row per member: ``size, model_id, value, gain, alone``."""
        rows = [(place, *vars(one).values()) for place, one in enumerate(self.steps, start=1)]
        return pd.DataFrame(rows, columns=["size", "model_id", "value", "gain", "alone"])

    def record(self) -> dict[str, object]:
        """Returns everything as JSON-ready values."""
        return {
            "sentence": self.sentence,
            "score": self.score,
            "target": self.target,
            "num_candidates": self.num_candidates,
            "left_out": dict(self.left_out),
            "steps": self.frame().to_dict("records"),
        }

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(self.sentence)}</p>\n{self.frame().to_html(index=False)}"


class Greedy(Generic[_Part]):
    """Greedy choice over parts of any kind, such as Grams or predictions.

    Args:
        parts: what each candidate contributes, by model.
        value: of a set of parts, higher is better.
    """

    def __init__(
        self, parts: Mapping[str, _Part], value: Callable[[Sequence[_Part]], float]
    ) -> None:
        self._parts = parts
        self._value = value

    def steps(self, size: int, *, fills: bool = False) -> tuple[Step, ...]:
        """Returns up to ``size`` members; it ends before that where none adds anything.

        Equal values go to the name that comes first. For a value that is monotone and submodular
        the set is within 1 - 1/e of the best one (Nemhauser, Wolsey & Fisher, 1978); neither
        `e_leep` nor `predicted_share` is, so this is a rule and no guarantee.

        Args:
            size: most members.
            fills: go on where none adds anything, for a value that compares sets of one size.
        """
        alone = {name: self._value([part]) for name, part in self._parts.items()}
        chosen: list[Step] = []
        while len(chosen) < size:
            taken = [step.model_id for step in chosen]
            held = [self._parts[name] for name in taken]
            values = {
                name: self._value([*held, self._parts[name]]) if held else alone[name]
                for name in sorted(self._parts)
                if name not in taken
            }
            if not values:
                break
            name = max(values, key=lambda one: values[one])
            gain = values[name] - (chosen[-1].value if chosen else 0.0)
            if chosen and gain <= 0 and not fills:
                break
            chosen.append(Step(name, values[name], gain, alone[name]))
        return tuple(chosen)


def choose(
    parts: Mapping[str, _Part],
    value: Callable[[Sequence[_Part]], float],
    size: int,
    *,
    fills: bool = False,
) -> tuple[Step, ...]:
    """Returns the members of a greedy choice, see `Greedy.steps`."""
    return Greedy(parts, value).steps(size, fills=fills)
