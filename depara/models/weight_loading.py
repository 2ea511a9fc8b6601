"""Filling a module with a checkpoint's tensors: every name and shape must fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from depara.errors import WeightsError
from depara.models.foreign import one_line
from depara.models.readings import OPTIONAL_SUFFIX, Reading, best_reading
from depara.models.state_dict import StateDict

_SHOWN = 5


def load_strictly(module: nn.Module, state: StateDict) -> Reading:
    """Loads a state dict into a module, and returns in which reading it fits.

    Only ``num_batches_tracked`` may be missing (older checkpoints have none; inference does not use
    it), and a tensor that is tied to a loaded one.

    Raises:
        WeightsError: several readings fit; or of the nearest one names are missing or unexpected,
            or shapes differ, five of each shown.
    """
    own = module.state_dict()
    reading = best_reading(own, state)
    given = reading.tensors
    mismatched = [
        f"{name} is {tuple(given[name].shape)}, the model has {tuple(value.shape)}"
        for name, value in own.items()
        if name in given and _has_shape(value) and value.shape != given[name].shape
    ]
    missing: list[str] = []
    unexpected: list[str] = []
    if not mismatched:
        try:
            outcome = module.load_state_dict(_fitting(own, reading), strict=False)
        except (RuntimeError, ValueError, KeyError, AssertionError) as error:
            raise WeightsError(f"the weights cannot be loaded: {one_line(error)}") from error
        missing, unexpected = list(outcome.missing_keys), list(outcome.unexpected_keys)
    else:
        missing = [name for name in own if name not in given]
        unexpected = [name for name in given if name not in own]
    missing = _truly_missing(missing, own, given)
    if missing or unexpected or mismatched:
        raise WeightsError(_misfit(reading, missing, unexpected, mismatched))
    return reading


class _Values(dict[str, object]):
    """A dict that can carry the ``_metadata`` of a state dict."""


def _fitting(own: Mapping[str, object], reading: Reading) -> dict[str, object]:
    """Returns what is loaded: the tensors, and the extra state that the module knows."""
    extra = {name: value for name, value in reading.extra.items() if name in own}
    fitting = _Values({**reading.tensors, **extra})
    # Modules that changed between versions read theirs here (MNASNet refuses to load without).
    metadata = None if reading.prefix or reading.added else reading.state.metadata
    fitting._metadata = metadata or getattr(own, "_metadata", None)  # type: ignore[attr-defined]
    return fitting


def _has_shape(value: object) -> bool:
    """Whether it is a tensor of one or more dimensions that has its values already."""
    return isinstance(value, Tensor) and not is_lazy(value) and value.ndim > 0


def _truly_missing(
    missing: Iterable[str], own: Mapping[str, object], loaded: Mapping[str, Tensor]
) -> list[str]:
    stored = {_pointer(own[name]) for name in loaded if name in own} - {None}
    return [
        name
        for name in missing
        if not name.endswith(OPTIONAL_SUFFIX)
        and not (name in own and _pointer(own[name]) in stored)
    ]


def _pointer(value: object) -> int | None:
    """Returns where a tensor's values lie, None of nothing: tied tensors lie at one place."""
    if not isinstance(value, Tensor) or is_lazy(value):
        return None
    return value.data_ptr() if value.numel() else None


def _misfit(
    reading: Reading, missing: list[str], unexpected: list[str], mismatched: list[str]
) -> str:
    parts = [f"the weights{_where(reading)} do not fit the architecture"]
    for title, names in (("missing", missing), ("unexpected", unexpected), ("shape", mismatched)):
        if names:
            more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            separator = "; " if title == "shape" else ", "
            parts.append(f"{len(names)} {title}: {separator.join(names[:_SHOWN])}{more}")
    return "; ".join(parts)


def _where(reading: Reading) -> str:
    """Returns which part of the file is spoken of, where it is not all of it."""
    key = f" under {reading.state.key!r}" if reading.state.key else ""
    prefix = f" without the prefix {reading.prefix!r}" if reading.prefix else ""
    return key + prefix
