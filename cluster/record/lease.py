"""Under which id a scan runs: a new one, its own again after a kill, never one in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from cluster.pool.progress import Reporter
from depara.config import ScanConfig
from depara.errors import DeparaError, ModelError, ProbeError, StoreError
from depara.identity import short_hash
from depara.store.running import RunningScan, ScanLease, claim_scan, remove_record, running_scans
from depara.store.scans import read_manifest, remove_unfinished
from depara.store.storage import Storage

_SAME_SECOND = 20


def config_hash(config: ScanConfig) -> str:
    """Returns the identity of what is scanned; with what resources is none of it."""
    return short_hash(config.model_dump(mode="json", by_alias=True, exclude={"compute"}))


def default_scan_id(config: ScanConfig, now: datetime) -> str:
    """Returns the UTC time and a short hash of the config, such as ``20260131T020000Z-1f3a9c``."""
    return f"{now:%Y%m%dT%H%M%SZ}-{config_hash(config)[:6]}"


def lease_scan(
    config: ScanConfig, storage: Storage, now: datetime, reporter: Reporter
) -> ScanLease:
    """Returns the right to write under the scan's id, with nothing unfinished left in its folder.

    Without `scan_id` in the scan file, an interrupted scan of the same config is gone on with, when
    its process is known to be dead; else a new id is taken.

    Raises:
        StoreError: the scan file names a scan that is finished, or runs already.
    """
    if config.scan_id is not None:
        if read_manifest(storage, config.scan_id) is not None:
            raise StoreError(
                f"scan {config.scan_id!r} is finished already in {storage.root}: choose another "
                "scan_id, or leave it null"
            )
        lease = claim_scan(storage, config.scan_id, config_hash(config), _iso(now))
    else:
        lease = _interrupted(config, storage, now) or _new(config, storage, now)
    if lease.taken_over:
        reporter.note(f"going on with scan {lease.scan_id}, which was interrupted")
    remove_unfinished(storage, lease.scan_id)
    lease.progress = reporter.snapshot
    lease.start_beating()
    return lease


@contextmanager
def holding_scan(
    config: ScanConfig, storage: Storage, now: datetime, reporter: Reporter
) -> Iterator[ScanLease]:
    """Gives the lease of a scan: released at the end, kept for going on after an interruption."""
    lease = lease_scan(config, storage, now, reporter)
    try:
        yield lease
    except (ProbeError, ModelError):  # the input's fault: there is nothing to go on with
        lease.release()
        raise
    except BaseException as error:
        lease.interrupt(str(error) if isinstance(error, DeparaError) else type(error).__name__)
        raise
    lease.release()


def count_earlier(storage: Storage, lease: ScanLease) -> int:
    """Returns how many other scans run on this output now that started before this one."""
    others = [scan for scan in running_scans(storage) if scan.scan_id != lease.scan_id]
    now_s = storage.now_s() if others else 0.0
    mine = (str(lease.owner["started_at"]), lease.scan_id)
    earlier = [scan for scan in others if (_started(scan), scan.scan_id) < mine]
    return sum(not scan.is_dead(now_s) for scan in earlier)


def _interrupted(config: ScanConfig, storage: Storage, now: datetime) -> ScanLease | None:
    """The lease of an interrupted scan of this config, its process being dead; None without one."""
    digest = config_hash(config)
    mine = [s for s in running_scans(storage) if s.owner.get("config_hash") == digest]
    now_s = storage.now_s() if mine else 0.0
    for scan in sorted(mine, key=_started, reverse=True):
        if not scan.is_dead(now_s):
            continue
        if read_manifest(storage, scan.scan_id) is not None:  # killed after its very last step
            remove_record(storage, scan.scan_id)
            continue
        try:
            return claim_scan(storage, scan.scan_id, digest, _iso(now))
        except StoreError:  # another process was faster
            continue
    return None


def _new(config: ScanConfig, storage: Storage, now: datetime) -> ScanLease:
    """The lease of a new id; scans that start in the same second are numbered."""
    base = default_scan_id(config, now)
    names = [base, *(f"{base}-{number}" for number in range(2, _SAME_SECOND))]
    for name in names:
        if read_manifest(storage, name) is not None:
            continue
        try:
            return claim_scan(storage, name, config_hash(config), _iso(now))
        except StoreError:
            if name == names[-1]:
                raise
    raise StoreError(f"{_SAME_SECOND} scans were started in one second: start this one again")


def _started(scan: RunningScan) -> str:
    return str(scan.owner.get("started_at", ""))


def _iso(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
