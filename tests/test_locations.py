"""Reading files anywhere under faults: whole, or an error of the storage, never of the file."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from benchmarks.lab.faults import KINDS, FaultProxy
from benchmarks.lab.weed import Weed
from depara import locations, retries
from depara.errors import ConfigError, StorageUnavailableError
from depara.locations import (
    expand_glob,
    is_glob,
    local_copy,
    open_binary,
    read_bytes,
    remote_filesystem,
)
from depara.models.checkpoint import file_sha256, weights_file
from depara.probes import decode_probes
from depara.store.storage import Storage, sha256_hex
from tests.probes.pictures import list_probes
from tests.store.s3 import mock_s3, select_s3
from tests.store.weed import weed

__all__ = ["weed"]

BIG = np.random.default_rng(0).bytes(6 * 1024**2)


@pytest.fixture
def proxy(weed: Weed, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A way to the bucket "inputs" without faults yet, and little patience."""
    import fsspec.config

    policy = retries.RetryPolicy(total_s=60, first_wait_s=0.01, longest_wait_s=0.1)
    monkeypatch.setattr(retries, "POLICY", policy)
    settings = {"config_kwargs": {"read_timeout": 0.3}, "default_block_size": 2 * 1024**2}
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    with FaultProxy(weed.endpoint, 0, hold_s=0.5) as proxy:
        weed.select("inputs", monkeypatch, proxy.endpoint)
        Storage("s3://inputs").ensure("big.bin", BIG)
        yield proxy


