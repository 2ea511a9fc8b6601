"""An object storage that goes away, or answers with faults: the whole scan on `s3://`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from benchmarks.lab.faults import KINDS, FaultProxy
from benchmarks.lab.weed import Weed
from tests.chaos.lab import FULL, Lab
from tests.store.weed import weed  # noqa: F401, the fixture

pytestmark = pytest.mark.ray

BUCKET = "chaos"
AWAY_S = 60.0 if FULL else 5.0
RATE = 0.05
READ_TIMEOUT_S = 1.0


@pytest.fixture(scope="module")
def server(weed: Weed) -> Iterator[Weed]:  # noqa: F811
    """SeaweedFS with a bucket, which this process reaches directly."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        weed.select(BUCKET, monkeypatch)
        yield weed


def reaching(proxy: FaultProxy, server: Weed) -> dict[str, str]:
    """Environment of a scan on a Ray of its own, which knows the storage by the proxy alone."""
    options = {"config_kwargs": {"read_timeout": READ_TIMEOUT_S}}
    return {
        "FSSPEC_S3": json.dumps(options),
        "AWS_ENDPOINT_URL": proxy.endpoint,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.mark.chaos
def test_the_storage_is_gone_for_a_while(lab: Lab, server: Weed) -> None:
    with lab.trial(f"output storage gone for {AWAY_S:.0f} s") as trial:
        output = f"s3://{BUCKET}/gone"
        with (
            FaultProxy(server.endpoint, rate=0) as proxy,
            lab.gate.holding("m2", after=1),
            lab.attempt(output, env=reaching(proxy, server)) as attempt,
        ):
            lab.gate.wait_for()
            proxy.down()
            lab.gate.release("m2")  # what follows is written to nowhere
            time.sleep(AWAY_S)
            assert attempt.is_running, attempt.output
            before = proxy.counts.total
            proxy.up()
            attempt.complete(timeout_s=240)
            assert proxy.counts.total > before
            trial.hit()
        lab.judge(trial, output, [attempt])


@pytest.mark.chaos
def test_the_storage_is_faulty(lab: Lab, server: Weed) -> None:
    """All kinds at once; tests/jobs/test_on_object_storage.py has each by itself."""
    with lab.trial(f"{RATE:.0%} of storage requests, each of {len(KINDS)} kinds of fault") as trial:
        output = f"s3://{BUCKET}/faulty"
        with (
            FaultProxy(server.endpoint, RATE, first=len(KINDS), hold_s=2 * READ_TIMEOUT_S) as proxy,
            lab.attempt(output, env=reaching(proxy, server)) as attempt,
        ):
            attempt.complete(timeout_s=240)
        for kind in KINDS:
            assert proxy.counts.faults[kind], f"no {kind} was delivered"
        trial.injected = proxy.counts.faults.total()
        lab.judge(trial, output, [attempt])
