"""The truth of a zoo is what decoders on its frozen encoders reach, the same on every run."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")

from safetensors.torch import load_file, save_file

from depara.evaluation.truth import load_truth
from examples.digits import transfer
from examples.digits.decoders import Decoding, losses_of_pictures, measure_encoder
from examples.digits.fit import Settings
from examples.digits.tasks import TASKS
from examples.digits.transfer import DETAILS_FILE, TRUTH_FILE, main, truth_key
from examples.digits.truth import (
    Transfers,
    read_details,
    stability,
    stability_of_mean,
    truth_rows,
    win_rates,
    write_details,
)
from examples.digits.zoo import checkpoint_path, fill_zoo, list_encoders

NAMES = ["class10", "mirror", "autoencode", "edges"]
HOW = Decoding(pictures=32, repeats=2, training=Settings(steps=3, batch_size=32, shift_px=0))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    how = Settings(steps=2, batch_size=16)
    assert len(list(fill_zoo(folder, NAMES, how, workers=1))) == len(NAMES)
    return folder


def brief(zoo: Path, out: Path, *more: str) -> list[str]:
    options = ["--pictures", "32", "--repeats", "2", "--steps", "3", "--workers", "1", *more]
    return ["--zoo", str(zoo), "--out", str(out), *options]


@pytest.fixture(scope="module")
def measured(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a brief truth of the zoo."""
    folder = tmp_path_factory.mktemp("truth")
    assert main(brief(zoo, folder)) == 0
    return folder


def test_win_rates_count_pairs_of_pictures_and_rivals():
    losses_MN = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 4.0]])
    assert win_rates(losses_MN) == pytest.approx([2.5 / 4, 1.5 / 4, 2 / 4])


def test_win_rates_agree_with_counting_one_by_one():
    losses_MN = np.random.default_rng(0).integers(0, 6, (5, 40)).astype(float)
    wins = np.zeros(5)
    for picture_M in losses_MN.T:
        for one, rival in permutations(range(5), 2):
            wins[one] += picture_M[one] < picture_M[rival]
            wins[one] += 0.5 * (picture_M[one] == picture_M[rival])
    rates = win_rates(losses_MN)
    assert rates == pytest.approx(wins / (40 * 4))
    assert rates.sum() == pytest.approx(5 / 2)
    assert win_rates(losses_MN[::-1]) == pytest.approx(rates[::-1])
    assert win_rates(np.exp(3 * losses_MN)) == pytest.approx(rates)  # ordinal


def test_win_rates_reach_zero_and_one():
    assert win_rates(np.array([[0.0, 0], [1, 1], [2, 2]])) == pytest.approx([1, 0.5, 0])


def test_stability_is_the_rank_correlation_of_repeats():
    rising = np.array([0.1, 0.4, 0.5, 0.9])
    assert stability(np.stack([rising, rising**2])) == pytest.approx(1)
    assert stability(np.stack([rising, rising[::-1]])) == pytest.approx(-1)
    assert stability(np.stack([rising, rising, rising[::-1]])) == pytest.approx(-1 / 3)
    assert np.isnan(stability(rising[None]))
    assert stability_of_mean(0.5, 3) == pytest.approx(0.75)
    assert stability_of_mean(1.0, 3) == pytest.approx(1)


@pytest.mark.parametrize("name", ["jigsaw", "denoise"])
def test_the_task_s_loss_is_the_mean_of_the_pictures(name: str):
    chance, task = torch.Generator().manual_seed(0), TASKS[name]
    if task.num_classes is None:
        answers, targets = torch.rand(2, 5, 1, 32, 32, generator=chance)
    else:
        answers = torch.randn(5, task.num_classes, generator=chance)
        targets = torch.arange(5)
    losses_N = losses_of_pictures(task, answers, targets)
    assert losses_N.shape == (5,)
    assert losses_N.mean().item() == pytest.approx(task.loss(answers, targets).item(), rel=1e-5)


