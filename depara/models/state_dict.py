"""The state dicts inside a checkpoint's content, and the proof that weights are numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from depara.errors import WeightsError, near_names

_SHOWN = 5
_SUMMABLE = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MAX_DEPTH = 3
_EXTRA_SUFFIX = "_extra_state"
"""How torch names what a module keeps beside its tensors (`nn.Module.get_extra_state`)."""
_USUAL_KEYS = frozenset(
    {
        *("state_dict", "model_state_dict", "state_dict_ema", "ema_state_dict", "model_state"),
        *("model", "model_ema", "ema", "module", "net", "network", "weights", "params"),
        *("params_ema", "backbone", "encoder", "student", "teacher"),
    }
)
"""Under which training programs keep state dicts; these win over unusual ones."""


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, and the dotted key of the checkpoint that held them (empty: the top).

    ``extra`` is what else a state dict may hold by name; ``strip_prefix`` the prefix that the user
    named, if any. ``others`` are further state dicts of the same file, the likeliest first:
    which one is meant shows when they are held against an architecture (`best_reading`). ``rank``
    says how likely this one is: 0 for a usual key, 2 for tensors among other things.
    """

    tensors: Mapping[str, Tensor]
    key: str = ""
    metadata: object = None
    extra: Mapping[str, object] = field(default_factory=dict)
    strip_prefix: str | None = None
    others: tuple[StateDict, ...] = ()
    rank: int = 0

    @property
    def all(self) -> tuple[StateDict, ...]:
        """This one and the others."""
        return (self, *self.others)


def find_state_dict(checkpoint: object, key: str | None) -> StateDict:
    """Returns the state dict inside a checkpoint, and the others that it may be instead.

    A mapping of names to tensors is one; values of other kinds among them are left out, but for
    ``_extra_state``. The checkpoint itself, when all its values are tensors, is the only one.

    Args:
        checkpoint: what the file holds.
        key: dotted key; None takes all, the likeliest first.

    Raises:
        WeightsError: there is none, or not under ``key``; candidates are listed.
    """
    found = sorted(_candidates(checkpoint), key=lambda state: state.rank)
    by_key = {state.key: state for state in found}
    if key is not None:
        if key not in by_key:
            raise WeightsError(
                f"state_dict_key {key!r} holds no state dict; {_listing(by_key, key)}"
            )
        return by_key[key]
    if not found:
        raise WeightsError(f"the checkpoint holds no state dict: {_content(checkpoint)}")
    return replace(found[0], others=tuple(found[1:]))


def _candidates(node: object, key: str = "", depth: int = 0) -> Iterator[StateDict]:
    if not isinstance(node, Mapping) or depth > _MAX_DEPTH:
        return
    named = {name: value for name, value in node.items() if isinstance(name, str)}
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    extra = {name: value for name, value in named.items() if name.endswith(_EXTRA_SUFFIX)}
    extra = {name: value for name, value in extra.items() if name not in tensors}
    is_whole = len(tensors) + len(extra) == len(node)
    if tensors:
        usual = key == "" or key.rpartition(".")[2] in _USUAL_KEYS
        rank = 0 if usual and (is_whole or key) else 1 if is_whole else 2
        whole = node if len(tensors) == len(node) else tensors
        yield StateDict(whole, key, getattr(node, "_metadata", None), extra, rank=rank)
    if is_whole:
        return
    for name, value in named.items():
        if name not in tensors and name not in extra:
            yield from _candidates(value, f"{key}.{name}" if key else name, depth + 1)


def _listing(candidates: Mapping[str, object], key: str) -> str:
    if not candidates:
        return "the checkpoint holds none"
    if list(candidates) == [""]:
        return "the checkpoint is itself the state dict: leave state_dict_key out"
    named = {name: each for name, each in candidates.items() if name}
    return near_names(key, named) or f"the checkpoint holds {quoted(named)}"


def _content(checkpoint: object) -> str:
    if isinstance(checkpoint, Mapping):
        kinds = [f"{name!r} ({type(value).__name__})" for name, value in checkpoint.items()]
        return f"it has {', '.join(kinds[:_SHOWN])}" if kinds else "it is an empty mapping"
    return f"it is a {type(checkpoint).__name__}"


def strip_prefix(state: StateDict, prefix: str | None) -> StateDict:
    """Returns the state dicts of which some names carry a prefix, to be read without it.

    Args:
        state: as found.
        prefix: to take off; names without it are left out. None leaves it to the architecture.

    Raises:
        WeightsError: no name starts with ``prefix``.
    """
    if prefix is None:
        return state
    fitting = [each for each in state.all if any(name.startswith(prefix) for name in each.tensors)]
    if not fitting:
        ends = [f"{name.partition(prefix)[0]}{prefix}" for name in state.tensors if prefix in name]
        hint = f"did you mean {ends[0]!r}? " if ends else ""
        raise WeightsError(
            f"no tensor's name starts with strip_prefix {prefix!r}: {hint}the names are "
            f"{quoted(state.tensors)}"
        )
    first, *others = (replace(each, strip_prefix=prefix, others=()) for each in fitting)
    return replace(first, others=tuple(others))


def check_finite(module: nn.Module) -> None:
    """Proves that weights are numbers.

    Raises:
        WeightsError: a parameter or buffer holds NaN or infinity (buffers may hold minus infinity,
            the usual attention mask).
    """
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            continue
        if tensor.dtype in _SUMMABLE and torch.isfinite(tensor.sum()):
            continue  # NaN and infinity stay in a sum, which takes a thirtieth of looking at each
        bad = ~torch.isfinite(tensor)
        if not _is_parameter(module, name):
            bad &= tensor != -torch.inf
        count = int(bad.sum())
        if count:
            raise WeightsError(
                f"tensor {name!r} holds {count} values that are NaN or infinite, of "
                f"{tensor.numel()}: the weights are damaged or the training diverged"
            )


def _is_parameter(module: nn.Module, name: str) -> bool:
    """Whether a name of the state dict is a parameter, not a buffer."""
    owner, _, leaf = name.rpartition(".")
    try:
        return leaf in module.get_submodule(owner)._parameters
    except AttributeError:
        return False


def quoted(names: Iterable[str]) -> str:
    """Returns the first few names in quotes, and how many more there are."""
    listed = [repr(name) for name in names]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
