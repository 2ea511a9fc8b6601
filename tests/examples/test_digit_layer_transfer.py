"""The layer truth is what each cut reaches when it is fine-tuned, the same on every run."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")

from depara.config import load_scan_file
from depara.evaluation.truth import load_truth
from examples.digits import layer_transfer
from examples.digits.encoder import Encoder
from examples.digits.fit import Settings
from examples.digits.layer_transfer import (
    DETAILS_FILE,
    FROM_SCRATCH,
    LAYERS,
    SOURCES,
    TARGET,
    TRUTH_FILE,
    FineTuning,
    layer_truth_key,
    main,
    taken_over,
    tune_all_cuts,
)
from examples.digits.tasks import TASKS
from examples.digits.zoo import checkpoint_path, fill_zoo

ROOT = Path(__file__).resolve().parents[2]
HOW = FineTuning(labels=20, repeats=2, training=Settings(steps=1, batch_size=20, shift_px=0))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    how = Settings(steps=2, batch_size=16)
    assert len(list(fill_zoo(folder, SOURCES, how, workers=1))) == len(SOURCES)
    return folder


def brief(zoo: Path, out: Path, *more: str) -> list[str]:
    options = ["--labels", "20", "--repeats", "2", "--steps", "1", "--workers", "1", *more]
    return ["--zoo", str(zoo), "--out", str(out), *options]


@pytest.fixture(scope="module")
def measured(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a brief layer truth of the zoo."""
    folder = tmp_path_factory.mktemp("truth")
    assert main(brief(zoo, folder)) == 0
    return folder


def test_the_cuts_are_the_layers_of_the_scan(zoo: Path):
    from depara.models import describe_model

    scan = load_scan_file(
        str(ROOT / "examples" / "digits" / "scan.yaml"),
        [f"models.0.weights={checkpoint_path(zoo, 'jigsaw')}"],
    ).config
    _, card = describe_model(scan.models[0], canvas_side=scan.canvas.side, features="flatten")
    assert tuple(layer.name for layer in card.layers) == LAYERS
    assert {TARGET, *SOURCES} <= TASKS.keys()


def test_a_cut_takes_over_all_layers_up_to_it_and_no_other():
    state = Encoder().state_dict()
    taken = [set(taken_over(state, layer)) for layer in LAYERS]
    assert all(less < more for less, more in pairwise(taken))
    assert {key.partition(".")[0] for key in taken[0]} == {"stem"}
    assert {key.rpartition("blocks.")[2][0] for key in taken[2] - taken[0]} == {"0", "1"}
    assert {"stem.1.running_mean", "stem.1.running_var"} <= taken[0]
    assert taken[-1] == set(state)


def test_repeats_know_every_cut_and_differ_in_their_chance(zoo: Path):
    first, second = (tune_all_cuts(zoo, SOURCES, HOW, repeat) for repeat in (0, 1))
    cuts = {(source, layer) for source in SOURCES for layer in LAYERS}
    assert set(first.accuracies) == set(second.accuracies) == {*cuts, (FROM_SCRATCH, FROM_SCRATCH)}
    assert all(0 <= value <= 1 for value in first.accuracies.values())
    assert first.accuracies != second.accuracies
    assert tune_all_cuts(zoo, SOURCES, HOW, 0).accuracies == first.accuracies


