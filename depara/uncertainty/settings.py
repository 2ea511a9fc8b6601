"""How uncertainty is estimated: the same for all blocks of a scan."""

from __future__ import annotations

from dataclasses import dataclass

from depara.uncertainty.edge_batch import active_edges
from depara.uncertainty.stability import FRACTIONS, subset_sizes
from depara.uncertainty.weights import ProbeWeights, probe_weights


@dataclass(frozen=True)
class UncertaintySettings:
    """Resamples and subsets.

    Raises:
        ValueError: a field is out of its range.
    """

    num_resamples: int = 1000
    """Bootstrap resamples of the probes, at least 1."""
    seed: int = 0
    """Seed of the resamples and subsets, at least 0."""
    fractions: tuple[float, ...] = FRACTIONS
    """Shares of the probes at which stability is measured, each above 0 and below 1."""
    num_subsets: int = 20
    """Random subsets of each size; 0 leaves stability out."""

    def __post_init__(self) -> None:
        if self.num_resamples < 1:
            raise ValueError(f"at least 1 resample is needed, got {self.num_resamples}")
        if any(not 0 < fraction < 1 for fraction in self.fractions):
            raise ValueError(f"fractions of the probes lie between 0 and 1, got {self.fractions}")
        if min(self.num_subsets, self.seed) < 0:
            raise ValueError(
                f"num_subsets and seed are at least 0, got {self.num_subsets} and {self.seed}"
            )

    def weights(self, num_probes: int, *, with_subsets: bool) -> ProbeWeights:
        """Returns the weights of the probes in every resample and, where wanted, every subset."""
        with_subsets = with_subsets and self.num_subsets > 0
        return probe_weights(
            num_probes,
            num_resamples=self.num_resamples,
            subset_probes=subset_sizes(num_probes, self.fractions) if with_subsets else (),
            num_subsets=self.num_subsets if with_subsets else 0,
            seed=self.seed,
        )

    def weighted_edges(self, num_probes: int, *, with_subsets: bool) -> tuple[int, ...]:
        """Returns how many edges have positive weight in each resample, falling."""
        weights_RN = self.weights(num_probes, with_subsets=with_subsets).weights_RN
        return tuple(sorted(active_edges(weights_RN).tolist(), reverse=True))
