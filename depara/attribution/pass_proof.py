"""In which form a model's pass may be run: each shortcut is proven on the model's own probes.

The plain pass is torch's own: one probe alone, contiguous, every module as it is, recorded by
autograd, to the end of the forward. The last probe of the first batch in a form is computed once
more in the plain pass, its features and maps at every layer; so are, features alone, that of the
second batch, which meets whatever state the first one left behind, and of every batch larger than
those before. Where the two differ by more than rounding, what the model cannot be relied on for is
found and given up, with a note, or the model is refused.

Shapes: ``D`` features, ``P`` map pixels, of one probe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations

import torch
from torch import nn

from depara.attribution.forms import PLAIN, Difference, Form, ProbeValues, differences
from depara.errors import ModelError, NonFiniteError, OutOfMemoryError
from depara.models.foreign import is_out_of_memory, one_line
from depara.types import Note

_NAMES = {
    "skips_graph": "features without an autograd graph",
    "channels_last": "channels last",
    "is_fused": "batch normalisation as one multiplication",
    "ends_early": "ending the forward at the last layer",
}


Evaluate = Callable[[Form, Sequence[int], bool, float], ProbeValues]
"""Takes a form, rows of the probes to run as one batch, whether maps are asked for, and a relative
perturbation of the canvases; gives the values of the last row."""


@dataclass(frozen=True)
class Tolerance:
    """What counts as rounding, relative to the norm, and how far to perturb a canvas to see more.

    Attributes:
        features, maps: a ReLU or a maximum that flips moves maps further than features.
        perturbation: relative, a few times the rounding of one operation.
    """

    features: float
    maps: float
    perturbation: float


TOLERANCES = {
    "fp32": Tolerance(1e-4, 1e-2, 1e-6),
    "tf32": Tolerance(1e-2, 5e-2, 1e-3),
    "bf16": Tolerance(3e-2, 3e-1, 4e-3),
}
"""Those of ``bf16`` find what breaks a pass, not what is a little off: that has been proven in
``fp32`` before (`PassProof.adopt`)."""
_NOISE_FACTOR = 10


class PassProof:
    """What one model has been proven to allow: which shortcuts, and batches of how many probes.

    ``allowed`` are the shortcuts that are not given up; ``is_single``: probes are run one at a
    time; ``is_doubled``: a single probe is run together with a copy of itself.

    Args:
        model_id: for messages.
        precision: ``fp32``, ``tf32`` or ``bf16``.
        notes: what was given up is added here.
        is_doubled: whether a single probe is run with its copy from the start, because torch cannot
            be trusted with it alone (`must_double`).
    """

    def __init__(
        self, model_id: str, precision: str, notes: list[Note], *, is_doubled: bool = False
    ) -> None:
        self.allowed = Form(True, True, True, True)
        self.is_single = False
        self.is_doubled = is_doubled
        self._model_id = model_id
        self._tolerance = TOLERANCES[precision]
        self._notes = notes
        self._proven: set[tuple[Form, bool]] = set()
        self._num_batches = 0
        self._largest = 0
        self._noise: dict[tuple[str, str], float] = {}

    def adopt(self, other: PassProof) -> None:
        """Gives up from the start what another precision's proof of this model has given up."""
        self.allowed = other.allowed
        self.is_single, self.is_doubled = other.is_single, other.is_doubled

    def form(self, channels_last: bool) -> Form:
        """Returns how to run the next batch, in a memory format if that is allowed."""
        return replace(self.allowed, channels_last=channels_last and self.allowed.channels_last)

    def due(
        self, form: Form, num_probes: int, with_maps: bool, *, is_waiting: bool
    ) -> tuple[bool, bool]:
        """Returns whether a batch's features and maps must be compared with the plain pass.

        Args:
            form: that of the batch.
            num_probes: of the batch.
            with_maps: whether maps are computed.
            is_waiting: whether a batch before it, in the same form, is still to be compared.
        """
        if is_waiting:
            return True, False
        if (form, with_maps) not in self._proven:
            return True, with_maps
        return not self.is_begun or num_probes > self._largest, False

    def difference(
        self, evaluate: Evaluate, found: ProbeValues, row: int
    ) -> Difference | ModelError | None:
        """Returns how a probe's values differ from those of the plain pass, None if they do not.

        Rounding is no difference. A model that magnifies it (a map that is nearly zero, equal
        maxima) shows that by itself, when the canvas is changed as little as rounding does.
        """
        with_maps = bool(found.maps_P)
        try:
            alone = evaluate(PLAIN, self._alone(row), with_maps, 0.0)
            return self._beyond_rounding(evaluate, found, alone, row)
        except OutOfMemoryError:
            raise
        except ModelError as error:
            return error

    @property
    def is_begun(self) -> bool:
        """Whether two batches, one right after the other, have been compared."""
        return self._num_batches > 1

    def accept(self, form: Form, num_probes: int, with_maps: bool) -> None:
        """Takes note that a batch in this form has been compared."""
        self._proven.add((form, with_maps))
        self._num_batches += 1
        self._largest = max(self._largest, num_probes)

    def settle(
        self,
        evaluate: Evaluate,
        form: Form,
        rows: Sequence[int],
        with_maps: bool,
        cause: Difference | ModelError,
    ) -> None:
        """Gives up what explains that a batch failed: from the next one on, `allowed` is smaller.

        Args:
            evaluate: runs any rows in any form.
            form: that of the batch.
            rows: of the batch; the last one is that which failed.
            with_maps: whether maps are compared.
            cause: the difference found, or what the model raised.

        Raises:
            ModelError: the model cannot be run in the plain form, not even probe by probe.
            OutOfMemoryError: one probe alone does not fit.
        """
        was_doubled = self.is_doubled
        alone = self._repeated(evaluate, rows[-1], with_maps, cause)
        self._noise.clear()
        rows, mixing = self._mixing(evaluate, rows, with_maps, alone)
        if mixing is not None:
            self._run_one_by_one(mixing)
        if mixing is not None or self.is_doubled is not was_doubled:
            return
        given_up = self._shortcuts_to_give_up(evaluate, form, rows, with_maps, alone)
        if not given_up:
            raise ModelError(
                f"{self._model_id}: {_reason(cause)}, though a second pass agrees with the first: "
                f"{_STATE}"
            )
        self.allowed = replace(self.allowed, **dict.fromkeys(given_up, False))
        names = ", ".join(_NAMES[name] for name in given_up)
        self._note(
            "pass",
            f"computed without a shortcut that this model does not allow ({names}): with it, "
            f"{_reason(cause)}. The numbers are those of torch's plain pass; it takes longer",
        )

    def _alone(self, row: int) -> list[int]:
        return [row, row] if self.is_doubled else [row]

    def _repeated(
        self, evaluate: Evaluate, row: int, with_maps: bool, cause: Difference | ModelError
    ) -> ProbeValues:
        """Returns what the plain pass gives for a probe alone, twice the same."""
        try:
            self._clean_up(evaluate, row)
            first = evaluate(PLAIN, self._alone(row), with_maps, 0.0)
        except (NonFiniteError, OutOfMemoryError):
            raise
        except ModelError as error:
            first = self._doubled(evaluate, row, with_maps, error, cause)
        again = evaluate(PLAIN, self._alone(row), False, 0.0)
        for one in self._beyond_tolerance(again, first):
            once_more = evaluate(PLAIN, self._alone(row), with_maps, 0.0)
            if any(other.what == "features" for other in self._beyond_tolerance(once_more, first)):
                text = f"the same probe gives other values in a second pass ({one}): {_STATE}"
            else:
                text = f"the attribution method changes what the model computes ({one}): {_METHOD}"
            raise self._about(one.layer, text)
        return first

    def _doubled(
        self,
        evaluate: Evaluate,
        row: int,
        with_maps: bool,
        error: ModelError,
        cause: Difference | ModelError,
    ) -> ProbeValues:
        """Returns the values of a probe beside its own copy: alone, the model fails on it."""
        if self.is_doubled:
            raise error
        self.is_doubled = True
        try:
            values = evaluate(PLAIN, self._alone(row), with_maps, 0.0)
        except ModelError:
            raise (cause if isinstance(cause, ModelError) else error) from error
        self._note(
            "batch",
            f"a probe alone is run with a copy of itself: without it, {_reason(error)}",
        )
        return values

    def _mixing(
        self, evaluate: Evaluate, rows: Sequence[int], with_maps: bool, alone: ProbeValues
    ) -> tuple[Sequence[int], str | None]:
        """Returns the rows that fit in the plain form, and why they must not share a batch."""
        while len(rows) > 1:
            try:
                found = evaluate(PLAIN, rows, with_maps, 0.0)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                rows = rows[-max(len(rows) // 2, 1) :]
                continue
            except ModelError as error:
                return rows, _reason(error)
            difference = self._beyond_rounding(evaluate, found, alone, rows[-1])
            if difference is None:
                return rows, None
            text = f"a probe's values depend on the others of its batch ({difference})"
            if self.is_doubled and not self._runs_alone(evaluate, rows[-1]):
                raise self._about(
                    difference.layer, f"{text}, and the model does not run on one probe: {_BATCH}"
                )
            return rows, text
        return rows, None

    def _runs_alone(self, evaluate: Evaluate, row: int) -> bool:
        try:
            evaluate(PLAIN, [row], False, 0.0)
        except OutOfMemoryError:
            raise
        except ModelError:
            return False
        return True

    def _run_one_by_one(self, reason: str) -> None:
        if self.is_single:
            raise ModelError(f"{self._model_id}: {reason}: {_BATCH}")
        self.is_single = True
        self._note(
            "batch",
            f"computed one probe at a time, as if each were the only one: in a batch, {reason}. "
            "Normalisation by the batch (BatchNorm without running statistics, or kept in train "
            "mode) is the usual cause",
        )

    def _shortcuts_to_give_up(
        self,
        evaluate: Evaluate,
        form: Form,
        rows: Sequence[int],
        with_maps: bool,
        alone: ProbeValues,
    ) -> tuple[str, ...]:
        """Returns the fewest shortcuts without which two passes agree with the plain one."""
        taken = [one.name for one in fields(form) if getattr(form, one.name)]
        for count in range(1, len(taken)):
            for names in combinations(taken, count):
                candidate = replace(form, **dict.fromkeys(names, False))
                if self._agrees(evaluate, candidate, rows, with_maps, alone):
                    return names
        return tuple(taken)

    def _agrees(
        self,
        evaluate: Evaluate,
        form: Form,
        rows: Sequence[int],
        with_maps: bool,
        alone: ProbeValues,
    ) -> bool:
        """Whether a batch and, after it, a probe alone give the plain pass's values."""
        self._clean_up(evaluate, rows[-1])
        try:
            alone_rows = self._alone(rows[-1])
            for batch in (rows if len(rows) > 1 else alone_rows, alone_rows):
                found = evaluate(form, batch, with_maps, 0.0)
                if self._beyond_rounding(evaluate, found, alone, rows[-1]) is not None:
                    return False
        except OutOfMemoryError:
            raise
        except ModelError:
            return False
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _clean_up(self, evaluate: Evaluate, row: int) -> None:
        """Lets a whole pass use up what one that ended early has left where nothing is restored."""
        try:
            evaluate(PLAIN, self._alone(row), False, 0.0)
        except OutOfMemoryError:
            raise
        except ModelError:
            pass  # what the model raises now is seen in the pass that counts

    def _beyond_rounding(
        self, evaluate: Evaluate, found: ProbeValues, alone: ProbeValues, row: int
    ) -> Difference | None:
        """Returns the first difference that the model's own magnification does not explain."""
        for one in self._beyond_tolerance(found, alone):
            if (one.layer, one.what) not in self._noise:
                self._measure_noise(evaluate, alone, row)
            if not one.distance <= _NOISE_FACTOR * self._noise[one.layer, one.what]:
                return one
        return None

    def _measure_noise(self, evaluate: Evaluate, alone: ProbeValues, row: int) -> None:
        """Takes note of what a change of the canvas as small as rounding does at each layer.

        Nothing counts as rounding in a model that does not even repeat itself.
        """
        with_maps = bool(alone.maps_P)
        again = evaluate(PLAIN, self._alone(row), False, 0.0)
        repeats = not any(one.what == "features" for one in self._beyond_tolerance(again, alone))
        size = self._tolerance.perturbation if repeats else 0.0
        perturbed = evaluate(PLAIN, self._alone(row), with_maps, size) if repeats else alone
        for one in differences(perturbed, alone):
            self._noise[one.layer, one.what] = one.distance

    def _beyond_tolerance(self, found: ProbeValues, expected: ProbeValues) -> Iterator[Difference]:
        limits = {"features": self._tolerance.features, "map": self._tolerance.maps}
        for one in differences(found, expected):
            if not one.share <= limits[one.what]:
                yield one

    def _note(self, kind: str, message: str) -> None:
        self._notes.append(Note(kind, message))

    def _about(self, layer: str, text: str) -> ModelError:
        error = ModelError(f"{self._model_id}: layer {layer!r}: {text}")
        error.layer = layer
        return error


def must_double(module: nn.Module, device: torch.device) -> bool:
    """Whether a single probe must be run together with its copy, for right gradients.

    On the CPU, torch (2.14) gives wrong ones through the evaluation of a batch or instance norm for
    a batch of one whose incoming gradient lies transposed, as before tokens (LevIT, CvT); finite
    differences tell. For two and more it is right.
    """
    norms = (nn.modules.batchnorm._NormBase,)
    return device.type == "cpu" and any(isinstance(one, norms) for one in module.modules())


_STATE = (
    "the model keeps state between calls where it cannot be put back (globals, closures, files), "
    "or draws random numbers: let forward depend on its input alone"
)
_METHOD = (
    "its forward pass differentiates, and the method changes derivatives: choose another "
    "attribution.method"
)
_BATCH = (
    "in eval mode each probe of a batch must be computed by itself: give normalisations running "
    "statistics (track_running_stats=True), and let forward keep the batch dimension of one image"
)


def _reason(cause: Difference | ModelError) -> str:
    if isinstance(cause, Difference):
        return f"it gives other values ({cause})"
    return f"it fails ({one_line(cause).partition(': ')[2]})"