def test_rows_leave_out_a_target_s_own_encoder_and_share_a_task_s_truth():
    encoders = ["class10-plain", "class10-vit", "edges-vit"]
    rates = {"class10": np.array([0.9, 0.5, 0.1]), "edges": np.array([0.3, 0.2, 1.0])}
    transfers = {
        task: Transfers(rate[None], np.zeros(3), np.zeros(3)) for task, rate in rates.items()
    }
    assert truth_rows(transfers, encoders) == [
        ("class10-plain", "class10-vit", 0.5),
        ("class10-plain", "edges-vit", 0.1),
        ("class10-vit", "class10-plain", 0.9),
        ("class10-vit", "edges-vit", 0.1),
        ("edges-vit", "class10-plain", 0.3),
        ("edges-vit", "class10-vit", 0.2),
    ]


def change_code(zoo: Path, to: Path, factor: float) -> None:
    """Writes ``class10`` with its code multiplied."""
    state = load_file(checkpoint_path(zoo, "class10"))
    for key in ("code.weight", "code.bias"):
        state[key] = factor * state[key]
    save_file(state, checkpoint_path(to, "class10"))


def test_decoders_learn_from_a_code_and_nothing_from_an_empty_one(zoo: Path, tmp_path: Path):
    how = Decoding(pictures=200, repeats=1, training=Settings(steps=60, batch_size=32, shift_px=0))
    change_code(zoo, tmp_path, 0)
    full = measure_encoder(zoo, "class10", ("class10", "autoencode"), how)
    empty = measure_encoder(tmp_path, "class10", ("class10", "autoencode"), how)
    assert full.errors["class10"][0] < 0.5 * empty.errors["class10"][0]
    assert full.errors["autoencode"][0] < 0.8 * empty.errors["autoencode"][0]
    for task in full.losses:
        assert full.losses[task].shape == (1, 597)
        rates = win_rates(np.concatenate([full.losses[task], empty.losses[task]]))
        assert rates[0] > 0.8


def test_the_scale_of_a_code_does_not_matter(zoo: Path, tmp_path: Path):
    change_code(zoo, tmp_path, 64)
    plain, scaled = (measure_encoder(z, "class10", ("edges",), HOW) for z in (zoo, tmp_path))
    assert scaled.losses["edges"] == pytest.approx(plain.losses["edges"], rel=1e-3)


def test_measuring_changes_no_random_state(zoo: Path):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first = measure_encoder(zoo, "mirror", ("mirror",), HOW)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(8)
    again = measure_encoder(zoo, "mirror", ("mirror",), HOW)
    assert np.array_equal(first.losses["mirror"], again.losses["mirror"])
    repeats = first.losses["mirror"]
    assert not np.array_equal(repeats[0], repeats[1])


def test_the_command_writes_a_truth_that_can_be_evaluated(measured: Path):
    assert {path.name for path in measured.iterdir()} == {TRUTH_FILE, DETAILS_FILE}
    truth = load_truth(str(measured / TRUTH_FILE))
    assert truth.kind == "models"
    assert len(truth.table) == len(NAMES) * (len(NAMES) - 1)
    assert set(truth.table["target"]) == set(truth.table["source"]) == set(NAMES)
    assert (truth.table["target"] != truth.table["source"]).all()
    assert truth.table["value"].between(0, 1).all()


def test_details_hold_every_transfer_and_agree_with_the_truth(zoo: Path, measured: Path):
    details = json.loads((measured / DETAILS_FILE).read_text())
    truth = pd.read_csv(measured / TRUTH_FILE).set_index(["target", "source"])["value"]
    assert details["encoders"] == list_encoders(zoo) == NAMES
    for target, sources in details["transfers"].items():
        assert list(sources) == NAMES
        for rates in zip(*(each["win_rates"] for each in sources.values()), strict=True):
            assert sum(rates) == pytest.approx(len(NAMES) / 2, abs=1e-4)
        for source, each in sources.items():
            assert each["loss"] > 0
            assert np.mean(each["win_rates"]) == pytest.approx(each["win_rate"], abs=1e-5)
            if source != target:
                assert truth[target, source] == pytest.approx(each["win_rate"], abs=1e-5)
    stable = details["stability"]
    assert stable["tasks"].keys() == details["transfers"].keys()
    assert stable["one_repeat"] == pytest.approx(np.mean(list(stable["tasks"].values())), abs=1e-5)


