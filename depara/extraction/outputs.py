"""The return values of one model, collected batch by batch from the pass that there is anyway.

Legend: ``N`` probes, ``B`` probes of a batch, ``C`` values of each.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from depara.store.outputs import MOST_VALUES
from depara.types import Float32, Note


@dataclass
class ReturnedValues:
    """What a model returned: rows of ``C`` values, or why there are none.

    Only a matrix with one row per probe is kept, of 2 to `MOST_VALUES` values: what may be the
    logits of a classifier. Whether it is one nobody can tell from the values.
    """

    num_probes: int
    values_NC: Float32 | None = None
    has_other_shape: bool = False
    rows: set[int] = field(default_factory=set)

    def write(self, row0: int, values_BC: Tensor) -> None:
        """Takes return values of the probes ``row0 .. row0 + B``, on the host; again if need be."""
        num_values = values_BC.shape[1] if values_BC.ndim == 2 else 0
        if self.values_NC is None and 2 <= num_values <= MOST_VALUES:
            self.values_NC = np.empty((self.num_probes, num_values), np.float32)
        if self.values_NC is None or self.values_NC.shape[1] != num_values:
            self.has_other_shape = True
            return
        self.values_NC[row0 : row0 + len(values_BC)] = values_BC.detach().float().numpy()
        self.rows.update(range(row0, row0 + len(values_BC)))

    def complete(self) -> Float32 | None:
        """Returns the values ``(N, C)``, None unless there are finite ones of every probe."""
        if self.values_NC is None or self.has_other_shape or len(self.rows) < self.num_probes:
            return None
        return self.values_NC if bool(np.isfinite(self.values_NC).all()) else None

    def note(self, layer: str) -> Note | None:
        """Returns what to say where values of the right form are not to be had."""
        if self.values_NC is None or self.has_other_shape or self.complete() is not None:
            return None
        return Note(
            "outputs",
            "the model's return value is NaN or infinite for some probes: it is not stored, and "
            "scores of it are null",
            layer,
        )


def unsteady_note(layer: str) -> Note:
    """Returns what to say of a model that returns different values for the same probe."""
    return Note(
        "outputs",
        "what the model returns for a probe depends on the others of its batch or on chance: it is "
        "not stored, and scores of it are null (the layers before it are not concerned)",
        layer,
    )
