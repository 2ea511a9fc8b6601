"""In which arithmetic each layer is computed: a faster one only where it agrees with float32.

The first probes are computed in both, their maps and edges compared layer by layer, so that what
becomes of a layer does not depend on the others that are computed with it.

Shapes: ``n`` first probes, ``P`` map values, ``E = n(n-1)/2`` edges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from depara.attribution import Extractor, FeatureBank
from depara.config.schema import Arithmetic, Precision
from depara.errors import ModelError, OutOfMemoryError
from depara.extraction.graph_checks import checked_edges
from depara.graph import rank_vector
from depara.models.foreign import one_line
from depara.types import Float16, Float32, Float64, LayerInfo, Note, UInt8

GATE_PROBES = 16
"""As many of the first probes are compared: 120 edges of each layer."""
_LEAST_PROBES = 4
_GAIN = 1.1
"""What `auto` takes must be so many times faster than fp32 on the first probes."""


@dataclass(frozen=True)
class Agreement:
    """How far maps and edges of the first probes at one layer agree with those in fp32.

    Cosines of each probe's two maps, their mean and the least of them; Spearman's correlation of
    the two graphs' edges. All are 1 where nothing differs.
    """

    map_cosine: float
    least_map_cosine: float
    edge_correlation: float

    def shortfall(self) -> str:
        """Returns what is below its limit, in words; empty where the layer may be computed so."""
        values, limits = asdict(self), asdict(LIMITS)
        return ", ".join(
            f"{_WORDS[name]} {values[name]:.4f} (at least {limits[name]:g})"
            for name in limits
            if not values[name] >= limits[name]
        )


LIMITS = Agreement(map_cosine=0.96, least_map_cosine=0.8, edge_correlation=0.99)
"""What agrees: node and edge similarity with any other graph shrink by about these factors at most.
Real ResNets have 0.969, 0.87 and 0.9993 at the least (benchmarks/results/precision.md): computed
so, their similarities move less than with other probes, and hardly any rank does."""

_WORDS = {
    "map_cosine": "mean cosine of the maps",
    "least_map_cosine": "least cosine of the maps",
    "edge_correlation": "rank correlation of the edges",
}


@dataclass(frozen=True)
class LayerPrecision:
    """In which arithmetic a layer is computed, and what its first probes showed of others."""

    computed_in: Arithmetic
    agreement: Agreement | None = None
    note: Note | None = None

    def record(self) -> dict[str, Any]:
        """Returns what the graph's marker says of it."""
        measured = {} if self.agreement is None else asdict(self.agreement)
        return {"computed_in": self.computed_in, **measured}


@dataclass(frozen=True)
class Sample:
    """The first probes in one arithmetic: maps and edges by layer, and the seconds of a pass."""

    maps_nP: Mapping[str, Float16]
    cosine_E: Mapping[str, Float32]
    seconds: float

    def agreement(self, other: Sample, layer: str) -> Agreement:
        """Returns how far a layer agrees with that of another sample."""
        cosines_n = map_cosines(self.maps_nP[layer], other.maps_nP[layer])
        ranks, others = (rank_vector(one.cosine_E[layer]) for one in (self, other))
        return Agreement(float(cosines_n.mean()), float(cosines_n.min()), float(ranks @ others))


def map_cosines(one_nP: Float16, other_nP: Float16) -> Float64:
    """Returns the cosine of each probe's two maps, 1 where both are all zero, 0 where one is."""
    one, other = one_nP.astype(np.float64), other_nP.astype(np.float64)
    norms_n = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    both_zero = ~(one.any(axis=1) | other.any(axis=1))
    inner_n = np.einsum("np,np->n", one, other)
    cosines: Float64 = np.divide(inner_n, norms_n, out=both_zero.astype(float), where=norms_n > 0)
    return cosines


@dataclass(frozen=True)
class Chosen:
    """The arithmetic of each layer, and an extractor in fp32 that has proven the model's pass."""

    layers: Mapping[str, LayerPrecision]
    proven: Extractor | None = None


MakeExtractor = Callable[[Arithmetic, "Extractor | None"], Extractor]
"""Makes the extractor of all layers in an arithmetic; the second is one in fp32 that has run."""

