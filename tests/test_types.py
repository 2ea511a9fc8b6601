"""Failures as data: an error's facts travel with it, and its kind decides what is done about it."""

from __future__ import annotations

import pytest

from depara.errors import (
    ChangedModelError,
    DamagedCanvasesError,
    FailureKind,
    ModelError,
    NonFiniteError,
    StorageUnavailableError,
)
from depara.store.schemas import TABLES
from depara.types import Failure


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ModelError("no good"), FailureKind.FAULT),
        (ChangedModelError("no good"), FailureKind.CHANGED_MODEL),
        (DamagedCanvasesError("no good"), FailureKind.DAMAGED_CANVASES),
        (StorageUnavailableError("no good"), FailureKind.PASSING),
        (TypeError("no good"), FailureKind.FAULT),
    ],
)
def test_a_failure_is_of_the_kind_of_its_error(error: Exception, kind: FailureKind) -> None:
    failure = Failure.of(error, "no good", stage="extract", model_id="m")
    assert failure == Failure("m", "extract", type(error).__name__, "no good", kind=kind)
    assert failure.is_passing == (kind is FailureKind.PASSING)


def test_a_failure_knows_the_layer_and_the_probe_of_its_error() -> None:
    error = NonFiniteError("NaN")
    error.layer, error.probe_id = "conv", "p1"
    failure = Failure.of(error, "NaN", stage="extract", model_id="m")
    assert (failure.layer, failure.probe_id) == ("conv", "p1")


def test_a_row_of_the_table_has_no_kind() -> None:
    row = Failure("m", "extract", "ModelError", "no good").row()
    assert {*row, "nights"} == set(TABLES["failures"].names)
