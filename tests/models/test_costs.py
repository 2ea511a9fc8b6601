"""What a cut costs: operations counted in the dry pass; and the licence that a source states."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from depara.config.schema import ModelConfig
from depara.models import describe_model
from depara.models.dry_pass import run_dry_pass
from depara.models.hf_source import HuggingFaceSource
from depara.models.operations import OperationCounter
from depara.models.timm_source import TimmSource
from depara.models.torchvision_source import TorchvisionSource
from tests.conftest import ROOT

SIDE = 8


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1, bias=False)
        self.head = nn.Linear(5 * SIDE * SIDE, 7, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.conv(x).relu().flatten(1))
        return out


CONV = 2 * 3 * 9 * 5 * SIDE * SIDE
HEAD = 2 * 5 * SIDE * SIDE * 7


def test_operations_up_to_a_cut_are_two_per_multiply_add() -> None:
    dry = run_dry_pass(Net().eval().requires_grad_(False), nn.Identity(), SIDE)
    assert dry.flops("conv") == CONV
    assert dry.flops("head") == dry.flops("output") == CONV + HEAD


def test_attention_counts() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            rows = x.flatten(2)  # 3 tokens of 64
            return nn.functional.scaled_dot_product_attention(rows, rows, rows)

    dry = run_dry_pass(Attention(), nn.Identity(), SIDE)
    assert dry.flops("output") == 2 * (2 * 3 * 3 * SIDE * SIDE)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_byobnet", "test_efficientnet"])
def test_all_is_counted_that_torch_counts(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timm = pytest.importorskip("timm")
    model = timm.create_model(name).eval().requires_grad_(False)
    images = torch.rand(2, 3, 160, 160)
    with FlopCounterMode(display=False) as torchs, sdpa_kernel(SDPBackend.MATH):
        model(images)
    with OperationCounter() as ours, sdpa_kernel(SDPBackend.MATH):
        model(images)
    assert ours.flops == torchs.get_total_flops() > 0


def test_a_scan_leaves_torch_s_compiler_unloaded(tmp_path: Path, photos: Path) -> None:
    """It takes a second of a core and 120 MB in each process; torch loads it readily."""
    code = (
        "import sys; from pathlib import Path; from tests.jobs.inline import scan_inline, tiny\n"
        f"scan_inline({str(tmp_path / 'out')!r}, Path({str(photos)!r}), [tiny('a', 0)])\n"
        "print([name for name in ('torch', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout.strip() == "['torch']", done.stderr


def test_what_has_no_counted_operation_is_not_known() -> None:
    class Scale(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    assert run_dry_pass(Scale(), nn.Identity(), SIDE).flops("output") is None


def test_a_model_that_cannot_be_counted_is_opened_all_the_same() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def forward(self, x: Tensor) -> Tensor:
            from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

            if _get_current_dispatch_mode_stack():
                raise RuntimeError("no modes here")
            out: Tensor = self.net(x)
            return out

    dry = run_dry_pass(Odd().eval().requires_grad_(False), nn.Identity(), SIDE)
    assert dry.qualifies("net.conv")
    assert dry.flops("net.conv") is None


def test_the_card_has_them_per_layer() -> None:
    config = ModelConfig(
        id="n", source="python:tests.models.test_costs:Net", layers=["conv", "output"]
    )
    _, card = describe_model(config, canvas_side=SIDE, features="flatten")
    assert [layer.flops for layer in card.layers] == [CONV, CONV + HEAD]
    assert card.licence is None


def test_licences_are_those_that_sources_state(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        timm = pytest.importorskip("timm")
    module = timm.create_model("vit_tiny_patch16_224")
    assert TimmSource().licence("vit_tiny_patch16_224", None, module) == "apache-2.0"
    assert TimmSource().licence("x", None, nn.Identity()) is None
    torchvision = TorchvisionSource()
    assert torchvision.licence("resnet18", None, nn.Identity()) is None
    swag = torchvision.licence("vit_b_16", "IMAGENET1K_SWAG_E2E_V1", nn.Identity())
    assert swag is not None
    assert swag.startswith("https://")
    hf, folder = HuggingFaceSource(), str(tmp_path)
    assert hf.licence(folder, None, nn.Identity()) is None
    readme = tmp_path / "README.md"
    readme.write_text("---\ntags: [a]\nlicense: 'mit'  # kept\n---\nlicense: gpl\n")
    assert hf.licence(folder, None, nn.Identity()) == "mit"
    readme.write_text("# A model\nlicense: gpl\n")
    assert hf.licence(folder, None, nn.Identity()) is None


def test_of_a_users_own_weights_no_source_knows_the_licence(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    weights = tmp_path / "w.pth"
    torch.save(timm.create_model("test_vit").state_dict(), weights)
    for value in (str(weights), "random:0"):
        config = ModelConfig(id="t", source="timm:test_vit", weights=value, layers="output")
        assert describe_model(config, canvas_side=32, features="flatten")[1].licence is None