def test_the_random_layers_are_those_of_training_from_scratch(zoo: Path, monkeypatch):
    """Cuts differ in what is taken over alone: the chance of a repeat is one."""
    seen: list[dict[str, torch.Tensor]] = []

    def record(encoder, head, task, train, how, chance):
        labels = torch.from_numpy(train.labels_N)
        seen.append({**encoder.state_dict(), "labels": labels, "head": head.hidden.weight.detach()})
        encoder.eval()

    monkeypatch.setattr(layer_transfer, "fine_tune", record)
    tune_all_cuts(zoo, ["jigsaw"], HOW, 0)
    scratch, cuts = seen[0], seen[1:]
    assert len(cuts) == len(LAYERS)
    source = layer_transfer.load_encoder(zoo, "jigsaw").state_dict()
    for layer, state in zip(LAYERS, cuts, strict=True):
        expected = {**scratch, **taken_over(source, layer)}
        assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_fine_tuning_a_trained_encoder_beats_training_from_scratch(tmp_path: Path):
    how = Settings(steps=60, batch_size=64)
    assert len(list(fill_zoo(tmp_path, [TARGET], how, workers=1))) == 1
    tuning = FineTuning(labels=60, repeats=1, training=replace(HOW.training, steps=10))
    accuracies = tune_all_cuts(tmp_path, [TARGET], tuning, 0).accuracies
    assert accuracies[TARGET, "code"] > accuracies[FROM_SCRATCH, FROM_SCRATCH] + 0.2


def test_the_command_writes_a_row_for_every_layer(measured: Path):
    assert {path.name for path in measured.iterdir()} == {TRUTH_FILE, DETAILS_FILE}
    truth = load_truth(str(measured / TRUTH_FILE))
    assert truth.kind == "layers"
    assert set(truth.table["target"]) == {TARGET}
    for source in SOURCES:
        rows = truth.table[truth.table["source"] == source]
        assert sorted(rows["layer"]) == sorted(LAYERS)
        assert rows["value"].between(0, 1).all()


def test_details_hold_every_repeat(measured: Path):
    details = json.loads((measured / DETAILS_FILE).read_text())
    truth = load_truth(str(measured / TRUTH_FILE)).table.set_index(["source", "layer"])["value"]
    assert list(details["sources"]) == list(details["stability"]) == list(SOURCES)
    for source, layers in details["sources"].items():
        assert list(layers) == list(LAYERS)
        for layer, entry in layers.items():
            assert len(entry["accuracies"]) == HOW.repeats
            assert np.mean(entry["accuracies"]) == pytest.approx(entry["accuracy"], abs=1e-5)
            assert truth[source, layer] == pytest.approx(entry["accuracy"], abs=1e-5)
    assert details["from_scratch"]["standard_error"] == 0


def test_a_layer_truth_is_measured_once(zoo: Path, measured: Path, capsys, monkeypatch):
    monkeypatch.setattr(layer_transfer, "tune_all_cuts", lambda *_: pytest.fail("tuned again"))
    assert main(brief(zoo, measured)) == 0
    assert "already" in capsys.readouterr().out


def test_a_layer_truth_is_measured_again_when_forced(zoo: Path, tmp_path: Path, capsys):
    command = brief(zoo, tmp_path, "--sources", "jigsaw", "--repeats", "1")
    for more in ([], ["--force"]):
        assert main([*command, *more]) == 0
        said = capsys.readouterr().out
        assert "[1/1] repeat 0" in said
        assert "correlation" not in said


def test_changed_encoders_sources_or_settings_outdate_a_layer_truth(zoo: Path, tmp_path: Path):
    for name in SOURCES:
        checkpoint_path(tmp_path, name).write_bytes(checkpoint_path(zoo, name).read_bytes())
    before = layer_truth_key(tmp_path, SOURCES, HOW)
    assert layer_truth_key(tmp_path, SOURCES, HOW) == before
    assert layer_truth_key(tmp_path, SOURCES[:1], HOW) != before
    assert layer_truth_key(tmp_path, SOURCES, replace(HOW, labels=21)) != before
    checkpoint_path(tmp_path, SOURCES[0]).write_bytes(b"another")
    assert layer_truth_key(tmp_path, SOURCES, HOW) != before


def test_a_missing_source_is_reported(zoo: Path, tmp_path: Path, capsys):
    assert main(brief(zoo, tmp_path, "--sources", "jigsaw", "mirror")) == 1
    assert "lacks mirror: run python -m examples.digits.train" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--labels", "0"], ["--labels", "1201"], ["--sources", TARGET], ["--steps", "0"]]
)
def test_bad_arguments_are_refused(arguments: list[str], capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert arguments[0] in capsys.readouterr().err
