"""Global settings inside the contexts, and after them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from depara.attribution.torch_state import arithmetic, evaluating


def settings() -> dict[str, object]:
    """All settings that could be touched, old and new names alike."""
    cudnn, matmul, onednn = torch.backends.cudnn, torch.backends.cuda.matmul, torch.backends.mkldnn
    found: dict[str, object] = {
        "matmul": torch.get_float32_matmul_precision(),
        "cudnn.allow_tf32": cudnn.allow_tf32,
        "matmul.allow_tf32": matmul.allow_tf32,
        "deterministic": cudnn.deterministic,
        "benchmark": cudnn.benchmark,
        "attention": torch.backends.mha.get_fastpath_enabled(),
        "threads": torch.get_num_threads(),
        "gradient": torch.is_grad_enabled(),
    }
    for name, backend in (("cuda", matmul), ("cudnn", getattr(cudnn, "conv", None))):
        found[name] = getattr(backend, "fp32_precision", None)
    for name in ("matmul", "conv", "rnn"):
        found[f"onednn.{name}"] = getattr(getattr(onednn, name, None), "fp32_precision", None)
    return found


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("before", ["highest", "high", "medium"])
def test_settings_are_put_back_also_after_an_exception(precision: str, before: str) -> None:
    original = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(before)
    try:
        expected = settings()
        with pytest.raises(KeyError), arithmetic(precision):
            raise KeyError
        assert settings() == expected
    finally:
        torch.set_float32_matmul_precision(original)


def test_fp32_turns_tensor_float_off_and_tf32_on() -> None:
    with arithmetic("fp32"):
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.mha.get_fastpath_enabled()
    with arithmetic("tf32"):
        assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32


def test_every_submodule_gets_its_own_mode_back() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()), nn.Dropout())
    network.train()
    network[1].eval()
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == [True, True, False, False, True]
