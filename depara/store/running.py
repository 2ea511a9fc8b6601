"""Scans that are under way: who runs them, with a sign of life, and which graphs they rely on.

``running/<scan_id>/owner.json`` is written when a scan starts, again every half minute with how far
the scan is, and removed when it ends. It stays when the scan's process is killed: the next one sees
that and takes over.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depara.errors import StorageUnavailableError, StoreError
from depara.store.layout import RUNNING, owner_path, plan_path
from depara.store.storage import Storage

BEAT_EVERY_S = 30.0
DEAD_AFTER_S = 300.0
"""A scan of another machine that gave no sign of life for so long is taken for dead."""

_LAST_BEAT_WAIT_S = 3.0

_LOG = logging.getLogger("depara.store")


@dataclass(frozen=True)
class RunningScan:
    """A scan that runs, or that was killed.

    ``graph_keys`` are the graphs of its plan, empty before there is one; ``modified_s`` is its last
    sign of life, POSIX seconds by the storage's clock.
    """

    scan_id: str
    owner: dict[str, Any]
    graph_keys: frozenset[str]
    probe_set: str | None
    modified_s: float

    def is_dead(self, now_s: float) -> bool:
        """Whether it has ended, its process is known to be gone, or silent for too long.

        Args:
            now_s: the storage's clock.
        """
        if self.owner.get("ended"):
            return True
        place = {name: self.owner.get(name) for name in ("host", "boot", "pid_namespace")}
        if place["boot"] and place == _this_place():  # else a process id tells nothing
            alive = process_start(int(self.owner.get("pid", 0)))
            return alive is None or alive != self.owner.get("process_start")
        return now_s - self.modified_s > DEAD_AFTER_S


def running_scans(storage: Storage) -> list[RunningScan]:
    """Returns the scans under ``running/``, by scan id; damaged records have an empty owner."""
    modified: dict[str, float] = {}
    for path, stat in storage.walk(RUNNING).items():
        parts = path.split("/")
        if len(parts) == 3:
            modified[parts[1]] = max(modified.get(parts[1], 0.0), stat.modified_s)
    scans = []
    for scan_id, modified_s in sorted(modified.items()):
        owner = _read_json(storage, owner_path(scan_id))
        plan = _read_json(storage, plan_path(scan_id))
        keys = frozenset(map(str, plan.get("graph_keys", [])))
        scans.append(RunningScan(scan_id, owner, keys, plan.get("probe_set"), modified_s))
    return scans


@dataclass
class ScanLease:
    """The right to write under one scan id, held by this process while it gives signs of life."""

    storage: Storage
    scan_id: str
    owner: dict[str, Any]
    version: str
    taken_over: bool
    progress: Callable[[], dict[str, Any]] | None = None
    lost: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def publish_plan(self, graph_keys: Collection[str], probe_set: str) -> None:
        """Says which graphs the scan relies on, so that nobody deletes them."""
        plan = {"graph_keys": sorted(graph_keys), "probe_set": probe_set}
        self.storage.replace(plan_path(self.scan_id), json.dumps(plan).encode())

    def check(self) -> None:
        """Raises when another process has taken over.

        Raises:
            StoreError: it did, because this one gave no sign of life for too long.
        """
        if self.lost.is_set():
            raise StoreError(
                f"scan {self.scan_id!r} was taken over by another process, because this one had "
                "been silent for too long: leave the scan to that one"
            )

    def start_beating(self) -> None:
        """Gives a sign of life every half minute, in the background."""
        self._thread = threading.Thread(target=self._beat_on, daemon=True, name="depara-beat")
        self._thread.start()

    def release(self) -> None:
        """Removes the record: the scan is finished, or cannot be."""
        self._stop_beating()
        if not self.lost.is_set():
            with suppress(
                StoreError, StorageUnavailableError
            ):  # a record that stays is seen to be dead
                remove_record(self.storage, self.scan_id)

    def interrupt(self, reason: str) -> None:
        """Keeps the record, so that the scan can be gone on with, and says that nobody does now."""
        self._stop_beating()
        if not self.lost.is_set():
            self.owner["ended"] = reason
            # In a thread, because the storage may be what interrupted the scan.
            last = threading.Thread(target=self._beat_once, daemon=True, name="depara-last-beat")
            last.start()
            last.join(_LAST_BEAT_WAIT_S)

    def beat(self) -> None:
        """Gives one sign of life; finds out whether the scan is still this process' own."""
        self.owner["beats"] += 1
        if self.progress is not None:
            self.owner["progress"] = self.progress()
        data = json.dumps(self.owner).encode()
        if not self.storage.swap(self._path, data, self.version):
            self.lost.set()
            return
        stored = self.storage.read_versioned(self._path)
        if stored is None or json.loads(stored[0]).get("token") != self.owner["token"]:
            self.lost.set()
        else:
            self.version = stored[1]

    def _stop_beating(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LAST_BEAT_WAIT_S)

    def _beat_on(self) -> None:
        while not self._stop.wait(BEAT_EVERY_S) and not self.lost.is_set():
            self._beat_once()

    def _beat_once(self) -> None:
        try:
            self.beat()
        except (StoreError, StorageUnavailableError) as error:  # the work itself will say so
            _LOG.debug("no sign of life written: %s", error)

    @property
    def _folder(self) -> str:
        return f"{RUNNING}/{self.scan_id}"

    @property
    def _path(self) -> str:
        return owner_path(self.scan_id)


def remove_record(storage: Storage, scan_id: str) -> None:
    """Removes what says that a scan runs."""
    storage.remove((plan_path(scan_id), owner_path(scan_id)))


def claim_scan(storage: Storage, scan_id: str, config_hash: str, started_at: str) -> ScanLease:
    """Returns the lease of a scan id; takes over from a process that is dead.

    Args:
        storage: the output.
        scan_id: the scan.
        config_hash: identity of what is scanned, by which an interrupted scan is found again.
        started_at: ISO time, for people.

    Raises:
        StoreError: the scan runs already.
    """
    path = owner_path(scan_id)
    owner = {
        "token": uuid.uuid4().hex,
        "config_hash": config_hash,
        "started_at": started_at,
        "pid": os.getpid(),
        "process_start": process_start(os.getpid()),
        "beats": 0,
        **_this_place(),
    }
    found = storage.read_versioned(path)
    if found is not None:
        now_s = storage.now_s()
        for holder in running_scans(storage):
            if holder.scan_id != scan_id or holder.is_dead(now_s):
                continue
            raise StoreError(
                f"scan {scan_id!r} is running already, on {holder.owner.get('host')} (process "
                f"{holder.owner.get('pid')}, last sign of life {now_s - holder.modified_s:.0f} s "
                "ago): wait for its end, or choose another scan_id"
            )
    if not storage.swap(path, json.dumps(owner).encode(), found[1] if found else None):
        raise StoreError(f"scan {scan_id!r} was just started by another process: wait for its end")
    mine = storage.read_versioned(path)
    if mine is None or json.loads(mine[0]).get("token") != owner["token"]:
        raise StoreError(f"scan {scan_id!r} was just started by another process: wait for its end")
    return ScanLease(storage, scan_id, owner, mine[1], found is not None)


def _this_place() -> dict[str, str | None]:
    """Where a process id means something: machine, boot, and container."""
    boot = namespace = None
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return {"host": socket.gethostname(), "boot": boot, "pid_namespace": namespace}


def process_start(pid: int) -> str | None:
    """When a process of this machine started, in ticks since boot; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _read_json(storage: Storage, path: str) -> dict[str, Any]:
    data = storage.read_or_none(path)
    try:
        tree = json.loads(data or b"{}")
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}
