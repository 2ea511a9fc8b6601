"""Small helpers as fixtures: a config of one model, one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from depara.config.schema import ModelConfig


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model_config() -> Callable[..., ModelConfig]:
    """Returns a builder of one model's entry, with random weights unless told otherwise."""

    def build(source: str, **fields: Any) -> ModelConfig:
        fields.setdefault("weights", "random:0")
        return ModelConfig(id=fields.pop("id", "m"), source=source, **fields)

    return build
