"""What every stage of a scan works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.pool.launcher import Launcher
from cluster.pool.metrics import NO_METRICS, Metrics
from cluster.pool.phases import PhaseClock
from cluster.pool.progress import Reporter
from cluster.pool.stopping import StopSignal
from depara.store.storage import Storage


@dataclass(frozen=True)
class ScanContext:
    """Where a scan writes, what runs its work, shows it, may stop it, and measures it;
    ``metrics`` are for those who watch it."""

    storage: Storage
    launcher: Launcher
    reporter: Reporter
    stop: StopSignal = field(default_factory=StopSignal)
    phases: PhaseClock = field(default_factory=PhaseClock)
    metrics: Metrics = NO_METRICS
