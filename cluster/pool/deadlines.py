"""How long a unit may take: many times what it should, so that a model that hangs costs minutes."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.pool.units import Unit

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
    _item_s: dict[str, float] = field(default_factory=dict)
    """The most that one item has taken, on the mean over its unit, by the name of the unit."""

    def of(self, unit: Unit) -> float:
        """Returns the seconds after which a unit counts as hung."""
        expected = unit.expectation()
        if expected.work_s is None:
            return self.limit_s
        work_s, reading_s = self._slowness * expected.work_s, expected.reading_s
        if expected.num_items and unit.name in self._item_s:
            work_s, reading_s = self._item_s[unit.name] * expected.num_items, 0.0
        scale = max(1.0, self.limit_s / DEFAULT_LIMIT_S)
        most_s = scale * (FLOOR_S + reading_s + FACTOR * work_s) + self.patience_s
        return min(self.limit_s, most_s)

    def learn(self, unit: Unit, seconds: float) -> None:
        """Takes note of what a unit took that has ended."""
        expected = unit.expectation()
        if expected.tells_slowness and expected.work_s is not None:
            slowness = seconds / (expected.work_s + _OVERHEAD_S)
            self._slowness = max(self._slowness, slowness)
        if expected.num_items:
            item_s = seconds / expected.num_items
            self._item_s[unit.name] = max(self._item_s.get(unit.name, 0.0), item_s)
