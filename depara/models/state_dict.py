"""From a checkpoint's content to a module that holds it: find the state dict, fit it, prove it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depara.errors import WeightsError, near_names
from depara.models.foreign import one_line

_SHOWN = 5
_MAX_DEPTH = 3
_PARALLEL_PREFIX = "module."
_OPTIONAL_SUFFIX = "num_batches_tracked"
_USUAL_KEYS = frozenset(
    {
        *("state_dict", "model_state_dict", "state_dict_ema", "ema_state_dict", "model_state"),
        *("model", "model_ema", "ema", "module", "net", "network", "weights", "params"),
        *("params_ema", "backbone", "encoder", "student", "teacher"),
    }
)
"""Under which training programs keep state dicts; one such key wins over unusual ones."""


@dataclass(frozen=True)
class StateDict:
    """Tensors by name, and the dotted key of the checkpoint that held them (empty: the top)."""

    tensors: Mapping[str, Tensor]
    key: str
    metadata: object = None


def find_state_dict(checkpoint: object, key: str | None) -> StateDict:
    """Returns the state dict inside a checkpoint.

    Args:
        checkpoint: what the file holds.
        key: dotted key; None takes the checkpoint itself when it is a mapping of names to tensors,
            else its one entry that is (of several, the only one under a usual name such as
            ``state_dict``), else the tensors among its values.

    Raises:
        WeightsError: there is none, or several, or not under ``key``; candidates are listed.
    """
    candidates = dict(_candidates(checkpoint))
    if key is not None:
        if key not in candidates:
            raise WeightsError(
                f"state_dict_key {key!r} holds no state dict; {_listing(candidates, key)}"
            )
        return _state_dict(candidates[key], key)
    if "" in candidates:
        return _state_dict(candidates[""], "")
    usual = [name for name in candidates if name.rpartition(".")[2] in _USUAL_KEYS]
    only = usual if len(usual) == 1 else list(candidates)
    if len(only) == 1:
        return _state_dict(candidates[only[0]], only[0])
    if candidates:
        raise WeightsError(
            f"the checkpoint holds {len(candidates)} state dicts: set state_dict_key to one of "
            f"{_quoted(candidates)}"
        )
    loose = _loose_tensors(checkpoint)
    if loose:
        return StateDict(loose, "")
    raise WeightsError(f"the checkpoint holds no state dict: {_content(checkpoint)}")


def _loose_tensors(checkpoint: object) -> dict[str, Tensor]:
    """Returns the tensors of a mapping that holds other things beside them."""
    if not isinstance(checkpoint, Mapping):
        return {}
    return {
        name: value
        for name, value in checkpoint.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _candidates(
    node: object, key: str = "", depth: int = 0
) -> Iterable[tuple[str, Mapping[str, Tensor]]]:
    if not isinstance(node, Mapping) or depth > _MAX_DEPTH:
        return
    if node and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in node.items()
    ):
        yield key, node
        return
    for name, value in node.items():
        if isinstance(name, str):
            yield from _candidates(value, f"{key}.{name}" if key else name, depth + 1)


def _state_dict(tensors: Mapping[str, Tensor], key: str) -> StateDict:
    return StateDict(tensors, key, getattr(tensors, "_metadata", None))


def _listing(candidates: Mapping[str, object], key: str) -> str:
    if not candidates:
        return "the checkpoint holds none"
    if "" in candidates:
        return "the checkpoint is itself the state dict: leave state_dict_key out"
    return near_names(key, candidates) or f"the checkpoint holds {_quoted(candidates)}"


def _content(checkpoint: object) -> str:
    if isinstance(checkpoint, Mapping):
        kinds = [f"{name!r} ({type(value).__name__})" for name, value in checkpoint.items()]
        return f"it has {', '.join(kinds[:_SHOWN])}" if kinds else "it is an empty mapping"
    return f"it is a {type(checkpoint).__name__}"


def strip_prefix(state: StateDict, prefix: str | None) -> StateDict:
    """Returns the state dict without a prefix of its names.

    Args:
        state: as found.
        prefix: to take off; names without it are left out. None takes ``module.`` off when all
            names carry it (what ``DataParallel`` writes).

    Raises:
        WeightsError: no name starts with ``prefix``.
    """
    if prefix is None:
        if not all(name.startswith(_PARALLEL_PREFIX) for name in state.tensors):
            return state
        prefix = _PARALLEL_PREFIX
    stripped = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.tensors.items()
        if name.startswith(prefix)
    }
    if not stripped:
        raise WeightsError(
            f"no tensor's name starts with strip_prefix {prefix!r}: the names are "
            f"{_quoted(state.tensors)}"
        )
    return StateDict(stripped, state.key)


def load_strictly(module: nn.Module, state: StateDict) -> None:
    """Loads a state dict into a module: every name and shape must fit.

    Only ``num_batches_tracked`` may be missing (older checkpoints have none; inference does not use
    it), and a tensor that is tied to a loaded one.

    Raises:
        WeightsError: names missing or unexpected, or shapes that differ, five of each shown.
    """
    own = module.state_dict()
    mismatched = [
        f"{name} is {tuple(tensor.shape)}, the model has {tuple(own[name].shape)}"
        for name, tensor in state.tensors.items()
        if name in own and own[name].shape != tensor.shape and own[name].ndim > 0
    ]
    fitting: dict[str, Tensor] = _Tensors(state.tensors)
    # Modules that changed between versions read theirs here (MNASNet refuses to load without).
    fitting._metadata = state.metadata or getattr(own, "_metadata", None)  # type: ignore[attr-defined]
    missing: list[str] = []
    unexpected: list[str] = []
    if not mismatched:
        try:
            outcome = module.load_state_dict(fitting, strict=False)
        except (RuntimeError, ValueError, KeyError, AssertionError) as error:
            raise WeightsError(f"the weights cannot be loaded: {one_line(error)}") from error
        missing, unexpected = list(outcome.missing_keys), list(outcome.unexpected_keys)
    else:
        missing = [name for name in own if name not in state.tensors]
        unexpected = [name for name in state.tensors if name not in own]
    missing = _truly_missing(missing, own, state.tensors)
    if missing or unexpected or mismatched:
        raise WeightsError(_misfit(own, state, missing, unexpected, mismatched))


class _Tensors(dict[str, Tensor]):
    """A dict that can carry the ``_metadata`` of a state dict."""


def _truly_missing(
    missing: Iterable[str], own: Mapping[str, Tensor], loaded: Mapping[str, Tensor]
) -> list[str]:
    stored = {own[name].data_ptr() for name in loaded if name in own and own[name].numel()}
    return [
        name
        for name in missing
        if not name.endswith(_OPTIONAL_SUFFIX)
        and not (name in own and isinstance(own[name], Tensor) and own[name].data_ptr() in stored)
    ]


def _misfit(
    own: Mapping[str, Tensor],
    state: StateDict,
    missing: list[str],
    unexpected: list[str],
    mismatched: list[str],
) -> str:
    parts = ["the weights do not fit the architecture"]
    for title, names in (("missing", missing), ("unexpected", unexpected), ("shape", mismatched)):
        if names:
            more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            separator = "; " if title == "shape" else ", "
            parts.append(f"{len(names)} {title}: {separator.join(names[:_SHOWN])}{more}")
    prefix = _fitting_prefix(own, state.tensors)
    if prefix:
        parts.append(f'strip_prefix: "{prefix}" would fit')
    return "; ".join(parts)


def _fitting_prefix(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """Returns the prefix under which the tensors hold all that the model needs, if any."""
    needed = [name for name in own if not name.endswith(_OPTIONAL_SUFFIX)]
    if not needed:
        return None
    longest = max(needed, key=len)
    for name in tensors:
        prefix = name.removesuffix(longest)
        if prefix not in ("", name) and all(prefix + other in tensors for other in needed):
            return prefix
    return None


def check_finite(module: nn.Module) -> None:
    """Proves that weights are numbers.

    Raises:
        WeightsError: a parameter or buffer holds NaN or infinity (buffers may hold minus infinity,
            the usual attention mask).
    """
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            continue
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


def _quoted(names: Iterable[str]) -> str:
    listed = [repr(name) for name in names]
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
