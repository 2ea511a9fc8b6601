"""How long a unit may take: many times what it should, so that a model that hangs costs minutes."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.pool.costs import FETCH_S, opening_seconds, unit_seconds, weights_seconds
from cluster.pool.units import CommitUnit, DecodeUnit, ExtractUnit, ResolveUnit, Unit

FACTOR = 30.0
"""Times the expected seconds: other machines, busy ones, and what is not measured."""
FLOOR_S = 120.0
"""What every unit may take, however little is expected of it."""
DEFAULT_LIMIT_S = 1800.0
"""A limit above this one says that the models are slow: floor and factor rise with it."""

_OVERHEAD_S = 10.0
"""What a unit may take beside its expected work before the machine counts as slow."""


@dataclass
class Deadlines:
    """The deadlines of a run's units, from what was measured and from what others have taken.

    Args:
        limit_s: no unit may take longer.
        patience_s: how long its storage may not answer.
    """

    limit_s: float
    patience_s: float = 0.0
    _slowness: float = 1.0
    _decode_s: float | None = None
    """The most that one image has taken, on the mean over its unit."""

    def of(self, unit: Unit) -> float:
        """Returns the seconds after which a unit counts as hung."""
        scale = max(1.0, self.limit_s / DEFAULT_LIMIT_S)
        if isinstance(unit, ExtractUnit | CommitUnit):
            if not unit.job.card.seconds_per_probe:
                return self.limit_s
            expected_s = self._slowness * unit_seconds(unit)
            reading_s = weights_seconds(unit.job.card)
        elif isinstance(unit, ResolveUnit):
            expected_s, reading_s = 0.0, opening_seconds(unit.model)
        elif isinstance(unit, DecodeUnit):
            is_known = self._decode_s is not None
            expected_s = (self._decode_s or 0.0) * len(unit.refs)
            reading_s = 0.0 if is_known else FETCH_S
        else:
            return self.limit_s
        most_s = scale * (FLOOR_S + reading_s + FACTOR * expected_s) + self.patience_s
        return min(self.limit_s, most_s)

    def learn(self, unit: Unit, seconds: float) -> None:
        """Takes note of what a unit took that has ended."""
        if isinstance(unit, ExtractUnit | CommitUnit):
            slowness = seconds / (unit_seconds(unit) + _OVERHEAD_S)
            self._slowness = max(self._slowness, slowness)
        elif isinstance(unit, DecodeUnit):
            self._decode_s = max(self._decode_s or 0.0, seconds / max(1, len(unit.refs)))
