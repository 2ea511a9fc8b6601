"""One worker in a process of its own, without Ray: what kills or hangs it, the driver survives."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from cluster.pool.launcher import Handle, InlineLauncher, Ref, WorkerLostError
from cluster.pool.units import Outcome, Unit
from cluster.pool.worker import Worker

_END_S = 10.0


@dataclass(eq=False)
class _Child:
    process: BaseProcess
    pipe: Connection

    def end(self) -> str:
        """Returns how the process ended."""
        self.process.join(_END_S)
        code = self.process.exitcode
        if code is not None and code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended by itself with exit code {code} (os._exit, abort, or a crash)"


@dataclass(eq=False)
class _Answer:
    """What a child sends next."""

    child: _Child


class ProcessLauncher(InlineLauncher):
    """Runs units in a child process, and tasks in this one: for dry runs.

    Args:
        output: where the scan writes.
        num_cpus: threads of the worker.
    """

    def __init__(self, output: str, num_cpus: float) -> None:
        super().__init__(lambda: Worker(output, num_cpus, 0))
        self._settings = (output, num_cpus)

    def request(self) -> str:
        """A process of this machine."""
        return "a process of this machine"

    def start_worker(self) -> tuple[Handle, Ref]:
        """Starts the process; it begins afresh, and inherits nothing but the environment."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, *self._settings))
        process.start()
        theirs.close()  # else its end would not show at ours
        child = _Child(process, ours)
        return child, _Answer(child)

    def run(self, worker: Handle, unit: Unit, attempt: int, upcoming: Unit | None) -> Ref:
        """Sends the unit; a process that is gone shows when the answer is fetched."""
        with suppress(OSError):
            worker.pipe.send((unit, attempt, upcoming))
        return _Answer(worker)

    def wait(self, refs: Sequence[Ref], timeout_s: float) -> list[Ref]:
        """Waits for answers, and for ends of processes."""
        ready = wait([ref.child.pipe for ref in refs], timeout_s)
        return [ref for ref in refs if ref.child.pipe in ready]

    def fetch(self, ref: Ref) -> Outcome:
        """Receives the answer."""
        try:
            outcome = ref.child.pipe.recv()
        except (EOFError, OSError):
            raise WorkerLostError(ref.child.end()) from None
        assert isinstance(outcome, Outcome)
        return outcome

    def kill(self, worker: Handle) -> None:
        """Ends the process at once."""
        worker.process.kill()
        worker.process.join(_END_S)
        worker.pipe.close()


def _serve(pipe: Connection, output: str, num_cpus: float) -> None:
    """Answers units until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is the driver's affair
    worker = Worker(output, num_cpus, 0)
    pipe.send(Outcome(worker.ready()))
    while True:
        try:
            unit, attempt, upcoming = pipe.recv()
        except EOFError:
            return
        pipe.send(worker.run(unit, attempt, upcoming))
