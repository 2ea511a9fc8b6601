"""The proxy itself: faults by seed and number, everything else unchanged and counted."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.config
import botocore.exceptions
import pytest

from benchmarks.lab.faults import KINDS, FaultProxy, path_kind
from benchmarks.lab.weed import Weed
from tests.store.s3 import mock_s3
from tests.store.weed import weed

__all__ = ["weed"]


def client_of(endpoint: str, access_key: str = "test", secret_key: str = "test") -> boto3.client:
    """A client without retries of its own, other than depara's."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=5),
    )


def test_faults_are_a_function_of_seed_and_number() -> None:
    def drawn(seed: int, rate: float = 0.05) -> list[str | None]:
        proxy = FaultProxy("http://127.0.0.1:1", rate, KINDS, seed)
        return [proxy.fault_of(number) for number in range(20_000)]

    assert drawn(0) == drawn(0) != drawn(1)
    for kind in KINDS:
        assert Counter(drawn(0))[kind] / 20_000 == pytest.approx(0.05, abs=0.01)
    assert set(drawn(0, rate=0.0)) == {None}


def test_the_first_requests_fail_in_turn() -> None:
    proxy = FaultProxy("http://127.0.0.1:1", 0, ("reset", "slow_down"), first=3)
    assert [proxy.fault_of(n) for n in range(5)] == ["reset", "slow_down", "reset", None, None]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/b/graphs/ab/0a1b2c3d4e/nodes-000000-000064.parquet", "nodes-*-*.parquet"),
        ("/b/out/running/.conditional-0123456789abcdef", ".conditional-*"),
        ("/b?list-type=2&prefix=graphs%2F", "list"),
        ("/b?delete", "delete"),
        ("/b/out/latest.json", "latest.json"),
    ],
)
def test_paths_are_counted_by_their_kind(path: str, kind: str) -> None:
    assert path_kind(path) == kind


def test_signed_requests_pass_unchanged_in_parallel_and_are_counted(weed: Weed) -> None:
    with FaultProxy(weed.endpoint, 0) as proxy:
        client = client_of(proxy.endpoint, weed.access_key, weed.secret_key)
        client.create_bucket(Bucket="through-proxy")
        body = bytes(range(256)) * 400_000  # 98 MiB

        def put_and_get(number: int) -> None:
            client.put_object(Bucket="through-proxy", Key=f"k/{number}", Body=b"%d" % number)
            got = client.get_object(Bucket="through-proxy", Key=f"k/{number}")
            assert got["Body"].read() == b"%d" % number

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put_and_get, range(10, 40)))
        client.put_object(Bucket="through-proxy", Key="big", Body=body)
        assert client.get_object(Bucket="through-proxy", Key="big")["Body"].read() == body
        client.delete_object(Bucket="through-proxy", Key="big")
        assert proxy.counts.requests == {"PUT": 32, "GET": 31, "DELETE": 1}
        assert proxy.counts.paths["GET", "*"] == 30
        assert proxy.counts.bytes_out["GET"] == len(body) + 60
        assert proxy.counts.bytes_in["PUT"] >= len(body) + 60


def test_a_lost_answer_is_of_a_request_that_was_done() -> None:
    for kind, is_done in (("reset", False), ("slow_down", False), ("reset_after", True)):
        with mock_s3() as endpoint, FaultProxy(endpoint, 0, (kind,)) as proxy:
            client = client_of(proxy.endpoint)
            client.create_bucket(Bucket="lost-answers")
            proxy.aim(1, lambda method, path: method == "PUT")
            with pytest.raises(
                (botocore.exceptions.HTTPClientError, botocore.exceptions.ClientError)
            ):
                client.put_object(Bucket="lost-answers", Key="k", Body=b"1")
            found = client.list_objects_v2(Bucket="lost-answers")["KeyCount"]
            assert found == is_done
            assert proxy.counts.faults == {kind: 1}


def test_while_it_is_down_connections_are_refused() -> None:
    with mock_s3() as endpoint, FaultProxy(endpoint, 0) as proxy:
        client = client_of(proxy.endpoint)
        client.create_bucket(Bucket="up-and-down")
        for _ in range(2):
            proxy.down()
            with pytest.raises(botocore.exceptions.EndpointConnectionError):
                client.list_buckets()
            proxy.up()
            assert client.list_buckets()["Buckets"]
