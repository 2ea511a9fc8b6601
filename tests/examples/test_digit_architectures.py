"""The mixed zoo: three architectures of one size, whose encoders a scan can open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("sklearn", reason="the digit zoo needs the extra [demo]")

from depara.config import ScanConfig, load_scan_file
from depara.config.schema import MODEL_ID
from examples.digits import zoo
from examples.digits.architectures import ARCHITECTURES
from examples.digits.data import load_digits
from examples.digits.encoder import CODE_CHANNELS, CODE_SIDE_PX, INPUT_MEAN, INPUT_STD, Encoder
from examples.digits.fit import Settings, fit_encoder
from examples.digits.layer_transfer import LAYERS
from examples.digits.tasks import TASKS
from examples.digits.train import MIXED_FOLDER, main
from examples.digits.zoo import (
    MIXED_TASKS,
    build_encoder,
    checkpoint_path,
    fill_zoo,
    list_encoders,
    load_encoder,
    mixed_names,
    settings_key,
    task_of,
)

ROOT = Path(__file__).resolve().parents[2]
BRIEF = Settings(steps=2, batch_size=16)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_codes_of_one_shape_and_has_one_size(architecture: str):
    encoder = ARCHITECTURES[architecture]().eval()
    assert encoder(torch.zeros(2, 1, 32, 32)).shape == (
        2,
        CODE_CHANNELS,
        CODE_SIDE_PX,
        CODE_SIDE_PX,
    )
    size, reference = (sum(p.numel() for p in e.parameters()) for e in (encoder, Encoder()))
    assert 0.8 < size / reference < 1.2


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_code_belongs_to_its_picture_alone(architecture: str):
    encoder = ARCHITECTURES[architecture]().eval()
    pictures = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(encoder(pictures)[1:2], encoder(pictures[1:2]), atol=1e-5)


def test_a_token_s_code_lies_where_its_patch_does():
    """What is taken for the code's place is the patch's, not a mixed-up one."""
    torch.manual_seed(0)
    encoder = ARCHITECTURES["vit"]().eval()
    for block in encoder.blocks:
        torch.nn.init.zeros_(block.project.weight)  # no attention: every token for itself
    picture = torch.zeros(1, 1, 32, 32)
    with torch.no_grad():
        before = encoder(picture)
        picture[..., 8:16, 24:32] = 1
        moved = (encoder(picture) - before).abs().sum(1)[0]
    assert moved.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("architecture", ["plain", "vit"])
def test_a_few_steps_lower_the_held_out_error(architecture: str):
    train, held_out = load_digits("train"), load_digits("held_out")
    build = ARCHITECTURES[architecture]
    before, after = (
        fit_encoder("class10", TASKS["class10"], train, held_out, Settings(steps=steps), build)
        for steps in (2, 50)
    )
    assert type(after.encoder) is build
    assert after.error < 0.7 * min(before.error, after.trivial_error)


def test_names_state_task_and_architecture():
    names = mixed_names()
    assert len(set(names)) == len(names) == len(MIXED_TASKS) * len(ARCHITECTURES) == 18
    assert all(MODEL_ID.fullmatch(name) for name in names)
    assert {task_of(name) for name in names} == set(MIXED_TASKS) <= TASKS.keys()
    assert {type(build_encoder(name)) for name in names} == set(ARCHITECTURES.values())
    assert type(build_encoder("class10")) is Encoder


def test_changed_architectures_outdate_the_mixed_zoo_alone(tmp_path: Path, monkeypatch):
    for source in (*zoo._SOURCES, "architectures.py"):
        (tmp_path / source).write_bytes(Path(zoo.__file__).with_name(source).read_bytes())
    monkeypatch.setattr(zoo, "__file__", str(tmp_path / "zoo.py"))
    before = [settings_key(name, BRIEF) for name in ("class10", "class10-plain")]
    (tmp_path / "architectures.py").write_text("# others\n")
    after = [settings_key(name, BRIEF) for name in ("class10", "class10-plain")]
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_the_command_trains_every_architecture_once(tmp_path: Path, capsys):
    command = ["--architectures", "--out", str(tmp_path), "--tasks", "edges", "--steps", "2"]
    main([*command, "--workers", "1"])
    assert "training 3 of 3 encoders" in capsys.readouterr().out
    assert list_encoders(tmp_path) == mixed_names(["edges"])
    for name, architecture in zip(mixed_names(["edges"]), ARCHITECTURES.values(), strict=True):
        assert type(load_encoder(tmp_path, name)) is architecture
    main(command)
    assert "already" in capsys.readouterr().out


def test_encoders_are_listed_in_the_order_of_the_tasks(tmp_path: Path):
    for name in ("segment", "class10", "mystery", "class10-vit", ".edges"):
        checkpoint_path(tmp_path, name).write_bytes(b"")
    assert list_encoders(tmp_path) == ["class10", "segment", "class10-vit"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> ScanConfig:
    """The mixed scan, read in a folder with one task's checkpoints."""
    root = tmp_path_factory.mktemp("checkout")
    folder = root / MIXED_FOLDER
    folder.mkdir(parents=True)
    how = replace(BRIEF, steps=1)
    assert len(list(fill_zoo(folder, mixed_names(["autoencode"]), how, workers=1))) == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        config = load_scan_file(str(ROOT / "examples" / "digits" / "scan-mixed.yaml")).config
    weights = {model.id: str(root / str(model.weights)) for model in config.models}
    models = [m.model_copy(update={"weights": weights[m.id]}) for m in config.models]
    return config.model_copy(update={"models": models})


def test_the_mixed_scan_names_every_checkpoint(mixed: ScanConfig):
    assert sorted(model.id for model in mixed.models) == sorted(mixed_names(["autoencode"]))
    assert mixed.probes.source.endswith(f"/{MIXED_FOLDER / zoo.PROBES_FILE}")
    for model in mixed.models:
        assert model.input.mean == [INPUT_MEAN]
        assert model.input.std == [INPUT_STD]
        assert model.input.side == mixed.canvas.side == 32


def test_every_architecture_can_be_cut_where_the_mixed_scan_says(mixed: ScanConfig):
    from depara.models import describe_model

    for config in mixed.models:
        model, card = describe_model(config, canvas_side=mixed.canvas.side, features="flatten")
        assert type(model.module) is type(build_encoder(config.id))
        assert tuple(layer.name for layer in card.layers) == LAYERS
        assert card.layers[-1].num_features == CODE_CHANNELS * CODE_SIDE_PX**2
