"""What a scan prints before and after: the plan of a dry run, and the closing summary."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.extract.plan import ModelPlan, ScanPlan
from cluster.pool.phases import Spent
from cluster.record.budget import budget_lines, size_lines
from cluster.record.history import Changes, History
from cluster.record.manifest import PreparedScan, ScanSummary
from cluster.record.notes import ModelNote, matters_of, model_notes
from cluster.record.report import ReportOutcome
from depara.answers import DataRecommendation, recommend_for_labels
from depara.answers.recommender import SAFE
from depara.probes import LeftOut, describe_left_out
from depara.redaction import redact
from depara.results import ScanResults
from depara.results.tables import top_sources_table
from depara.texts import bytes_text, shown, shown_line
from depara.types import Failure

MAX_TARGETS_SHOWN = 10
_MAX_FAILURES_SHOWN = 20
_MAX_NOTES_SHOWN = 20


def print_plan(
    console: Console,
    prepared: PreparedScan,
    pairs: tuple[int, int],
    num_graph_reads: int,
    changes: Changes,
) -> None:
    """Prints the models, layers, units, bytes to write and work to do of a scan.

    Args:
        console: where to.
        prepared: the scan.
        pairs: how many pairs of graphs there are, and how many an earlier scan has compared.
        num_graph_reads: how often the comparison reads a graph.
        changes: what became of the models since then.
    """
    plan = prepared.plan
    table = Table(title="models", title_justify="left", header_style="bold")
    for name in ("model", "input px", "parameters"):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    table.add_column("layers", justify="right")
    table.add_column("to compute", justify="right")
    table.add_column("first … last layer", overflow="fold")
    for model in plan.models:
        table.add_row(*_plan_row(model))
    console.print(table)
    print_inputs(console, plan.models)
    groups = plan.groups()
    num_units = sum(len(group.units) for group in groups)
    lines = [
        f"probes:      {plan.num_probes}, canvas {plan.config.canvas.side} px",
        f"graphs:      {plan.num_graphs}, of which {plan.num_missing} are to be computed",
        f"work:        {num_units} units for {len(groups)} models",
        *size_lines(plan, num_graph_reads),
        *budget_lines(plan),
        f"comparisons: {pairs[0]} ({_kind_of_pairs(plan)}), of which {pairs[0] - pairs[1]} are to "
        "be computed",
        f"models:      {_counted(changes)}",
        f"earlier:     {_since(prepared.history)}",
        f"output:      {plan.config.output}",
    ]
    console.print(shown("\n".join(lines)), markup=False, highlight=False)
    print_failures(console, prepared.failures)
    print_left_out(console, prepared.left_out)
    print_notes(console, model_notes(plan.models, {}))
    console.print("dry run: nothing was computed or written", markup=False)


def print_summary(console: Console, summary: ScanSummary, results: ScanResults) -> None:
    """Prints the best sources of the first targets, the failures, and where the results lie."""
    ranked: set[str] = set()
    for part in results.arrow_parts("model_ranking", ["target_model"]):
        ranked.update(pc.unique(part["target_model"]).to_pylist())
    targets = [name for name in results.models() if name in ranked]
    if targets:
        shown_rows = results.arrow_table("model_ranking", targets[:MAX_TARGETS_SHOWN])
        ranking = shown_rows.to_pandas()
        console.print("best sources per target, with their similarity", style="italic")
        noisy = {
            (one.model_id, one.note.layer or "")
            for one in summary.notes
            if (one.stage, one.note.kind) == ("extract", "conditioning")
        }
        console.print(top_sources_table(ranking, targets[:MAX_TARGETS_SHOWN], noisy=noisy))
        outputs = zip(ranking["source_model"], ranking["source_layer"], strict=True)
        if noisy & set(outputs):
            console.print("~ its maps are rounding noise, see below", markup=False)
        if len(targets) > MAX_TARGETS_SHOWN:
            rest = len(targets) - MAX_TARGETS_SHOWN
            console.print(f"and {rest} more targets: see the table model_ranking", markup=False)
    print_certainty(console, results)
    print_labels(console, results)
    print_failures(console, summary.failures)
    print_left_out(console, summary.left_out)
    print_notes(console, summary.notes)
    new_graphs = summary.num_graphs - summary.num_reused_graphs
    new_pairs = summary.num_pairs - summary.num_reused_pairs
    console.print(
        f"models: {_counted(summary.changes)}\n"
        f"graphs: {new_graphs} computed, {summary.num_reused_graphs} reused; "
        f"pairs: {new_pairs} computed, {summary.num_reused_pairs} reused\n"
        f"{summary.num_probes} probes, {summary.seconds:.1f} s\n"
        f"{_times(summary.spent)}\n"
        f"results: {shown_line(summary.location)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def print_report(console: Console, outcome: ReportOutcome) -> None:
    """Prints where the report lies, or that there is none and why."""
    console.print(shown_line(outcome.line), markup=False, highlight=False, soft_wrap=True)


def print_certainty(console: Console, results: ScanResults) -> None:
    """Prints how safe the first choices are, and whether fewer probes would have done."""
    safe = known = 0
    for ranks in results.arrow_parts("rank_uncertainty", ["ranking", "rank", "p_first"]):
        is_model = pc.equal(ranks["ranking"].cast(pa.string()), "model")
        first = ranks.filter(pc.and_(is_model, pc.equal(ranks["rank"], 1)))["p_first"].to_numpy()
        known += len(first)
        safe += int((first >= SAFE).sum())
    if not known:
        return
    line = f"first choice safe (first in {SAFE:.0%} of resamples): {safe} of {known} targets"
    stability = results.table("stability")
    if len(stability):
        half = stability.iloc[0]
        line += (
            f"; {int(half['num_probes'])} probes give the same ranking to a rank correlation of "
            f"{half['correlation']:.2f}"
        )
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_labels(console: Console, results: ScanResults) -> None:
    """Prints what to start from for the labelled probes themselves, if there are any."""
    if (results.table("label_ranking")["ranking"] == "model").any():
        found = recommend_for_labels(results)
        console.print(
            shown_line(f"for the {_target(found)}: {found.sentence}"),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def print_failures(console: Console, failures: Sequence[Failure]) -> None:
    """Prints what was left out, one line each."""
    if not failures:
        return
    models = len({failure.model_id for failure in failures if failure.model_id})
    probes = sum(not failure.model_id for failure in failures)
    parts = [f"{models} models"] * bool(models) + [f"{probes} probes"] * bool(probes)
    console.print(Text(f"failed: {', '.join(parts)}", style="bold"))
    for failure in failures[:_MAX_FAILURES_SHOWN]:
        name = f"{failure.model_id}: " if failure.model_id else ""
        line = f"  {name}{failure.error_type}: {failure.message}"
        console.print(shown_line(line), markup=False, highlight=False, soft_wrap=True)
    if len(failures) > _MAX_FAILURES_SHOWN:
        rest = len(failures) - _MAX_FAILURES_SHOWN
        console.print(f"  and {rest} more: see failures.parquet", markup=False)


def print_left_out(console: Console, left_out: Sequence[LeftOut]) -> None:
    """Prints what lies beside the probes and was not taken for images, in one line."""
    if left_out:
        line = f"not taken for probes: {shown_line(describe_left_out(left_out))}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_inputs(console: Console, models: Sequence[ModelPlan]) -> None:
    """Prints the input of each model and where its parts were found; equal ones share a line."""
    sharing: dict[tuple[str, str], list[str]] = {}
    for model in models:
        taken = model.card.input
        mean, std = (" ".join(f"{v:.4g}" for v in values) for values in (taken.mean, taken.std))
        text = f"{taken.side} px {taken.channels}, mean {mean}, std {std}"
        sharing.setdefault((text, model.card.input_from), []).append(model.card.model_id)
    console.print(Text("inputs:", style="bold"))
    for (text, origins), names in sharing.items():
        line = shown_line(f"  {text} ({redact(origins)}): {', '.join(names)}")
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_notes(console: Console, notes: Sequence[ModelNote]) -> None:
    """Prints what a user must know of numbers that are given all the same, one line a matter."""
    if not notes:
        return
    console.print(Text("to know of these numbers:", style="bold"))
    matters = matters_of(notes)
    for matter in matters[:_MAX_NOTES_SHOWN]:
        line = f"  {matter.kind}: {matter.places}: {matter.message}"
        console.print(shown_line(line), markup=False, highlight=False, soft_wrap=True)
    if len(matters) > _MAX_NOTES_SHOWN:
        rest = len(matters) - _MAX_NOTES_SHOWN
        console.print(f"  and {rest} more: see notes.parquet", markup=False)


def _target(found: DataRecommendation) -> str:
    return f"{found.num_probes} labelled probes" if found.num_probes else found.target


def _times(spent: Spent) -> str:
    """Where the time went, on one line."""
    phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.phases.items())
    share, traffic = spent.busy_share, spent.traffic
    busy = "" if share is None else f"; workers {share:.0%} busy"
    moved = f"read {bytes_text(traffic.read_bytes)}, wrote {bytes_text(traffic.written_bytes)}"
    if traffic.to_device_bytes:
        moved += (
            f"; {bytes_text(traffic.to_device_bytes)} to devices, "
            f"{bytes_text(traffic.from_device_bytes)} from them"
        )
    return f"time: {phases}{busy}; {moved}"


def _counted(changes: Changes) -> str:
    return ", ".join(f"{len(ids)} {name}" for name, ids in vars(changes).items())


def _kind_of_pairs(plan: ScanPlan) -> str:
    similarity = plan.config.similarity
    kind = f"similarity.pairs: {similarity.pairs}"
    if similarity.pairs != "nearest":
        return kind
    return f"about; {kind}, {similarity.nearest} models of each target; the graphs tell which"


def _since(history: History) -> str:
    """Why much or little is to be done."""
    if history.previous is not None:
        return f"scan {history.previous.scan_id} is of the same method and probes, and reused"
    if history.reasons:
        return "nothing is taken from the latest scan: " + "; ".join(history.reasons)
    return "there is no earlier scan to reuse"


def _plan_row(model: ModelPlan) -> list[Text]:
    card, names = model.card, [graph.layer.name for graph in model.graphs]
    span = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
    cells = [
        card.model_id,
        str(card.input.side),
        f"{card.num_parameters:,}",
        str(len(names)),
        str(len(model.missing)),
        span,
    ]
    return [Text(shown_line(cell)) for cell in cells]
