"""Ways to read a checkpoint for an architecture: which state dict, less which prefix.

Training programs wrap a network before they save it (``module.``, ``_orig_mod.``, ``model.``,
``encoder_q.``) and keep several beside each other. Held against the names and shapes of the
architecture, mostly one reading is left: it is taken, and noted. Of several that fit none is
guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from torch import Tensor
from torch.nn.parameter import is_lazy

from depara.errors import WeightsError
from depara.models.state_dict import StateDict, quoted
from depara.types import Note

OPTIONAL_SUFFIX = "num_batches_tracked"
"""Older checkpoints have none, and inference does not use it."""
_PARALLEL_PREFIX = "module."
_SHOWN = 5
_NUM_WRAPPERS = 3

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Reading:
    """One state dict of a file without a prefix; ``added`` is put in front of the names instead.

    ``is_only`` is False where the same state dict fits under another prefix too: then the prefix
    is part of what the weights are. ``passed_over`` are keys of state dicts that were as likely,
    but do not fit.
    """

    state: StateDict
    prefix: str = ""
    added: str = ""
    is_only: bool = True
    passed_over: tuple[str, ...] = ()

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors by the architecture's names; those without the prefix are left out."""
        if not self.prefix and not self.added:
            return self.state.tensors
        return self._renamed(self.state.tensors)

    @property
    def extra(self) -> Mapping[str, object]:
        """What else the state dict holds by name, likewise."""
        return self._renamed(self.state.extra)

    def _renamed(self, values: Mapping[str, _Value]) -> dict[str, _Value]:
        return {
            self.added + name.removeprefix(self.prefix): value
            for name, value in values.items()
            if name.startswith(self.prefix)
        }

    @property
    def identity(self) -> str:
        """What of the file was read, where the file alone does not say: key and prefix."""
        parts = [self.state.key, "" if self.is_only else f"prefix:{self.prefix}"]
        return " ".join(part for part in parts if part)

    @property
    def setting(self) -> str:
        """The fields of a model's entry that ask for this reading."""
        key = f"state_dict_key: {self.state.key!r}, " if self.state.key else ""
        return f'{key}strip_prefix: "{self.prefix}"'

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a user must know where the reading was concluded, not told and not usual."""
        if self.state.strip_prefix is not None:
            return ()
        outside = [name for name in self.state.tensors if not name.startswith(self.prefix)]
        facts = []
        if self.prefix not in ("", _PARALLEL_PREFIX) or outside:
            facts.append(f"without the prefix {self.prefix!r} of their names")
        if self.added:
            facts.append(f"as those of the part {self.added.rstrip('.')!r}")
        if self.passed_over:
            facts.append(f"from {self.state.key!r}, as {quoted(self.passed_over)} do not fit")
        if not facts:
            return ()
        left = f"; {len(outside)} tensors are left out: {quoted(outside)}" if outside else ""
        message = (
            f"the weights fit the architecture in one way only and were read so: "
            f"{', '.join(facts)}{left} (to say so yourself: {self.setting})"
        )
        return (Note("weights", message),)


def best_reading(own: Mapping[str, object], state: StateDict) -> Reading:
    """Returns the one reading that fits; where none does, the nearest one.

    Args:
        own: the architecture's state dict.
        state: what the file holds; of a prefix that the user named no other is tried.

    Raises:
        WeightsError: several readings fit; the fields that choose one are listed.
    """
    needed = {name: value for name, value in own.items() if isinstance(value, Tensor)}
    if any(is_lazy(value) for value in needed.values()):
        return next(_nearest({}, state))
    for rank in sorted({each.rank for each in state.all}):
        fits = [
            reading for each in state.all if each.rank == rank for reading in _fitting(needed, each)
        ]
        if len(fits) > 1:
            raise WeightsError(choice(fits))
        if fits:
            chosen = fits[0].state.key
            likely = (each.key for each in state.all if each.rank <= rank and each.key != chosen)
            return replace(fits[0], passed_over=tuple(likely))
    return max(
        (reading for each in state.all for reading in _nearest(needed, each)),
        key=lambda reading: sum(name in needed for name in reading.tensors),
    )


def _fitting(own: Mapping[str, Tensor], state: StateDict) -> list[Reading]:
    """Returns the readings of one state dict that fit; of those with the same tensors one."""
    found: dict[tuple[int, ...], tuple[str, str]] = {}
    for prefix, added in _prefixes(own, state):
        reading = Reading(state, prefix, added)
        if _fits(own, reading):
            pointers = tuple(
                reading.tensors[name].data_ptr() for name in own if name in reading.tensors
            )
            found.setdefault(pointers, (prefix, added))
    told = state.strip_prefix
    return [
        Reading(state, prefix, added, is_only=len(found) == 1)
        for prefix, added in found.values()
        if told is None or prefix.rstrip(".") == told.rstrip(".")
    ]


def _prefixes(own: Mapping[str, Tensor], state: StateDict) -> Iterator[tuple[str, str]]:
    """Yields the (prefix, added) under which as many names meet as the architecture needs."""
    num_needed = sum(not name.endswith(OPTIONAL_SUFFIX) for name in own) - _num_tied(own)
    for added in _common_prefixes(own):
        bare = {name.removeprefix(added) for name in own}
        counts = _met(bare, state)
        yield from ((prefix, added) for prefix, count in counts.items() if count >= num_needed)


def _met(names: set[str], state: StateDict) -> Counter[str]:
    """Returns how many of the names the state dict holds under each prefix; all end with a dot."""
    counts: Counter[str] = Counter()
    for name in state.tensors:
        rest, prefix = name, ""
        while rest:
            if rest in names and not rest.endswith(OPTIONAL_SUFFIX):
                counts[prefix] += 1
            part, dot, rest = rest.partition(".")
            prefix += part + dot
    return counts


def _common_prefixes(names: Mapping[str, object]) -> Iterator[str]:
    """Yields the empty text and every dotted prefix that all names carry."""
    prefix = ""
    yield prefix
    first = next(iter(names), "")
    for part in first.split(".")[:-1]:
        prefix += f"{part}."
        if not all(name.startswith(prefix) for name in names):
            return
        yield prefix


def _num_tied(own: Mapping[str, Tensor]) -> int:
    """Returns how many tensors are another name of one counted already."""
    pointers = [value.data_ptr() for value in own.values() if value.numel()]
    return len(pointers) - len(set(pointers))


def _fits(own: Mapping[str, Tensor], reading: Reading) -> bool:
    given = reading.tensors
    if any(name not in own and not name.endswith(OPTIONAL_SUFFIX) for name in given):
        return False
    if any(
        own[name].ndim and own[name].shape != given[name].shape for name in own if name in given
    ):
        return False
    held = {own[name].data_ptr() for name in given if name in own}
    return all(
        name in given or name.endswith(OPTIONAL_SUFFIX) or value.data_ptr() in held
        for name, value in own.items()
    )


def _nearest(own: Mapping[str, Tensor], state: StateDict) -> Iterator[Reading]:
    """Yields the reading that the user named, else the plain one and that with most names."""
    told = state.strip_prefix
    if told is not None:
        yield Reading(state, _with_dot(state, told))
        return
    is_parallel = all(name.startswith(_PARALLEL_PREFIX) for name in state.tensors)
    yield Reading(state, _PARALLEL_PREFIX if is_parallel else "")
    for prefix, _ in _met(set(own), state).most_common(1):
        yield Reading(state, prefix)


def wrapped_readings(state: StateDict) -> Iterator[Reading]:
    """Yields the readings of one state dict by its names alone, the plainest first.

    For architectures whose checkpoints have other names than their tensors, as transformers keeps
    those of older versions: without every prefix that most names carry, three parts at most.
    """
    names = list(state.tensors)
    told = state.strip_prefix
    prefixes = [""] if told is None else [_with_dot(state, told)]
    while told is None and len(prefixes) <= _NUM_WRAPPERS:
        start = prefixes[-1]
        nexts = Counter(
            start + name.removeprefix(start).partition(".")[0] + "."
            for name in names
            if name.startswith(start)
        )
        prefix, count = nexts.most_common(1)[0]
        if 2 * count <= len(names):
            break
        prefixes.append(prefix)
    if told is None and all(name.startswith(_PARALLEL_PREFIX) for name in names):
        prefixes = prefixes[1:]
    for prefix in prefixes:
        is_whole = all(name.startswith(prefix) for name in names)
        yield Reading(state, prefix, is_only=is_whole)


def _with_dot(state: StateDict, prefix: str) -> str:
    """Returns the prefix, with the dot that follows it in every name if it was left out."""
    carried = [name for name in state.tensors if name.startswith(prefix)]
    lacks = prefix and all(name.startswith(f"{prefix}.") for name in carried)
    return f"{prefix}." if lacks else prefix


def choice(fits: list[Reading]) -> str:
    """Returns the message that lists what to set, each of which chooses one reading."""
    keys = [reading.state.key for reading in fits]
    count = f"{len(fits)} readings of the checkpoint fit the architecture"
    if len(set(keys)) == len(keys):
        return f"{count}: set state_dict_key to one of {quoted(keys)}"
    if len(set(keys)) == 1:
        listed = ", ".join(f'"{reading.prefix}"' for reading in fits[:_SHOWN])
        return f"{count}: set strip_prefix to one of {listed}"
    return f"{count}: set one of {'; or '.join(reading.setting for reading in fits[:_SHOWN])}"
