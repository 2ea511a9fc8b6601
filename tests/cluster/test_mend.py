"""What is mended of damage, and when a scan gives up: from stage value to stage value."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import mend as mending
from cluster.extract.plan import make_plan
from cluster.mend import MAX_MENDS, Damage, mend
from cluster.pool.context import ScanContext
from cluster.pool.progress import PlainReporter
from cluster.record.history import History, PreviousScan
from cluster.record.manifest import PreparedScan
from cluster.stages import Extraction
from depara.config import parse_scan
from depara.errors import (
    DamagedCanvasesError,
    DamagedGraphError,
    UnreadableScanError,
    UnusableGraphError,
)
from depara.store.storage import Storage
from depara.types import InputSpec, LayerInfo, ModelCard

FILE = parse_scan("probes: {source: x}\nmodels: [{id: a, source: 'python:z:A'}]")
LAYERS = tuple(LayerInfo(name, depth, 1.0, 8, (8,)) for depth, name in enumerate(("conv", "code")))
CARD = ModelCard(
    "a", "s", "arch", "0" * 64, 1, InputSpec(224, (0.5,) * 3, (0.5,) * 3), LAYERS, "code", 0.1
)
PREVIOUS = PreviousScan({"scan_id": "night1"}, (), {}, {})
PLAN = make_plan(FILE.config, [CARD], "set", 100, lambda keys: keys)
CONV, CODE = PLAN.graph_keys
DONE = Extraction(
    PreparedScan(PLAN, (), (), {}, History(PREVIOUS, frozenset(), ()), {}, ()), None, 2, PREVIOUS
)

Mend = Callable[[Damage, Extraction], Extraction]


@pytest.fixture
def notes() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def mended(tmp_path: Path, notes: io.StringIO) -> Mend:
    context = ScanContext(Storage(str(tmp_path)), None, PlainReporter(notes))  # type: ignore[arg-type]
    return lambda damage, graphs: mend(damage, graphs, FILE, None, "night2", context)  # type: ignore[arg-type]


def unusable(*keys: str) -> UnusableGraphError:
    error = UnusableGraphError("graphs are zero")
    error.graph_keys = keys
    error.reasons = dict.fromkeys(keys, "its Gram is zero")
    return error


def test_damaged_graphs_are_to_be_computed_anew(mended: Mend, notes: io.StringIO) -> None:
    damage = DamagedGraphError("torn")
    damage.graph_keys = (CODE, CODE)
    after = mended(damage, DONE)
    assert after.todo is not None
    assert [graph.key for graph in after.todo.models[0].missing] == [CODE]
    assert (after.rank, after.healed, after.num_mends) == (0, {CODE}, 1)
    assert after.previous is PREVIOUS
    assert notes.getvalue().splitlines() == [
        "damaged: torn",
        "1 damaged graphs are computed anew",
    ]


def test_an_unreadable_scan_is_not_continued_and_nothing_is_computed(mended: Mend) -> None:
    after = mended(UnreadableScanError("torn"), DONE)
    assert (after.previous, after.todo, after.num_mends) == (None, None, 1)
    assert after.prepared.history.previous is PREVIOUS, "what has changed is still told from it"


def test_damaged_canvases_are_decoded_anew_for_the_same_work(
    mended: Mend, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    monkeypatch.setattr(mending, "prepare_probes", lambda *args, **kw: decoded.append(kw))
    after = mended(DamagedCanvasesError("torn"), DONE)
    assert decoded == [{"fresh": True, "keep": True}]
    assert (after.rank, after.num_mends) == (2, 1)


def test_an_unusable_graph_is_computed_anew_once_and_then_costs_its_model(mended: Mend) -> None:
    once = mended(unusable(CODE), DONE)
    assert (once.healed, once.left_out) == ({CODE}, ())
    twice = mended(unusable(CODE, CONV), once)
    assert twice.todo is not None
    assert [graph.key for graph in twice.todo.models[0].missing] == [CONV]
    (failure,) = twice.left_out
    assert (failure.model_id, failure.stage, failure.layer) == ("a", "reduce", "code")
    assert (failure.error_type, failure.message) == ("UnusableGraphError", "its Gram is zero")


@pytest.mark.parametrize("kind", [DamagedGraphError, DamagedCanvasesError, UnreadableScanError])
def test_a_scan_gives_up_after_so_many_mends(
    mended: Mend, kind: type[Damage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mending, "prepare_probes", lambda *args, **kw: None)
    graphs = DONE
    for _ in range(MAX_MENDS):
        graphs = mended(kind("torn"), graphs)
    damage = kind("torn")
    with pytest.raises(kind) as it:
        mended(damage, graphs)
    assert it.value is damage
    assert mended(unusable(CODE), graphs).healed == {CODE}, "it ends by itself: each is healed once"