def test_a_truth_is_measured_once(zoo: Path, measured: Path, capsys, monkeypatch):
    monkeypatch.setattr(transfer, "measure_encoder", lambda *_: pytest.fail("measured again"))
    before = (measured / TRUTH_FILE).read_bytes()
    assert main(brief(zoo, measured)) == 0
    said = capsys.readouterr().out
    assert "already" in said
    assert f"the truth is {measured / TRUTH_FILE}" in said
    assert (measured / TRUTH_FILE).read_bytes() == before


def test_a_truth_is_measured_again_when_forced_or_outdated(zoo: Path, tmp_path: Path, capsys):
    for name in ("class10", "edges"):
        checkpoint_path(tmp_path, name).write_bytes(checkpoint_path(zoo, name).read_bytes())
    command = brief(tmp_path, tmp_path, "--repeats", "1")
    for more in ([], ["--force"], ["--steps", "2"]):
        assert main([*command, *more]) == 0
        assert "[2/2] edges" in capsys.readouterr().out
    (tmp_path / TRUTH_FILE).unlink()
    assert main([*command, "--steps", "2"]) == 0
    assert "[2/2] edges" in capsys.readouterr().out


def test_changed_encoders_or_settings_outdate_a_truth(zoo: Path, tmp_path: Path):
    names = ["class10", "edges"]
    for name in names:
        checkpoint_path(tmp_path, name).write_bytes(checkpoint_path(zoo, name).read_bytes())
    before = truth_key(tmp_path, names, HOW)
    assert truth_key(tmp_path, names, HOW) == before
    assert truth_key(tmp_path, names, Decoding()) != before
    change_code(zoo, tmp_path, 2)
    assert truth_key(tmp_path, names, HOW) != before


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"settings_key": "other"}'])
def test_damaged_details_are_not_read(tmp_path: Path, content: bytes):
    path = tmp_path / DETAILS_FILE
    write_details(path, "key", {"value": 0.123456789, "unknown": float("nan")})
    assert read_details(path, "key") == {"settings_key": "key", "value": 0.123457, "unknown": None}
    path.write_bytes(content)
    assert read_details(path, "key") is None


def test_one_repeat_has_no_stability(zoo: Path, tmp_path: Path, capsys):
    for name in ("class10", "edges"):
        checkpoint_path(tmp_path, name).write_bytes(checkpoint_path(zoo, name).read_bytes())
    assert main(brief(tmp_path, tmp_path, "--repeats", "1")) == 0
    assert "correlate" not in capsys.readouterr().out
    details = json.loads((tmp_path / DETAILS_FILE).read_text())
    assert details["stability"]["one_repeat"] is None


def test_a_zoo_without_encoders_is_reported(tmp_path: Path, capsys):
    assert main(["--zoo", str(tmp_path)]) == 1
    assert "run python -m examples.digits.train" in capsys.readouterr().out


def test_a_damaged_encoder_is_reported(zoo: Path, tmp_path: Path, capsys):
    for name in ("class10", "edges"):
        checkpoint_path(tmp_path, name).write_bytes(b"not a checkpoint")
    assert main(brief(tmp_path, tmp_path)) == 1
    assert "cannot measure" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--pictures", "0"], ["--pictures", "1201"], ["--repeats", "0"], ["--steps", "0"]]
)
def test_bad_arguments_are_refused(arguments: list[str], capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert arguments[0] in capsys.readouterr().err
