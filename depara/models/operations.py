"""Counts the operations of a pass while it runs, by torch's own formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from depara.models.dispatch import DispatchMode


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


# Torch counts the attention kernels of GPUs alone.
_UNCOUNTED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}


class OperationCounter(DispatchMode):
    """Sums up the operations (``flops``) of what runs in its context.

    It gives the total of torch's `FlopCounterMode`, whose formulas it takes. That one also finds
    the module of each operation, by hooks that load torch's compiler (see `DispatchMode`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        formulas = FlopCounterMode(display=False, custom_mapping=_UNCOUNTED)
        self._formulas: dict[Any, Any] = formulas.flop_registry

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs one operation, or the parts it is made of, and counts those with a formula."""
        kwargs = kwargs or {}
        if func is not torch.ops.prim.device.default:
            with self:
                whole = func.decompose(*args, **kwargs)
            if whole is not NotImplemented:
                return whole
        returned = func(*args, **kwargs)
        formula = self._formulas.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=returned)
        return returned
