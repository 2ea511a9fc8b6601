"""A library of metrics that remembers, with the classes of `ray.util.metrics`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

Values = dict[tuple[str, ...], Any]


class FakeLibrary:
    """``totals`` of counters, ``values`` of gauges, what was ``observed``; by name and labels."""

    def __init__(self) -> None:
        self.totals: dict[str, Values] = defaultdict(dict)
        self.values: dict[str, Values] = defaultdict(dict)
        self.observed: dict[str, Values] = defaultdict(dict)

    def Counter(self, name: str, **options: Any) -> _Instrument:
        return _Instrument(self, name, **options)

    def Gauge(self, name: str, **options: Any) -> _Instrument:
        return _Instrument(self, name, **options)

    def Histogram(self, name: str, **options: Any) -> _Instrument:
        return _Instrument(self, name, **options)


class _Instrument:
    def __init__(
        self,
        library: FakeLibrary,
        name: str,
        description: str,
        tag_keys: tuple[str, ...],
        boundaries: Sequence[float] = (),
    ) -> None:
        self.library, self._name, self._tag_keys = library, name, tag_keys

    def inc(self, amount: float, tags: Mapping[str, str]) -> None:
        if amount <= 0:
            raise ValueError("an increment must be positive")
        values, key = self.library.totals[self._name], self._key(tags)
        values[key] = values.get(key, 0) + amount

    def set(self, value: float, tags: Mapping[str, str]) -> None:
        self.library.values[self._name][self._key(tags)] = value

    def observe(self, value: float, tags: Mapping[str, str]) -> None:
        seen = self.library.observed[self._name].setdefault(self._key(tags), [])
        seen.append(value)
        seen.sort()

    def _key(self, tags: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(tags[key] for key in self._tag_keys)
