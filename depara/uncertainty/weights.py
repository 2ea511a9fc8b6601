"""How often each probe counts in a resample: bootstrap counts, and subsets as zeros and ones.

``N`` probes, ``R`` resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depara.types import Float32

MIN_SUBSET_PROBES = 3
"""Fewer probes have a single edge or none: nothing to rank."""

_BOOTSTRAP_STREAM, _SUBSET_STREAM = 0, 1


@dataclass(frozen=True)
class ProbeWeights:
    """Weights of all resamples of one analysis, one row each: float32 ``(R, N)``, whole numbers.

    Row 0 is all ones, the probe set itself. Then come the ``num_resamples`` bootstrap resamples,
    then ``num_subsets`` subsets for each of ``subset_probes``.
    """

    weights_RN: Float32
    num_resamples: int
    subset_probes: tuple[int, ...]
    num_subsets: int

    def __post_init__(self) -> None:
        subsets = len(self.subset_probes) * self.num_subsets
        assert len(self.weights_RN) == 1 + self.num_resamples + subsets

    @property
    def bootstrap(self) -> slice:
        """Rows of the bootstrap resamples."""
        return slice(1, 1 + self.num_resamples)

    def subsets(self, place: int) -> slice:
        """Returns the rows of the subsets of ``subset_probes[place]`` probes."""
        start = 1 + self.num_resamples + place * self.num_subsets
        return slice(start, start + self.num_subsets)


def probe_weights(
    num_probes: int,
    *,
    num_resamples: int,
    subset_probes: tuple[int, ...] = (),
    num_subsets: int = 0,
    seed: int = 0,
) -> ProbeWeights:
    """Returns the weights of an analysis; they depend on these arguments alone.

    Args:
        num_probes: ``N``, at least 2.
        num_resamples: bootstrap resamples. Fewer of them are the first rows of more.
        subset_probes: sizes of the subsets, each from 3 to ``num_probes``.
        num_subsets: subsets of each size.
        seed: seed of both draws, which are independent streams.
    """
    parts = [
        np.ones((1, num_probes), dtype=np.float32),
        bootstrap_counts(num_probes, num_resamples, seed),
    ]
    parts += [
        subset_indicators(num_probes, size, num_subsets, (seed, place))
        for place, size in enumerate(subset_probes)
    ]
    return ProbeWeights(np.concatenate(parts), num_resamples, subset_probes, num_subsets)


def bootstrap_counts(num_probes: int, num_resamples: int, seed: int) -> Float32:
    """Returns how often each probe is drawn when ``N`` are drawn with replacement.

    Multinomial counts, float32 ``(num_resamples, N)``; each row sums to ``N`` (Efron, 1979).
    """
    rng = np.random.default_rng((_BOOTSTRAP_STREAM, seed))
    shares_N = np.full(num_probes, 1 / num_probes)
    return rng.multinomial(num_probes, shares_N, size=num_resamples).astype(np.float32)


def subset_indicators(
    num_probes: int, size: int, num_subsets: int, seed: tuple[int, ...]
) -> Float32:
    """Returns random subsets without replacement: float32 ``(num_subsets, N)`` of 0 and 1.

    Raises:
        ValueError: ``size`` is not from 3 to ``num_probes``.
    """
    if not MIN_SUBSET_PROBES <= size <= num_probes:
        raise ValueError(
            f"a subset of {num_probes} probes has {MIN_SUBSET_PROBES} to {num_probes}, not {size}"
        )
    rng = np.random.default_rng((_SUBSET_STREAM, *seed))
    order_SN = np.argsort(rng.random((num_subsets, num_probes)), axis=1)
    indicators_SN = np.zeros((num_subsets, num_probes), dtype=np.float32)
    np.put_along_axis(indicators_SN, order_SN[:, :size], 1.0, axis=1)
    return indicators_SN
