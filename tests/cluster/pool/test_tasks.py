"""Failures of tasks as data: what is mended later, what is not, and what comes first."""

from __future__ import annotations

import pytest

from cluster.pool.tasks import TaskFailure, failure_of, merge_failures
from depara.errors import (
    DamagedGraphError,
    StorageUnavailableError,
    StoreError,
    UnreadableScanError,
    UnusableGraphError,
)

PLAIN = TaskFailure("disk full")


def damaged(*keys: str, **unusable: str) -> TaskFailure:
    return TaskFailure(f"damaged: {', '.join(keys)}", keys, unusable=unusable)


def test_damaged_graphs_keep_their_keys() -> None:
    error = DamagedGraphError("torn")
    error.graph_keys = ("k1", "k2")
    assert failure_of(error) == TaskFailure("torn", ("k1", "k2"))
    assert failure_of(StoreError("disk full")) == PLAIN


def test_a_storage_that_does_not_answer_is_no_failure_of_the_task() -> None:
    error = StorageUnavailableError("no answer")
    with pytest.raises(StorageUnavailableError) as it:
        failure_of(error)
    assert it.value is error


def test_no_failures_are_none() -> None:
    assert merge_failures([]) is None
    assert merge_failures([{"rows": 1}, 3]) is None


def test_damaged_graphs_of_all_results_are_mended_at_once() -> None:
    merged = merge_failures([1, damaged("k2", k2="zero"), damaged("k1", "k2", k1="nan")])
    assert merged == TaskFailure("damaged: k2", ("k1", "k2"), unusable={"k1": "nan", "k2": "zero"})


def test_what_no_recomputation_mends_comes_first() -> None:
    assert merge_failures([damaged("k1"), PLAIN]) is PLAIN


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (PLAIN, StoreError),
        (damaged("k"), DamagedGraphError),
        (damaged("k", k="zero"), UnusableGraphError),
        (TaskFailure("unreadable", unreadable_scan="night1"), UnreadableScanError),
    ],
)
def test_a_failure_becomes_the_error_that_the_scan_mends(
    failure: TaskFailure, kind: type[StoreError]
) -> None:
    error = failure.error()
    assert type(error) is kind
    assert str(error) == failure.message
    assert getattr(error, "graph_keys", ()) == failure.damaged_keys
    assert getattr(error, "reasons", {}) == failure.unusable
    assert getattr(error, "scan_id", None) == failure.unreadable_scan
