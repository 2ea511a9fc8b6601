"""The search: sketches choose, graphs are compared.

``G`` graphs of the zoo. All of them are estimated by the index, some again by their whole sketches,
and the best of those are compared exactly, as a scan compares them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from depara.catalog import SKETCHED_TERMS, TERMS
from depara.errors import ConfigError, StorageUnavailableError, StoreError
from depara.nearest.answer import Nearest
from depara.nearest.index import CutIndex, cells_of_cut, cut_of, estimate
from depara.nearest.making import Found, ProbeCells, check_probes, sketch_of
from depara.query.own import compute_here
from depara.query.zoo import Zoo, read_zoo
from depara.results import ScanResults
from depara.similarity import combine, score_tile, similarity_tile
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef, StoredBlock, open_graphs
from depara.store.canvases import read_probe_set
from depara.store.graphs import CommittedGraph, open_graph
from depara.store.sketches import GraphSketch
from depara.store.storage import Storage
from depara.types import Float64

Progress = Callable[[str, int, int], None]

FIRST_CUT = 1000
"""Graphs at least whose whole sketches are read."""

SHORT_LIST = 200
"""Graphs at least that are compared exactly."""

_ESTIMATED_PER_ROW, _COMPARED_PER_ROW = 20, 4
"""And as many times the rows asked for."""

_MOST_WORKERS = 4
_STEP_GRAPHS = 256
_STAGES = ("loading", "searching", "comparing")
_EXACT = ("similarity", *(TERMS[term].column for term in SKETCHED_TERMS))


def nearest(
    scan: ScanResults,
    model: str,
    *,
    layer: str | None = None,
    top: int = 50,
    exact: bool = True,
    on_progress: Progress | None = None,
) -> Nearest:
    """Returns the graphs of a scan that are the best sources for one of its graphs.

    Graphs of the model itself and of random twins are left out. The sketch of a graph is made when
    it is first needed, which reads the graph, and is left beside it.

    Args:
        scan: the scan, open.
        model: that stands for the target task.
        layer: of the model; None is its output layer.
        top: graphs to return.
        exact: compare the short list; else all numbers are estimates, and no graph is read that
            has a sketch.
        on_progress: told what is done, and how much of it.

    Raises:
        ConfigError: no such model or layer, a term of the similarity that sketches do not have, or
            nothing to compare with.
        StoreError: the graph of the model, or every other graph, cannot be used.
        StorageUnavailableError: the storage does not answer.
    """
    tell = on_progress or (lambda what, done, total: None)
    layer = scan.output_layer(model) if layer is None else layer
    target_key = scan.graph_key(model, layer)
    zoo = read_zoo(scan)
    check_terms(zoo)
    refs = [ref for ref in zoo.candidates if ref.model_id != model]
    if not refs:
        raise ConfigError(f"scan {scan.scan_id} has no model beside {model!r} to compare it with")
    search = open_search(scan.output, zoo, refs, tell)
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1):  # of BLAS: threads of one's own read side by side
        return search.run(model, layer, target_key, top, exact)


def check_terms(zoo: Zoo) -> None:
    """Refuses a zoo whose similarity sketches do not estimate.

    Raises:
        ConfigError: names the term, or says that probes are too few.
    """
    terms = {name: weight for name, weight in zoo.config.similarity.terms.items() if weight}
    strange = [name for name in terms if name not in SKETCHED_TERMS]
    if strange:
        raise ConfigError(
            f"similarity of scan {zoo.scan_id} has the term {strange[0]!r}, which sketches do not "
            f"have ({', '.join(SKETCHED_TERMS)}): take `depara models`, or scan with other "
            "similarity.terms"
        )
    least = 2 if "directed" in terms else 1
    if zoo.num_probes < least:
        raise ConfigError(
            f"scan {zoo.scan_id} has {zoo.num_probes} probes, {least} are needed: raise "
            "probes.count"
        )


@dataclass(frozen=True)
class Cut:
    """The places of the graphs that the first cut chose, their estimates, and the others'."""

    chosen: NDArray[np.intp]
    estimates: Float64
    deviations: Float64
    others: Float64
    others_off: Float64


def open_search(output: str, zoo: Zoo, refs: list[GraphRef], tell: Progress) -> Search:
    """Returns a search of some graphs of a zoo, with nothing read but the probes' ids."""
    storage = Storage(output)
    probe_set = read_probe_set(storage, zoo.probe_set_key)
    cells = ProbeCells(tuple(probe_set.probe_ids), zoo.num_pixels)
    return Search(storage, zoo, refs, cells, tell)