MakeBank = Callable[[int], FeatureBank]
"""Makes room for the features of some probes at all layers."""


@dataclass(frozen=True)
class PrecisionGate:
    """Chooses the arithmetic of one model's layers.

    Args:
        model_id: the model.
        layers: its layers.
        make_extractor: see `MakeExtractor`; each is closed before the next one is made.
        make_bank: see `MakeBank`.
        normalize: of the edges.
    """

    model_id: str
    layers: Sequence[LayerInfo]
    make_extractor: MakeExtractor
    make_bank: MakeBank
    normalize: str

    def choose(
        self,
        asked: Precision,
        candidates: Sequence[Arithmetic],
        canvas_nSS3: UInt8 | Tensor,
        probe_ids: Sequence[str],
    ) -> Chosen:
        """Returns the arithmetic of each layer: the first of the candidates that agrees, or fp32.

        Args:
            asked: ``auto`` takes the candidates by their speed, and leaves out those that are not
                faster than fp32.
            candidates: other than fp32.
            canvas_nSS3: canvases; the first `GATE_PROBES` are used.
            probe_ids: of the canvases.

        Raises:
            ModelError: the model cannot be run in fp32.
            OutOfMemoryError: one probe alone does not fit.
        """
        count = min(GATE_PROBES, len(probe_ids))
        if count < _LEAST_PROBES:
            return Chosen(
                self._all_fp32(
                    f"the first unit has {count} probes, too few to compare: give "
                    f"compute.unit_probes at least {_LEAST_PROBES}"
                )
            )
        is_timed = asked == "auto"
        canvas, ids = canvas_nSS3[:count], probe_ids[:count]
        with closing(self.make_extractor("fp32", None)) as extractor:
            expected = self._sample(extractor, canvas, ids, is_timed)
        found: dict[Arithmetic, Sample] = {}
        reason = ""
        for candidate in candidates:
            try:
                with closing(self.make_extractor(candidate, extractor)) as other:
                    found[candidate] = self._sample(other, canvas, ids, is_timed)
            except OutOfMemoryError:
                raise
            except ModelError as error:
                reason = f"the model cannot be run in {candidate} ({one_line(error)})"
        if is_timed:
            limit_s = expected.seconds / _GAIN
            fast = [name for name, one in found.items() if one.seconds < limit_s]
            found = {name: found[name] for name in sorted(fast, key=lambda n: found[n].seconds)}
        if not found:
            return Chosen(self._all_fp32(reason), extractor)
        layers = {layer.name: self._choose(layer.name, expected, found) for layer in self.layers}
        return Chosen(layers, extractor)

    def _choose(
        self, layer: str, expected: Sample, found: Mapping[Arithmetic, Sample]
    ) -> LayerPrecision:
        failed = []
        for name, sample in found.items():
            agreement = sample.agreement(expected, layer)
            shortfall = agreement.shortfall()
            if not shortfall:
                return LayerPrecision(name, agreement)
            failed.append(f"in {name} its first probes have {shortfall}")
        note = Note("precision", f"computed in fp32: {'; '.join(failed)}", layer)
        return LayerPrecision("fp32", agreement, note)

    def _all_fp32(self, reason: str) -> dict[str, LayerPrecision]:
        note = Note("precision", f"computed in fp32: {reason}") if reason else None
        return {layer.name: LayerPrecision("fp32", note=note) for layer in self.layers}

    def _sample(
        self,
        extractor: Extractor,
        canvas_nSS3: UInt8 | Tensor,
        probe_ids: Sequence[str],
        is_timed: bool,
    ) -> Sample:
        with closing(self.make_bank(len(probe_ids))) as bank:
            nodes = extractor.extract(canvas_nSS3, probe_ids, bank.write)
            started = time.perf_counter()
            if is_timed:  # once more: now every kernel is there, and every batch is proven
                extractor.extract(canvas_nSS3, probe_ids, bank.write)
            seconds = time.perf_counter() - started
            edges = {
                layer.name: checked_edges(self.model_id, layer.name, bank, self.normalize)[1]
                for layer in self.layers
            }
        return Sample({name: one.maps_NP for name, one in nodes.items()}, edges, seconds)
