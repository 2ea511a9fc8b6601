"""What every stage of a scan works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from cluster.launcher import Launcher
from cluster.phases import PhaseClock
from cluster.progress import Reporter
from cluster.stopping import StopSignal
from depara.store.storage import Storage


@dataclass(frozen=True)
class ScanContext:
    """Where a scan writes, what runs its work, shows it, may stop it, and measures it."""

    storage: Storage
    launcher: Launcher
    reporter: Reporter
    stop: StopSignal = field(default_factory=StopSignal)
    phases: PhaseClock = field(default_factory=PhaseClock)
