"""What travels between driver and workers: units of work and their outcomes, as plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from depara.traffic import NO_TRAFFIC, Traffic
from depara.types import Failure

if TYPE_CHECKING:
    from cluster.pool.worker import Worker


@dataclass(frozen=True)
class Expectation:
    """What is known beforehand of a unit's time, for its deadline; never a promise.

    ``work_s`` is None where nothing is known: then only the limit bounds the unit. Where
    ``num_items`` is given, units of the same name that have ended tell the time of an item, and
    ``reading_s`` counts only until one has. ``tells_slowness`` says that ``work_s`` was measured,
    so that what the unit takes tells how slow the machine is.
    """

    work_s: float | None = None
    reading_s: float = 0.0
    num_items: int = 0
    tells_slowness: bool = False


class Unit(ABC):
    """One piece of work for one worker; subclasses are frozen dataclasses that pickle."""

    name: ClassVar[str]
    """One verb, for logs and messages."""
    stage: ClassVar[str]
    """Of its failures."""

    @property
    def model_id(self) -> str:
        """The model it is about; empty where it is about none."""
        return ""

    @property
    def num_graphs(self) -> int:
        """How many graphs it commits."""
        return 0

    @property
    def label(self) -> str:
        """Its name in logs, such as ``extract 000000-000256``."""
        return self.name

    @abstractmethod
    def run(self, worker: Worker, attempt: int, upcoming: Unit | None) -> Any:
        """Does the work and returns its value; errors are raised.

        Args:
            worker: where it runs.
            attempt: how often its group has killed a worker.
            upcoming: what the worker will probably get next; the first unit of the next group
                where that is known, though this one goes on.
        """

    @abstractmethod
    def expectation(self) -> Expectation:
        """Returns what is known of its time."""


@dataclass(frozen=True)
class FlushUnit(Unit):
    """Finish the writes that run behind, before the worker is ended in the middle of a group."""

    name: ClassVar[str] = "flush"
    stage: ClassVar[str] = "extract"

    def run(self, worker: Worker, attempt: int, upcoming: Unit | None) -> None:
        """Waits for what runs behind."""
        worker.flush()

    def expectation(self) -> Expectation:
        """Nothing is known."""
        return Expectation()


@dataclass(frozen=True)
class Outcome:
    """The end of one unit: a value, or the failure as data (exceptions may not unpickle).

    ``traffic`` is what a process of its own has read and written since the outcome before.
    """

    value: Any = None
    failure: Failure | None = None
    traffic: Traffic = NO_TRAFFIC


@dataclass(frozen=True)
class Group:
    """Units that must run in order on one worker, because it keeps state between them.

    ``seconds`` is an estimate, for starting the longest groups first.
    """

    name: str
    units: tuple[Unit, ...]
    seconds: float = 0.0


@dataclass
class GroupResult:
    """How a group ended: the values of its units in order, or the failure that ended it."""

    name: str
    values: list[Any] = field(default_factory=list)
    failure: Failure | None = None
    deaths: int = 0
