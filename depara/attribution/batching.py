"""Batch size and memory format, chosen by measuring on the first probes; nothing is thrown away.

Every trial is a batch of real work. The search climbs: at a middle size it compares the memory
formats, then in the better one it walks up in size while that pays, or else down. It never spends
more than half of the probes that are left, so on a short set it just stops early.
"""

from __future__ import annotations

from dataclasses import dataclass, field

CPU_SIZES = (1, 2, 4, 8, 16, 32)
CUDA_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_FIRST_SIZE = {CPU_SIZES: 16, CUDA_SIZES: 32}
_GAIN = 1.03
"""A choice must be this much faster than the best so far to replace it: smaller gains are noise."""


@dataclass(frozen=True)
class Choice:
    """How to run a batch: probes in it, and whether images and weights lie channels last."""

    batch_size: int
    channels_last: bool


@dataclass
class BatchTuner:
    """Chooses the batch size and memory format of one model on one machine.

    Args:
        sizes: allowed batch sizes, ascending; a single one fixes the size.
        formats: allowed values of ``channels_last``; the first is tried first.
    """

    sizes: tuple[int, ...]
    formats: tuple[bool, ...]
    _rates: dict[Choice, float] = field(default_factory=dict)
    _warm: set[Choice] = field(default_factory=set)
    _trial: Choice | None = None
    _best: Choice | None = None
    _is_settled: bool = False

    def __post_init__(self) -> None:
        assert self.sizes
        assert self.formats
        self._trial = Choice(self._first_size(), self.formats[0])

    @property
    def is_settled(self) -> bool:
        """Whether the search is over."""
        return self._is_settled

    def limit(self, batch_size: int) -> None:
        """Keeps batches at or below a size: memory does not allow more."""
        self.sizes = tuple(size for size in self.sizes if size <= batch_size) or (batch_size,)
        largest = self.sizes[-1]
        if self._best is not None and self._best.batch_size > largest:
            self._best = Choice(largest, self._best.channels_last)
        if self._trial is not None and self._trial.batch_size > largest:
            self._trial = Choice(largest, self._trial.channels_last)

    def next(self, num_left: int) -> Choice:
        """Returns how to run the next batch when ``num_left`` probes are still to do."""
        if self._is_settled or self._trial is None:
            return self._settled()
        is_cheap = 2 * self._trial.batch_size <= num_left
        if self._best is not None and self._trial not in self._warm and not is_cheap:
            return self._best
        return self._trial

    def record(self, choice: Choice, num_probes: int, num_left: int, seconds: float) -> None:
        """Takes note of how long a batch took, and decides what to try next.

        The first batch of a choice is a warm-up (kernels are generated and memory is claimed for a
        new shape): it is not counted when enough probes are left for a second one.
        """
        if self._is_settled or choice != self._trial or num_probes != choice.batch_size:
            return
        if choice not in self._warm and num_left >= 4 * choice.batch_size:
            self._warm.add(choice)
            return
        self._rates[choice] = num_probes / max(seconds, 1e-9)
        if self._best is None or self._rates[choice] > _GAIN * self._rates[self._best]:
            self._best = choice
        self._trial = self._next_trial()
        self._is_settled = self._trial is None

    def _first_size(self) -> int:
        wanted = _FIRST_SIZE.get(self.sizes, self.sizes[-1])
        return max(size for size in self.sizes if size <= wanted)

    def _settled(self) -> Choice:
        assert self._best is not None
        return self._best

    def _next_trial(self) -> Choice | None:
        assert self._best is not None
        best = self._best
        for channels_last in self.formats:
            other = Choice(best.batch_size, channels_last)
            if other not in self._rates and len(self._tried_sizes()) == 1:
                return other
        position = self.sizes.index(best.batch_size)
        up, down = self.sizes[position + 1 : position + 2], self.sizes[:position][-1:]
        for size in (*up, *down):
            neighbour = Choice(size, best.channels_last)
            if neighbour not in self._rates:
                return neighbour
        return None

    def _tried_sizes(self) -> set[int]:
        return {choice.batch_size for choice in self._rates}
