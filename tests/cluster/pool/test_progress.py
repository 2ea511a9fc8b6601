"""Progress as data: for the sign of life, and as lines of JSON."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

from typer.testing import CliRunner

from cluster.pool.json_progress import JsonReporter
from cluster.pool.progress import PLAIN_EVERY_S, Reporter
from jobs.scan import app


class Clock:
    """A clock that is moved by hand."""

    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def started() -> tuple[JsonReporter, Clock, io.StringIO]:
    clock, stream = Clock(), io.StringIO()
    now = datetime(2026, 1, 31, 2, tzinfo=UTC)
    return JsonReporter(stream, clock, lambda: now), clock, stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_before_any_phase_there_is_none() -> None:
    tree = Reporter(Clock()).snapshot()
    assert tree["phases"] == []
    assert (tree["left_s"], tree["failures"]) == (None, 0)


def test_phases_that_are_over_stay_as_they_ended() -> None:
    clock = Clock()
    reporter = Reporter(clock)
    reporter.phase("models", 2, "models")
    reporter.step(2)
    clock.now_s += 4
    reporter.phase("graphs", 5, "units")
    clock.now_s += 2
    reporter.step()
    tree = reporter.snapshot()
    assert [(one["phase"], one["done"], one["seconds"]) for one in tree["phases"]] == [
        ("models", 2, 4.0),
        ("graphs", 1, 2.0),
    ]
    assert (tree["rate"], tree["left_s"]) == (0.5, 8.0)


def test_every_line_is_an_object_with_time_level_and_event() -> None:
    reporter, clock, stream = started()
    reporter.phase("graphs", 10, "units")
    reporter.note('a "note"\nof two lines')
    reporter.fail("vit: \udcff is no text")
    reporter.step(3, "resnet50")
    clock.now_s += PLAIN_EVERY_S
    reporter.step(2)
    reporter.close()
    found = lines(stream)
    assert [one["event"] for one in found] == ["phase", "note", "failed", "progress", "end"]
    assert {one["time"] for one in found} == {"2026-01-31T02:00:00.000+00:00"}
    assert [one["level"] for one in found] == ["info", "info", "error", "info", "info"]
    assert found[0] | {"phase": "graphs", "total": 10, "what": "units"} == found[0]
    assert found[1]["message"] == 'a "note"\nof two lines'
    progress = found[3]
    assert (progress["done"], progress["total"], progress["detail"]) == (5, 10, "resnet50")
    assert (progress["failures"], progress["seconds"]) == (1, PLAIN_EVERY_S)


def test_progress_is_written_twice_a_minute_at_most() -> None:
    reporter, clock, stream = started()
    reporter.phase("graphs", 1000, "units")
    for _ in range(100):
        clock.now_s += 1
        reporter.step()
    events = [one["event"] for one in lines(stream)]
    assert events == ["phase", "progress", "progress", "progress"]


def test_another_format_is_refused() -> None:
    result = CliRunner().invoke(app, ["scan.yaml", "--log-format", "xml"])
    assert result.exit_code == 2
    assert "json" in result.output
