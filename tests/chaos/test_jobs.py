"""A submitted job that is stopped with `ray job stop`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable

import pytest

from tests.chaos.checks import committed
from tests.chaos.lab import Lab
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.ray,
    pytest.mark.chaos,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray's own
]

_TIMEOUT_S = 120.0


@pytest.mark.parametrize(
    "grace_s",
    [pytest.param(None, id="killed-after-3s"), pytest.param(15, id="time-enough")],
)
def test_a_submitted_job_is_stopped(lab: Lab, grace_s: int | None) -> None:
    """With Ray's three seconds, in which a unit may not end, and with time enough to say so."""
    from ray.job_submission import JobStatus, JobSubmissionClient

    with lab.trial("ray job stop") as trial:
        output = lab.new_output()
        client = JobSubmissionClient(lab.nodes.jobs)
        scan = shlex.join([sys.executable, "-m", "jobs.scan", str(lab.scan_file(output))])
        env = {"RAY_JOB_STOP_WAIT_TIME_S": str(grace_s)} if grace_s else {}

        def submit() -> str:
            return client.submit_job(
                entrypoint=f"cd {shlex.quote(str(ROOT))} && exec {scan} --verbose",
                runtime_env={"env_vars": {**lab.env, **env}},
            )

        def end(job: str) -> JobStatus:
            wait_until(lambda: client.get_job_status(job).is_terminal(), "the end of the job")
            return client.get_job_status(job)

        with lab.gate.holding("m2", after=2):
            stopped = submit()
            lab.gate.wait_for()
            before = committed(output)
            client.stop_job(stopped)
            trial.hit()
            assert end(stopped) == JobStatus.STOPPED, client.get_job_logs(stopped)
        says_how = "run the same command again" in client.get_job_logs(stopped)
        assert says_how or not grace_s, client.get_job_logs(stopped)
        again = submit()
        assert end(again) == JobStatus.SUCCEEDED, client.get_job_logs(again)
        after = committed(output)
        assert all(after[folder] == graph for folder, graph in before.items())
        logs = [client.get_job_logs(job) for job in (stopped, again)]
        lab.judge(trial, output, logs)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Waits until something is so."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline_s, f"no sign of {what}"
        time.sleep(0.3)