@dataclass
class Search:
    """One search at work. ``held`` are the sketches of a zoo that is small enough to hold."""

    storage: Storage
    zoo: Zoo
    refs: list[GraphRef]
    cells: ProbeCells
    tell: Progress
    workers: int = field(default_factory=lambda: max(1, min(os.cpu_count() or 1, _MOST_WORKERS)))
    held: dict[str, GraphSketch] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    not_kept: str = ""

    def run(self, model: str, layer: str, target_key: str, top: int, exact: bool) -> Nearest:
        """Searches, compares, and says what was done."""
        terms, started = self.zoo.config.similarity.terms, time.perf_counter()
        target = self._target(model, layer, target_key)
        most_estimated = max(FIRST_CUT, _ESTIMATED_PER_ROW * top)
        index = self.index(holds=len(self.refs) <= most_estimated)
        loaded = time.perf_counter()
        cut = self.cut(index, target, most_estimated)
        best = np.argsort(-cut.estimates, kind="stable")
        best = best[np.isfinite(cut.estimates[best])]
        short = best[: max(SHORT_LIST, _COMPARED_PER_ROW * top) if exact else top]
        searched = time.perf_counter()
        found = self._rows(cut.chosen[short], cut.estimates[short], cut.deviations[short])
        error = expected = None
        if exact:
            refs = [self.refs[place] for place in cut.chosen[short]]
            found = found.assign(**self._compared(refs, target_key))
            error = _rms((found["similarity"] - found["estimate"]).to_numpy())
            expected = _rms(found["deviation"].to_numpy())
        by = "similarity" if exact else "estimate"
        found = _ranked(found, by).head(top)
        threshold, rest = float(found[by].iloc[-1]), best[len(short) :]
        missed = _missed(cut.others, cut.others_off, threshold)
        if exact:
            missed += _missed(cut.estimates[rest], cut.deviations[rest], threshold)
        times = (loaded - started, searched - loaded, time.perf_counter() - searched)
        return Nearest(
            scan_id=self.zoo.scan_id,
            model_id=model,
            layer=layer,
            terms=dict(terms),
            rows=found,
            is_exact=exact,
            num_graphs=len(cut.chosen) + len(cut.others),
            num_estimated=len(cut.chosen),
            num_compared=len(short) if exact else 0,
            num_made=len(self.made),
            missed=missed,
            error=error,
            expected_error=expected,
            left_out=tuple(self.reasons()),
            not_kept=self.not_kept,
            seconds={name: round(one, 3) for name, one in zip(_STAGES, times, strict=True)},
        )

    def cut(self, index: CutIndex, target: GraphSketch, most: int) -> Cut:
        """The first cut, and the estimates of what is left by it."""
        groups_N = self.cells.groups_N
        target_C, norm = cut_of(target, self.zoo.config.similarity.terms, groups_N, is_target=True)
        rough_G = index.products(target_C, self.workers)
        rough_G[[ref.key in self.left_out for ref in self.refs]] = -np.inf
        order = np.argsort(-rough_G, kind="stable")
        order = order[np.isfinite(rough_G[order])]
        if not len(order):
            reason = next(iter(self.left_out.values()))
            raise StoreError(f"no graph of scan {self.zoo.scan_id} can be used: {reason}")
        off_G = index.deviations(rough_G, norm, cells_of_cut(groups_N))
        chosen, others = order[:most], order[most:]
        return Cut(chosen, *self._estimates(chosen, target), rough_G[others], off_G[others])

    def _target(self, model: str, layer: str, key: str) -> GraphSketch:
        graph = open_graph(self.storage, key)
        try:
            check_probes(graph, self.cells.probe_ids, self.cells.num_pixels)
            return self._noted(key, sketch_of(graph, self.cells))
        except (ValueError, ArithmeticError) as error:
            raise StoreError(
                f"the graph of model {model!r}, layer {layer!r}, cannot be used: {error}; run the "
                "scan again"
            ) from error

    def _noted(self, key: str, found: Found) -> GraphSketch:
        if found.is_new:
            self.made.add(key)
        self.not_kept = found.not_kept or self.not_kept
        return found.sketch

    def _sketch(self, key: str) -> GraphSketch | None:
        """The sketch of a graph; None, and a reason in ``left_out``, where it cannot be used."""
        if key in self.held:
            return self.held[key]
        try:
            graph = open_graph(self.storage, key)
            check_probes(graph, self.cells.probe_ids, self.cells.num_pixels)
            return self._noted(key, sketch_of(graph, self.cells))
        except StorageUnavailableError:
            raise
        except NUMERIC_ERRORS as error:
            self.left_out[key] = str(error)
            return None

    def index(self, *, holds: bool) -> CutIndex:
        """The first cut of all graphs, their sketches read side by side, or made."""
        places: dict[str, list[int]] = {}
        for place, ref in enumerate(self.refs):
            places.setdefault(ref.key, []).append(place)
        index, keys = CutIndex(len(self.refs)), list(places)
        terms, groups_N = self.zoo.config.similarity.terms, self.cells.groups_N
        self.cells.prepare()

        def fill(key: str) -> None:
            sketch = self._sketch(key)
            if sketch is None:
                return
            cells_C, norm = cut_of(sketch, terms, groups_N, is_target=False)
            for place in places[key]:
                index.fill(place, cells_C, norm)
            if holds:
                self.held[key] = sketch

        self.tell("reading sketches, making those that are missing", 0, len(keys))
        with ThreadPoolExecutor(self.workers) as pool:
            for done, _ in enumerate(pool.map(fill, keys), start=1):
                self.tell("reading sketches, making those that are missing", done, len(keys))
        return index

    def _estimates(self, chosen: NDArray[np.intp], target: GraphSketch) -> tuple[Float64, Float64]:
        terms = self.zoo.config.similarity.terms

        def one(place: int) -> tuple[float, float]:
            sketch = self._sketch(self.refs[place].key)
            if sketch is None:  # gone since the index was filled
                return -np.inf, 0.0
            found = estimate(sketch, target, terms)
            return found.similarity, found.deviation

        with ThreadPoolExecutor(self.workers) as pool:
            pairs = np.array(list(pool.map(one, chosen.tolist())))
        return pairs[:, 0], pairs[:, 1]

    def _rows(
        self, places: NDArray[np.intp], estimates: Float64, deviations: Float64
    ) -> pd.DataFrame:
        refs = [self.refs[place] for place in places]
        columns = {
            "source_model": [ref.model_id for ref in refs],
            "source_layer": [ref.layer for ref in refs],
            **{name: np.full(len(refs), np.nan) for name in _EXACT},
            "estimate": estimates,
            "deviation": deviations,
        }
        return pd.DataFrame(columns)

    def _compared(self, refs: Sequence[GraphRef], target_key: str) -> dict[str, Float64]:
        """The exact similarity of sources with the target, and its terms, by their columns."""
        terms = self.zoo.config.similarity.terms
        target = [open_graph(self.storage, target_key)]
        memory_bytes = int(compute_here(self.zoo.config.compute).memory)
        parts = []
        for start in range(0, len(refs), _STEP_GRAPHS):
            self.tell("comparing", start, len(refs))
            graphs = open_graphs(self.storage, refs[start : start + _STEP_GRAPHS])
            try:
                parts.append(self._tile(graphs, target, memory_bytes))
            except (ValueError, ArithmeticError) as error:
                raise StoreError(
                    f"graphs of scan {self.zoo.scan_id} cannot be compared: {error}; run `depara "
                    "verify --discard`, then the scan again"
                ) from error
        scores = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return {"similarity": combine(scores, terms), **scores}

    def _tile(
        self, graphs: Sequence[CommittedGraph], target: Sequence[CommittedGraph], memory_bytes: int
    ) -> dict[str, Float64]:
        num_probes = self.zoo.num_probes
        tile = similarity_tile(
            StoredBlock(graphs),
            StoredBlock(target),
            num_probes=num_probes,
            memory_bytes=memory_bytes,
        )
        scores = {"node_similarity": tile.node_AB[:, 0], "edge_similarity": tile.edge_AB[:, 0]}
        if self.zoo.config.similarity.terms.get("directed"):
            found = score_tile(
                ["directed"],
                lambda place: graphs[place].read_grams(),
                len(graphs),
                lambda place: target[place].read_grams(),
                1,
                num_probes=num_probes,
                memory_bytes=memory_bytes,
            )
            scores["directed"] = found["directed"][:, 0].astype(np.float64)
        return scores

    def reasons(self) -> list[str]:
        """Returns why each graph that was left out was, in words."""
        return [
            f"model {ref.model_id!r}, layer {ref.layer!r}: {self.left_out[ref.key]}"
            for ref in self.refs
            if ref.key in self.left_out
        ]


def _ranked(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Rows by falling value, then by name, with their ranks."""
    order = [by, "source_model", "source_layer"]
    rows = rows.sort_values(order, ascending=[False, True, True], ignore_index=True)
    rows.insert(0, "rank", np.arange(1, len(rows) + 1))
    return rows


def _missed(estimates: Float64, deviations: Float64, threshold: float) -> float:
    """How many of those left out are above a similarity, if each is off by a normal error."""
    is_there = np.isfinite(estimates) & (deviations > 0)
    return float(ndtr((estimates[is_there] - threshold) / deviations[is_there]).sum())


def _rms(values: Float64) -> float:
    return float(np.sqrt((values**2).mean()))