@pytest.fixture
def moto_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 bucket "inputs" of a mock server."""
    with mock_s3() as endpoint:
        select_s3(endpoint, "inputs", monkeypatch)
        yield


def fail_first(proxy: FaultProxy, count: int, kinds: tuple[str, ...] = KINDS) -> None:
    proxy.kinds = kinds
    proxy.aim(count, lambda method, path: True)


def give_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "POLICY", retries.RetryPolicy(0.2, 0.01, 0.05))


def image(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def put_probes() -> None:
    storage = Storage("s3://inputs")
    for number in range(6):
        storage.ensure(f"photos/{number}.png", image(number))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": [image(number) for number in range(10, 16)]}), buffer)
    storage.replace("rows/p.parquet", buffer.getvalue())


def test_files_are_read_whole_through_every_fault(proxy: FaultProxy) -> None:
    for read in (
        lambda: read_bytes("s3://inputs/big.bin"),
        lambda: read_bytes("s3://inputs/big.bin", limit_bytes=len(BIG) + 1),
        lambda: copied("s3://inputs/big.bin"),
    ):
        fail_first(proxy, 12)
        assert read() == BIG
        assert sum(proxy.counts.faults.values()) >= 12
        proxy.counts.faults.clear()
    fail_first(proxy, 6)
    assert read_bytes("s3://inputs/big.bin", limit_bytes=1000) == BIG[:1000]
    fail_first(proxy, 6)
    assert expand_glob("s3://inputs/*.bin") == ["s3://inputs/big.bin"]


def copied(uri: str) -> bytes:
    with local_copy(uri) as path:
        return path.read_bytes()


def test_a_file_is_read_at_any_place_through_faults(proxy: FaultProxy) -> None:
    with open_binary("s3://inputs/big.bin") as file:
        for number, (place, size) in enumerate([(5_000_000, 10), (0, 3), (3_000_000, 2_500_000)]):
            proxy.aim(4 + number, lambda method, path: True)
            assert file.seek(place) == place
            assert file.read(size) == BIG[place : place + size]
        assert file.tell() == 5_500_000
        file.seek(-5, io.SEEK_END)
        file.seek(1, io.SEEK_CUR)
        assert file.read() == BIG[-4:]
        assert file.read() == b""


def test_an_answer_that_ends_early_without_saying_so_is_not_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A memory file that gives nothing more after its first half, once."""
    give_up_soon(monkeypatch)
    Storage("memory://cut").replace("x", BIG)
    real = remote_filesystem("memory://cut/x").open("memory://cut/x")
    ends: list[int] = [len(BIG) // 2]

    class Cut(io.BytesIO):
        size = len(BIG)

        def read(self, count: int | None = -1) -> bytes:
            if ends and self.tell() >= ends[0]:
                ends.clear()
                return b""
            return super().read(min(count or 0, len(BIG) // 2))

    filesystem = remote_filesystem("memory://cut/x")
    monkeypatch.setattr(filesystem, "open", lambda *_: Cut(real.getvalue()))
    assert read_bytes("memory://cut/x") == BIG
    assert ends == []
    ends.append(len(BIG) // 2)
    monkeypatch.setattr(Cut, "read", lambda self, count=-1: b"")
    with pytest.raises(StorageUnavailableError, match=r"ends at byte 0 of 6291456"):
        read_bytes("memory://cut/x")


def test_probes_are_the_same_through_faults(proxy: FaultProxy) -> None:
    put_probes()
    results = []
    for count in (0, 40):
        fail_first(proxy, count)
        refs = list_probes(["s3://inputs/photos", "s3://inputs/rows/*.parquet"])
        results.append((refs, *decode_probes(refs, 16, threads=2)))
    (refs, decoded, failures), (refs_again, decoded_again, failures_again) = results
    assert refs == refs_again
    assert failures == failures_again == []
    assert [probe.probe_id for probe in decoded] == [probe.probe_id for probe in decoded_again]
    assert len(decoded) == 12


@pytest.mark.parametrize("source", ["s3://inputs/photos", "s3://inputs/rows/p.parquet"])
def test_a_storage_that_is_gone_makes_no_probe_unusable(
    source: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_probes()
    refs = list_probes(source)
    give_up_soon(monkeypatch)
    proxy.down()
    with pytest.raises(StorageUnavailableError):
        decode_probes(refs, 16, threads=2)
    with pytest.raises(StorageUnavailableError, match="list s3://inputs/photos"):
        list_probes("s3://inputs/photos")


def test_a_storage_that_is_gone_makes_no_weights_file_damaged(
    proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with weights_file("s3://inputs/big.bin") as path:
        assert file_sha256(path) == sha256_hex(BIG)
    give_up_soon(monkeypatch)
    fail_first(proxy, 1000, ("truncated", "slow_down"))
    with (
        pytest.raises(StorageUnavailableError, match=r"s3://inputs/big.bin"),
        weights_file("s3://inputs/big.bin"),
    ):
        pass


def test_a_network_disk_that_stumbles_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"content")
    troubles = [OSError(errno.ESTALE, "Stale file handle"), OSError(errno.EIO, "I/O error")]
    real: Callable[..., io.BufferedReader] = Path.open

    def stumbling(self: Path, *arguments: str) -> io.BufferedReader:
        if troubles:
            raise troubles.pop()
        return real(self, *arguments)

    monkeypatch.setattr(Path, "open", stumbling)
    assert read_bytes(str(tmp_path / "x")) == b"content"
    troubles.append(OSError(errno.EIO, "I/O error"))
    assert file_sha256(tmp_path / "x") == sha256_hex(b"content")


def test_settings_of_users_go_over_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.config

    usual = remote_filesystem("s3://bucket")
    assert usual.config_kwargs["connect_timeout"] == 10
    assert usual.config_kwargs["read_timeout"] == 60
    assert usual.config_kwargs["retries"] == {"total_max_attempts": 1}
    assert usual.retries == 1
    assert remote_filesystem("s3://other") is usual
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 7}})
    theirs = remote_filesystem("s3://bucket")
    assert theirs.config_kwargs["read_timeout"] == 7
    assert theirs.config_kwargs["connect_timeout"] == 10


def test_another_environment_gives_another_filesystem(monkeypatch: pytest.MonkeyPatch) -> None:
    one = remote_filesystem("s3://bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert remote_filesystem("s3://bucket") is not one
    monkeypatch.setattr(locations.os, "getpid", lambda: 1)
    assert remote_filesystem("s3://bucket") is not one


def test_an_unknown_scheme_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"nosuch://.*no storage known for 'nosuch'"):
        read_bytes("nosuch://bucket/x")


def test_remote_names_with_signs_are_taken_as_they_are(
    moto_bucket: None,
) -> None:
    storage = Storage("s3://inputs")
    for name in ("run[1]/net[1].pth", "run[1]/b.pth", "run1/net1.pth"):
        storage.ensure(name, name.encode())
    assert not is_glob("s3://inputs/run[1]/net[1].pth")
    assert not is_glob("s3://inputs/run[1]")
    assert is_glob("s3://inputs/run[1]/net*.pth")
    assert expand_glob("s3://inputs/run[1]/*.pth") == [
        "s3://inputs/run[1]/b.pth",
        "s3://inputs/run[1]/net[1].pth",
    ]
    assert expand_glob("s3://inputs/run[0-9]/*.pth") == ["s3://inputs/run1/net1.pth"]
    with local_copy("s3://inputs/run[1]/net[1].pth") as path:
        assert path.read_bytes() == b"run[1]/net[1].pth"


def test_the_query_of_an_address_is_no_glob() -> None:
    assert not is_glob("https://host/net.pth?download=true")
    assert is_glob("https://host/*.pth")
