"""How long a unit may take: many times what it should, so that a model that hangs costs minutes."""

from __future__ import annotations

import os
from dataclasses import dataclass

from cluster.plan import estimate_seconds
from cluster.work import CommitUnit, DecodeUnit, ExtractUnit, ResolveUnit, Unit
from depara.config import ModelConfig
from depara.errors import ConfigError
from depara.locations import is_remote, local_path

FACTOR = 30.0
"""Times the expected seconds: other machines, busy ones, and what is not measured."""
FLOOR_S = 120.0
"""What every unit may take, however little is expected of it."""
DEFAULT_LIMIT_S = 1800.0
"""A limit above this one says that the models are slow: floor and factor rise with it."""

_DOWNLOAD_S = 600.0
"""What it may take to fetch what has a size that is not known before."""
_READ_BYTES_PER_S = 10e6
_FLOPS_PER_S = 20e9
_SPILL_BYTES_PER_S = 1e9
_RANDOM = "random:"
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
            expected_s = self._slowness * _expected_s(unit)
            reading_s = 4 * unit.job.card.num_parameters / _READ_BYTES_PER_S
        elif isinstance(unit, ResolveUnit):
            expected_s, reading_s = 0.0, _opening_s(unit.model)
        elif isinstance(unit, DecodeUnit):
            is_known = self._decode_s is not None
            expected_s = (self._decode_s or 0.0) * len(unit.refs)
            reading_s = 0.0 if is_known else _DOWNLOAD_S
        else:
            return self.limit_s
        most_s = scale * (FLOOR_S + reading_s + FACTOR * expected_s) + self.patience_s
        return min(self.limit_s, most_s)

    def learn(self, unit: Unit, seconds: float) -> None:
        """Takes note of what a unit took that has ended."""
        if isinstance(unit, ExtractUnit | CommitUnit):
            slowness = seconds / (_expected_s(unit) + _OVERHEAD_S)
            self._slowness = max(self._slowness, slowness)
        elif isinstance(unit, DecodeUnit):
            self._decode_s = max(self._decode_s or 0.0, seconds / max(1, len(unit.refs)))


def _expected_s(unit: ExtractUnit | CommitUnit) -> float:
    job = unit.job
    if isinstance(unit, ExtractUnit):
        return estimate_seconds(job.card, job.graph_keys, len(unit.probes), job.config)
    num_probes = job.ranges[-1].stop
    num_features = sum(
        layer.num_features for layer in job.card.layers if layer.name in job.graph_keys
    )
    products_s = 6 * num_probes**2 * num_features / _FLOPS_PER_S
    return products_s + 4 * num_probes * num_features / _SPILL_BYTES_PER_S


def _opening_s(model: ModelConfig) -> float:
    """Returns what reading a model's weights may take: by their size, where that can be told."""
    weights = model.weights
    is_own_code = model.source.startswith("python:")
    if weights is None:
        return 0.0 if is_own_code else _DOWNLOAD_S
    if weights.startswith(_RANDOM):
        return 0.0
    if is_remote(weights):
        return _DOWNLOAD_S
    try:
        return os.path.getsize(local_path(weights)) / _READ_BYTES_PER_S
    except (ConfigError, OSError):  # on another node, or a name that a package knows
        return _DOWNLOAD_S
