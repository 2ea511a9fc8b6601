"""The digit zoo trains what is missing, and only that, into encoders of one architecture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")

from safetensors.torch import load_file

from examples.digits import zoo
from examples.digits.data import load_digits
from examples.digits.encoder import INPUT_MEAN, INPUT_STD, Encoder
from examples.digits.fit import Settings, as_pixels, fit_encoder, trivial_error
from examples.digits.tasks import TASKS, Examples
from examples.digits.train import main
from examples.digits.zoo import checkpoint_path, fill_zoo, read_report, settings_key

BRIEF = Settings(steps=2, batch_size=16)


def fill(folder: Path, names: list[str], how: Settings = BRIEF) -> None:
    assert {report.name for report in fill_zoo(folder, names, how, workers=1)} == set(names)


@pytest.mark.parametrize("name", ["class10", "autoencode"])
def test_a_few_steps_lower_the_held_out_error(name: str):
    train, held_out = load_digits("train"), load_digits("held_out")
    how = Settings(batch_size=64)
    before = fit_encoder(name, TASKS[name], train, held_out, replace(how, steps=4))
    after = fit_encoder(name, TASKS[name], train, held_out, replace(how, steps=50))
    assert after.error < 0.7 * before.error
    assert after.error < 0.7 * after.trivial_error


def test_fitting_twice_gives_the_same_weights_whatever_the_random_state():
    train, held_out = load_digits("train"), load_digits("held_out")
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state_before = torch.random.get_rng_state()
        states.append(fit_encoder("jigsaw", TASKS["jigsaw"], train, held_out, BRIEF))
        assert torch.equal(torch.random.get_rng_state(), state_before)
    first, second = (fitted.encoder.state_dict() for fitted in states)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_another_seed_gives_other_weights():
    train, held_out = load_digits("train"), load_digits("held_out")
    first, second = (
        fit_encoder("parity", TASKS["parity"], train, held_out, replace(BRIEF, seed=seed))
        for seed in (0, 1)
    )
    assert not torch.equal(first.encoder.code.weight, second.encoder.code.weight)


def test_trivial_error_of_classes_names_the_most_frequent():
    seen = Examples(torch.zeros(4, 1, 2, 2), torch.tensor([1, 1, 1, 0]))
    unseen = Examples(torch.zeros(5, 1, 2, 2), torch.tensor([0, 1, 1, 0, 0]))
    assert trivial_error(TASKS["parity"], seen, unseen) == pytest.approx(0.6)


def test_trivial_error_of_pictures_is_the_better_of_mean_and_copy():
    seen = Examples(torch.zeros(2, 1, 1, 2), torch.tensor([0.0, 0, 1, 1]).view(2, 1, 1, 2))
    unseen = Examples(torch.full((1, 1, 1, 2), 0.9), torch.ones(1, 1, 1, 2))
    assert trivial_error(TASKS["denoise"], seen, unseen) == pytest.approx(0.01)
    assert trivial_error(TASKS["autoencode"], seen, unseen) == pytest.approx(0.25)


def test_all_encoders_have_one_architecture(tmp_path: Path):
    fill(tmp_path, list(TASKS), replace(BRIEF, steps=1))
    expected = {key: value.shape for key, value in Encoder().state_dict().items()}
    for name in TASKS:
        state = load_file(checkpoint_path(tmp_path, name))
        assert {key: value.shape for key, value in state.items()} == expected
        Encoder().load_state_dict(state, strict=True)


def test_the_input_is_normalised_by_its_own_mean_and_deviation():
    pixels = as_pixels(load_digits("train"))
    assert pixels.mean().item() == pytest.approx(INPUT_MEAN, abs=0.01)
    assert pixels.std().item() == pytest.approx(INPUT_STD, abs=0.01)


def test_a_report_is_read_back_from_the_checkpoint(tmp_path: Path):
    (written,) = fill_zoo(tmp_path, ["mirror"], BRIEF, workers=1)
    read = read_report(tmp_path, "mirror", BRIEF)
    assert read is not None
    assert read.error == pytest.approx(written.error, abs=1e-6)
    assert read.trivial_error == pytest.approx(written.trivial_error, abs=1e-6)
    assert read.seconds is None


def test_equal_training_gives_equal_bytes_and_leaves_no_other_file(tmp_path: Path):
    fill(tmp_path, ["edges"])
    first = checkpoint_path(tmp_path, "edges").read_bytes()
    fill(tmp_path, ["edges"])
    assert checkpoint_path(tmp_path, "edges").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["edges.safetensors"]


@pytest.mark.parametrize(
    "changed",
    [{"steps": 3}, {"batch_size": 8}, {"peak_learning_rate": 1e-3}, {"shift_px": 1}, {"seed": 5}],
)
def test_changed_settings_make_a_checkpoint_outdated(tmp_path: Path, changed: dict[str, float]):
    fill(tmp_path, ["class10"])
    assert read_report(tmp_path, "class10", BRIEF) is not None
    assert read_report(tmp_path, "class10", replace(BRIEF, **changed)) is None


def test_changed_code_makes_a_checkpoint_outdated(tmp_path: Path, monkeypatch):
    before = settings_key("class10", BRIEF)
    for source in zoo._SOURCES:
        (tmp_path / source).write_bytes(Path(zoo.__file__).with_name(source).read_bytes())
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "zoo.py"))
    assert settings_key("class10", BRIEF) == before
    (tmp_path / "tasks.py").write_text("# another task\n")
    assert settings_key("class10", BRIEF) != before


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "junk", "cut"])
def test_a_damaged_checkpoint_is_outdated(tmp_path: Path, content: bytes | None):
    fill(tmp_path, ["class10"])
    path = checkpoint_path(tmp_path, "class10")
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    assert read_report(tmp_path, "class10", BRIEF) is None


def test_the_command_trains_once(tmp_path: Path, capsys, monkeypatch):
    command = ["--out", str(tmp_path), "--tasks", "segment", "--steps", "60", "--workers", "1"]
    assert main(command) == 0
    assert "[1/1] segment" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"segment.safetensors", "probes.parquet"}

    monkeypatch.setattr(zoo, "fit_encoder", lambda *_: pytest.fail("trained again"))
    assert main(command) == 0
    assert "already" in capsys.readouterr().out


def test_the_command_trains_again_what_changed_or_is_forced(tmp_path: Path, capsys):
    command = ["--out", str(tmp_path), "--workers", "1", "--steps", "2"]
    main([*command, "--tasks", "mirror"])
    main([*command, "--tasks", "mirror", "parity"])
    assert "training 1 of 2 encoders" in capsys.readouterr().out
    main([*command, "--tasks", "mirror", "parity", "--seed", "1"])
    assert "training 2 of 2 encoders" in capsys.readouterr().out
    main([*command, "--tasks", "mirror", "--seed", "1", "--force"])
    assert "training 1 of 1 encoders" in capsys.readouterr().out


def test_an_encoder_that_learned_nothing_fails_the_command(tmp_path: Path, capsys):
    command = ["--out", str(tmp_path), "--tasks", "class10", "--steps", "1", "--workers", "1"]
    assert main(command) == 1
    assert "class10 removed less than 50%" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["--out", str(tmp_path / "file" / "zoo"), "--tasks", "class10"]) == 1
    assert "cannot write the zoo to" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--steps", "0"], ["--tasks", "depth"]])
def test_bad_arguments_are_refused(arguments: list[str], capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert arguments[0] in capsys.readouterr().err
