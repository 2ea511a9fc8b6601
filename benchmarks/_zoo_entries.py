"""The architectures of the sweep: torchvision's, one or two of each timm family, Hugging Face's."""

from __future__ import annotations

import json
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

SIDES_PX = (64, 96, 128)
"""Tried in this order, then what the model's source declares."""
MAX_PARAMETERS = 400_000_000
BIG_FAMILY = 10
"""A timm family of so many members is represented by two."""
SECOND_PARAMETERS = 60_000_000
"""The second one of a timm family is its middle by size, or the largest below this."""


SAMPLE = (
    "torchvision:squeezenet1_1",  # fire modules, a chain
    "torchvision:mobilenet_v3_small",  # depthwise, squeeze and excitation
    "torchvision:shufflenet_v2_x0_5",  # grouped, channels shuffled by views
    "python:benchmarks._zoo_networks:checkpointed_vit",
    "timm:test_resnet",
    "timm:test_byobnet",
    "timm:test_nfnet",  # weights standardised in the forward pass
    "timm:regnetx_002",
    "timm:hrnet_w18_small",  # branches of several resolutions
    "timm:test_convnext",
    "timm:test_coatnet",  # hybrid
    "timm:test_vit",
    "timm:cait_xxs24_224",  # class attention at the end
    "timm:gmlp_ti16_224",
    "timm:levit_128s",
    "hf:vit",
    "hf:swin",
    "hf:dinov2",
    "hf:siglip_vision_model",
    "hf:segformer",
)
"""Quick ones of every kind: what the tests try."""


@dataclass(frozen=True)
class Attempt:
    """One way to build a model for a small input; ``side`` None: what its source declares."""

    side: int | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One architecture: its name as ``source`` in a scan file, and the ways to build it small.

    The first attempt that opens is taken; what the last one says counts when none does. For
    ``hf:TYPE`` a config of the type is written to a folder first.
    """

    name: str
    attempts: tuple[Attempt, ...]

    @property
    def library(self) -> str:
        """``torchvision``, ``timm``, ``hf`` or ``python``."""
        return self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """The name within the library."""
        return self.name.partition(":")[2]


def entry_of(name: str) -> Entry:
    """Returns the entry of ``torchvision:NAME``, ``timm:NAME``, ``hf:TYPE`` or a callable."""
    library, _, model = name.partition(":")
    if library == "python":
        return Entry(name, (Attempt(SIDES_PX[0]),))
    if library == "hf":
        return Entry(name, (*(Attempt(side) for side in SIDES_PX), Attempt()))
    size_name = _size_argument(library, model)
    small = tuple(Attempt(side, {size_name: side} if size_name else {}) for side in SIDES_PX)
    return Entry(name, (*small, Attempt()))


def all_names(cache: Path) -> list[str]:
    """Returns the names of all entries; sizes of timm's models are kept in ``cache``."""
    from torchvision.models import list_models

    from benchmarks._zoo_configs import vision_types

    return [
        *(name for name in SAMPLE if name.startswith("python:")),
        *(f"torchvision:{name}" for name in list_models()),
        *(f"timm:{name}" for name in timm_representatives(cache)),
        *(f"hf:{name}" for name in vision_types()),
    ]


def timm_representatives(cache: Path) -> list[str]:
    """Returns the smallest model of each timm family, and the middle one of big families.

    A family are the models of one of timm's modules whose names begin with the same word.
    """
    import timm

    families: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            word = re.match(r"[a-z]+", name)
            families[module, word.group() if word else name].append(name)
    sizes = _timm_sizes(sorted(name for names in families.values() for name in names), cache)
    chosen: list[str] = []
    for names in families.values():
        by_size = sorted(names, key=lambda name: (sizes[name], name))
        chosen.append(by_size[0])
        if len(by_size) >= BIG_FAMILY:
            middle = by_size[: len(by_size) // 2 + 1]
            second = [name for name in middle if sizes[name] <= SECOND_PARAMETERS][-1:]
            chosen += [name for name in second if name != by_size[0]]
    return sorted(chosen)


def num_parameters(library: str, model: str) -> int | None:
    """Returns the number of parameters without making them; None where that is not possible."""
    try:
        with _quiet(), torch.device("meta"):
            module = _build(library, model)
    except Exception:  # noqa: BLE001, whatever a builder does without memory, it is asked again with it
        return None
    return sum(parameter.numel() for parameter in module.parameters())


def _build(library: str, model: str) -> nn.Module:
    if library == "timm":
        import timm

        built: nn.Module = timm.create_model(model)
        return built
    from torchvision.models import get_model_builder

    with_backbone = {"weights_backbone": None} if _takes(model, "weights_backbone") else {}
    module: nn.Module = get_model_builder(model)(weights=None, **with_backbone)
    return module


def _takes(model: str, argument: str) -> bool:
    import inspect

    from torchvision.models import get_model_builder

    return argument in inspect.signature(get_model_builder(model)).parameters


def _size_argument(library: str, model: str) -> str | None:
    """Returns the builder's argument for the input's side, where the input is fixed by it."""
    if library == "timm":
        import timm

        config = timm.get_pretrained_cfg(model)
        return "img_size" if config is not None and config.fixed_input_size else None
    return "image_size" if model.startswith("vit_") else None


def _timm_sizes(names: list[str], cache: Path) -> dict[str, int]:
    import timm

    key = f"timm {timm.__version__}"
    kept: dict[str, dict[str, int]] = {}
    if cache.exists():
        kept = json.loads(cache.read_text())
    sizes = kept.get(key, {})
    unknown = [name for name in names if name not in sizes]
    if unknown:
        print(f"counting the parameters of {len(unknown)} timm models (once)", flush=True)
        sizes |= {name: num_parameters("timm", name) or 2 * MAX_PARAMETERS for name in unknown}
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps({key: sizes}))
    return sizes


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
