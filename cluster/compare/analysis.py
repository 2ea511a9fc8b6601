"""What a scan says beside the scores: how sure the rankings are, and the scores with labels.

Both are stateless tasks over committed graphs, like the tiles; one last task writes the tables.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cluster.compare.chosen import RESAMPLED_GRAPH, ChosenModels
from cluster.compare.intervals import join_parts, submit_parts
from cluster.compare.labelling import (
    Call,
    HalfRow,
    LabelRow,
    half_calls,
    known_label_rows,
    label_tables,
    score_calls,
    wants_label_scores,
)
from cluster.compare.pairs import Reduction
from cluster.compare.parts import table_parts
from cluster.compare.unusable import failure_of_graphs
from cluster.pool.context import ScanContext
from cluster.pool.launcher import Ref
from cluster.pool.tasks import TaskFailure, collect_facts, failure_of, follow, merge_failures
from depara.errors import StoreError
from depara.similarity.centre import Centre
from depara.similarity.stored import NUMERIC_ERRORS, GraphRef, StoredBlock, check_graph, open_graphs
from depara.store.parts import link_table
from depara.store.scans import read_table, write_table
from depara.store.storage import Storage
from depara.uncertainty import (
    BlockCentre,
    BlockUncertainty,
    FurtherTerms,
    PlanLimits,
    Stability,
    UncertaintySettings,
    UncertaintyTask,
    block_uncertainty,
    plan_chosen,
    plan_uncertainty,
    stability_table,
    uncertainty_tables,
)

_MIN_RESAMPLES = 100


@dataclass(frozen=True)
class KnownAnalysis:
    """What an earlier scan has analysed already.

    ``has_rankings`` says that its tables of uncertainty are of the very same graphs and settings;
    ``labelled`` gives, for each graph whose label scores it holds, the model and layer there.
    ``has_label_ranking`` says that its ranking by labels is of the very same graphs and labels.
    ``facts`` are those of its tables.
    """

    scan_id: str
    facts: dict[str, Any]
    has_rankings: bool
    labelled: dict[str, tuple[str, str]]
    has_label_ranking: bool = False


@dataclass(frozen=True)
class Resampling:
    """What all resample tasks of a scan have in common: it travels once.

    ``places`` are those of the graphs in the centre of the zoo, and in what was ``chosen``.
    """

    output: str
    threads: int
    candidates: tuple[GraphRef, ...]
    targets: tuple[GraphRef, ...]
    num_probes: int
    terms: Mapping[str, float]
    layer_terms: Mapping[str, float] | None
    memory_bytes: int
    settings: UncertaintySettings
    places: Mapping[GraphRef, int]
    chosen: ChosenModels | None = None

    def wanted(self, task: UncertaintyTask) -> NDArray[np.bool_] | None:
        """Returns which pairs of a task are compared; None for all of them."""
        if self.chosen is None:
            return None
        rows = [self.places[self.candidates[place]] for place in task.sources]
        columns = [np.isin(rows, self.chosen.sources_of([target])) for target in task.targets]
        return np.stack(columns, axis=1)


def analyse(
    reduction: Reduction,
    labels: Sequence[str | None],
    known: KnownAnalysis | None,
    centre: Ref,
    spent_s: float,
    scan_id: str,
    context: ScanContext,
) -> dict[str, Any]:
    """Computes and writes the tables of uncertainty and of label scores; returns their facts.

    Args:
        reduction: the graphs compared.
        labels: of the probes, in index order.
        known: what an earlier scan has analysed, or None.
        centre: of the zoo, what `measure_centre` returns.
        spent_s: time of the scan so far, which bounds the number of resamples.
        scan_id: the scan.
        context: runs the tasks.

    Raises:
        DamagedGraphError: a graph is not what was committed.
        StoreError: a graph cannot be read, or a table not be written.
        ClusterError: tasks keep dying.
        ScanInterruptedError: a stop was requested.
    """
    context.phases.enter("analysis")
    output = context.storage.root
    threads = max(1, int(reduction.config.compute.num_cpus))
    calls: list[Call] = []
    if known is None or not known.has_rankings:
        calls = _uncertainty_calls(reduction, centre, spent_s, output, threads, context)
    num_blocks = len(calls)
    scores, halves = _label_calls(reduction, labels, known, spent_s, context)
    calls += [*scores, *halves]
    context.reporter.phase("analysis", len(calls), "tasks")
    refs = [context.launcher.submit(task, *arguments) for task, arguments in calls]
    cut = table_parts(reduction)
    written: list[Ref] = []
    if num_blocks and len(cut) > 1:
        blocks = [
            ({reduction.outputs[place].model_id for place in arguments[-1].targets}, ref)
            for (_, arguments), ref in zip(calls[:num_blocks], refs, strict=False)
        ]
        written, refs[:num_blocks] = submit_parts(cut, blocks, scan_id, context)
        del blocks  # the tasks keep what they need
    follow(refs, context)
    context.phases.enter("tables")
    order = tuple((graph.model_id, graph.layer, graph.key) for graph in _candidates(reduction))
    outputs = {graph.model_id: graph.layer for graph in reduction.sources if graph.is_ranked}
    parts = (num_blocks, num_blocks + len(scores))
    last = context.launcher.submit(
        write_analysis_tables, output, scan_id, order, outputs, known, parts, *refs
    )
    failed = "the rankings could not be analysed"
    facts = collect_facts(last, context, failed)
    if written:
        facts |= collect_facts(context.launcher.submit(join_parts, *written), context, failed)
    return facts


def resample_block(
    shared: Resampling, centre: Centre, task: UncertaintyTask
) -> BlockUncertainty | TaskFailure:
    """Returns the uncertainty of one block of pairs, or the error as data."""
    import threadpoolctl

    sources = [shared.candidates[place] for place in task.sources]
    targets = [shared.targets[place] for place in task.targets]
    storage = Storage(shared.output)
    try:
        with threadpoolctl.threadpool_limits(shared.threads):
            return block_uncertainty(
                StoredBlock(open_graphs(storage, sources)),
                StoredBlock(open_graphs(storage, targets)),
                sources=sources,
                targets=targets,
                num_probes=shared.num_probes,
                terms=shared.terms,
                layer_terms=shared.layer_terms,
                memory_bytes=shared.memory_bytes,
                centre=BlockCentre(
                    centre.rows([shared.places[graph] for graph in sources]),
                    centre.rows([shared.places[graph] for graph in targets]),
                ),
                settings=shared.settings,
                rankings=task.rankings,
                wanted_AB=shared.wanted(task),
            )
    except NUMERIC_ERRORS as error:
        return failure_of_graphs(
            error, storage, (*sources, *targets), lambda graph: check_graph(graph, ())
        )


def write_analysis_tables(
    output: str,
    scan_id: str,
    order: Sequence[tuple[str, str, str]],
    outputs: Mapping[str, str],
    known: KnownAnalysis | None,
    parts: tuple[int, int],
    *results: Any,
) -> dict[str, Any] | TaskFailure:
    """Writes the analysis tables, empty where nothing was asked for; returns their facts.

    Args:
        output: where to.
        scan_id: the scan.
        order: model, layer and key of the graphs, in the order of the label scores.
        outputs: output layer of each model that is ranked.
        known: what an earlier scan has analysed.
        parts: where in the results the label scores begin, and where those on half samples.
        results: of all tasks: blocks of uncertainty, or their stability where the tables are in
            parts; label scores; label scores on half samples.
    """
    failure = merge_failures(results)
    if failure is not None:
        return failure
    blocks: list[BlockUncertainty | Stability | None] = list(results[: parts[0]])
    rows: list[LabelRow] = [row for part in results[parts[0] : parts[1]] for row in part]
    halves: list[HalfRow] = [row for part in results[parts[1] :] for row in part]
    storage = Storage(output)
    stable = [block for block in blocks if isinstance(block, Stability)]
    tables = uncertainty_tables([one for one in blocks if isinstance(one, BlockUncertainty)])
    if stable:  # the others are in parts, which have tasks of their own
        tables = {"stability": stability_table(stable)}
    facts = {}
    try:
        if known is not None and known.has_rankings:
            in_parts = [name for name in tables if "parts" in known.facts[name]]
            for name in in_parts:
                fact = known.facts[name]
                facts[name] = link_table(storage, scan_id, name, known.scan_id, fact)
            rest = [name for name in tables if name not in in_parts]
            tables = {name: _read_known(storage, known, name) for name in rest}
        if known is not None and known.labelled:
            rows += known_label_rows(
                _read_known(storage, known, "label_scores"), known.labelled, order
            )
        place = {(model, layer): index for index, (model, layer, _) in enumerate(order)}
        rows.sort(key=lambda row: place[row[:2]])
        tables |= label_tables(rows, outputs, halves)
        if known is not None and known.has_label_ranking:
            tables["label_ranking"] = _read_known(storage, known, "label_ranking")
    except StoreError as error:
        return TaskFailure(str(error), unreadable_scan=known.scan_id if known else None)
    try:
        facts |= {name: write_table(storage, scan_id, name, t) for name, t in tables.items()}
        return facts
    except StoreError as error:
        return failure_of(error)


def _read_known(storage: Storage, known: KnownAnalysis, name: str) -> pa.Table:
    return read_table(storage, known.scan_id, name, known.facts[name])


def _uncertainty_calls(
    reduction: Reduction,
    centre: Ref,
    spent_s: float,
    output: str,
    threads: int,
    context: ScanContext,
) -> list[Call]:
    launcher = context.launcher
    config, similarity = reduction.config.uncertainty, reduction.config.similarity
    if not config.resamples or len(reduction.outputs) < 2:
        return []
    limits = PlanLimits(
        num_probes=reduction.num_probes,
        num_pixels=reduction.num_pixels,
        memory_bytes=int(reduction.config.compute.memory),
        settings=UncertaintySettings(num_resamples=config.resamples, seed=config.seed),
        budget_s=_budget_s(reduction, spent_s, context),
        min_resamples=min(_MIN_RESAMPLES, config.resamples),
        workers=launcher.capacity(),
        further=FurtherTerms.of(similarity.terms, similarity.own_layer_terms),
    )
    candidates = _candidates(reduction)
    if reduction.chosen is None:
        plan = plan_uncertainty(candidates, reduction.outputs, limits)
    else:
        blocks = _chosen_blocks(reduction, reduction.chosen, candidates)
        plan = plan_chosen(candidates, reduction.outputs, blocks, limits)
    taken = plan.settings.num_resamples
    if taken < config.resamples:
        context.reporter.note(
            f"intervals from {taken} resamples instead of {config.resamples}, to stay "
            f"within {config.time_share:.0%} of the scan's time (uncertainty.time_share)"
        )
    shared = launcher.share(
        Resampling(
            output=output,
            threads=threads,
            candidates=candidates,
            targets=reduction.outputs,
            num_probes=reduction.num_probes,
            terms=similarity.terms,
            layer_terms=similarity.own_layer_terms,
            memory_bytes=int(reduction.config.compute.memory),
            settings=plan.settings,
            places={graph: place for place, graph in enumerate(reduction.sources)},
            chosen=reduction.chosen,
        )
    )
    return [(resample_block, (shared, centre, task)) for task in plan.tasks]


def _chosen_blocks(
    reduction: Reduction, chosen: ChosenModels, candidates: Sequence[GraphRef]
) -> list[tuple[list[int], tuple[int, ...]]]:
    """The blocks of chosen pairs, their sources as places among the candidates."""
    place_of = {graph: place for place, graph in enumerate(candidates)}
    return [
        (
            [place_of[g] for row in rows if (g := reduction.sources[row]) in place_of],
            columns,
        )
        for rows, columns in chosen.blocks(RESAMPLED_GRAPH)
    ]


def _label_calls(
    reduction: Reduction,
    labels: Sequence[str | None],
    known: KnownAnalysis | None,
    spent_s: float,
    context: ScanContext,
) -> tuple[list[Call], list[Call]]:
    """Returns the tasks of the scores with labels, and those of half samples of the labels."""
    if not wants_label_scores(reduction, labels):
        return [], []
    config = reduction.config
    output, launcher = context.storage.root, context.launcher
    threads = max(1, int(config.compute.num_cpus))
    done = known.labelled if known is not None else {}
    graphs = [graph for graph in _candidates(reduction) if graph.key not in done]
    hard = config.similarity.hard
    scores = score_calls(graphs, labels, hard, output, threads, launcher, reduction.objects)
    ranked = [graph for graph in reduction.sources if graph.is_ranked]
    has_halves = config.uncertainty.resamples and len(ranked) > 1
    if not has_halves or (known is not None and known.has_label_ranking):
        return scores, []
    seed, budget_s = config.uncertainty.seed, _budget_s(reduction, spent_s, context)
    return scores, half_calls(
        ranked, labels, hard, seed, budget_s, output, threads, launcher, reduction.objects
    )


def _budget_s(reduction: Reduction, spent_s: float, context: ScanContext) -> float:
    """Core seconds that resamples may take."""
    cores = context.launcher.capacity() * max(1, int(reduction.config.compute.num_cpus))
    return reduction.config.uncertainty.time_share * spent_s * min(cores, os.cpu_count() or 1)


def _candidates(reduction: Reduction) -> tuple[GraphRef, ...]:
    """All graphs but those of random-weights twins."""
    return tuple(graph for graph in reduction.sources if not graph.null_of)
