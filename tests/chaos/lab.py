"""The laboratory: a small zoo, the Ray that scans it, and the undisturbed run to compare with."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from benchmarks.lab.attempt import PHASES, Attempt, units_twice
from tests.chaos.checks import Tables, differences, read_tables, unsound, without_models
from tests.chaos.gate import Gate
from tests.chaos.ledger import Ledger, Trial
from tests.chaos.ray_nodes import RayNodes

FULL = os.environ.get("DEPARA_CHAOS") == "full"
"""Whether the longer scenarios run as well, and for as long as the real faults last."""

MODELS = 5
"""Of the quick kind; one more, called wide, can be made to spill."""
LAYERS = 3
PROBES = 24
UNIT_PROBES = 6
NUM_GRAPHS = (MODELS + 1) * LAYERS
UNITS_PER_MODEL = PROBES // UNIT_PROBES + 1
_CHAOS = "python:tests.chaos.models:"


@dataclass(frozen=True)
class Baseline:
    """The undisturbed run: where it lies, what it says, and how long each phase took, s."""

    output: str
    tables: Tables
    num_units: int
    phase_s: dict[str, float]


@dataclass
class Lab:
    """All that a scenario needs. One scan at a time, unless it says otherwise."""

    folder: Path
    photos: Path
    ledger: Ledger
    env: dict[str, str]
    nodes: RayNodes
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @cached_property
    def gate(self) -> Gate:
        """Where models of the zoo can be held."""
        folder = self.folder / "gate"
        folder.mkdir()
        return Gate(folder)

    @cached_property
    def baseline(self) -> Baseline:
        """The undisturbed run of this session."""
        output = self.new_output()
        with self.attempt(output) as attempt:
            attempt.complete()
        starts = [at_s for _, at_s in attempt.phases()]
        ends = [*starts[1:], attempt.lines[-1].at_s]
        assert tuple(name for name, _ in attempt.phases()) == PHASES
        phase_s = {n: b - a for n, a, b in zip(PHASES, starts, ends, strict=True)}
        problems = unsound(output)
        assert not problems, problems
        num_units = attempt.units().total()
        assert num_units == attempt.units("done").total() > 0
        return Baseline(output, read_tables(output), num_units, phase_s)

    @property
    def zoo(self) -> list[dict[str, Any]]:
        """The models of the baseline."""
        gate = str(self.gate.folder)
        models = [
            _model(f"m{n}", "Gated", n, name=f"m{n}", gate=gate, width=4 + n) for n in range(MODELS)
        ]
        return [*models, _model("wide", "Wide", MODELS, name="wide", gate=gate)]

    def new_output(self) -> str:
        """Returns an output that nobody has used."""
        return str(self.folder / f"out{next(self._numbers)}")

    def copy_of_baseline(self, *, with_scans: bool = True) -> str:
        """Returns an output with all of the undisturbed run, or with nothing but its graphs."""
        output = self.new_output()
        part = "" if with_scans else "/graphs"
        shutil.copytree(self.baseline.output + part, output + part)
        return output

    def scan_file(self, output: str, models: Sequence[Mapping[str, Any]] | None = None) -> Path:
        """Writes the scan file of an output, of the baseline's models unless others are given."""
        tree = {
            "output": output,
            "probes": {"source": str(self.photos), "count": PROBES},
            "canvas": {"side": 32},
            "compute": {"workers": 2, "memory": "256MiB", "unit_probes": UNIT_PROBES},
            "defaults": {"layers": ["block?", "code"]},
            "models": list(models or self.zoo),
            "similarity": {"pairs": "all"},
            # The least number: then the time that a scan has taken never changes it.
            "uncertainty": {"resamples": 100},
        }
        path = self.folder / f"scan-{output.rpartition('/')[2]}.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    def attempt(
        self,
        output: str,
        *settings: str,
        models: Sequence[Mapping[str, Any]] | None = None,
        module: str = "jobs.scan",
        before: Sequence[str] = (),
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Attempt:
        """Starts a scan of the zoo: a context manager.

        Args:
            output: where to.
            settings: ``field=value`` texts.
            models: others than those of the baseline.
            module: run in place of `jobs.scan`.
            before: command in front of Python.
            arguments: for the module, in front of the scan file.
            env: beside that of the laboratory; without it, the scan runs on the shared Ray.
        """
        own = {"RAY_ADDRESS": self.nodes.address} if env is None else env
        path = self.scan_file(output, models)
        options = [part for setting in settings for part in ("--set", setting)]
        return Attempt(
            [*arguments, str(path), "--verbose", *options],
            {**self.env, **own},
            module,
            before,
        )

    @contextmanager
    def trial(self, fault: str) -> Iterator[Trial]:
        """Gives a trial of a fault; the baseline exists then, and no model is held."""
        with self.ledger.trial(fault) as trial:
            assert self.baseline.num_units
            assert not list(self.gate.folder.iterdir())
            yield trial

    def judge(
        self,
        trial: Trial,
        output: str,
        attempts: Sequence[Attempt | str],
        failed_models: Sequence[str] = (),
        lost_units: int | None = None,
    ) -> None:
        """Notes the end of a fault: the last attempt finished; is its result the baseline's?

        Args:
            trial: gets the verdict.
            output: of the attempts.
            attempts: all that worked on this output, finished, or what they printed.
            failed_models: models that are in no table but that of the failures.
            lost_units: work that was done again; None counts the units that were started again.
        """
        trial.recovered = True
        outputs = [attempt if isinstance(attempt, str) else attempt.output for attempt in attempts]
        trial.lost_units += units_twice(outputs) if lost_units is None else lost_units
        tables = read_tables(output)
        assert set(tables["failures"]["model_id"]) == set(failed_models), tables["failures"]
        wrong = differences(without_models(tables, failed_models), self.baseline.tables)
        assert not wrong, wrong
        problems = unsound(output, failed_models)
        assert not problems, problems
        trial.equal = True


def _model(model_id: str, kind: str, seed: int, **kwargs: Any) -> dict[str, Any]:
    return {
        "id": model_id,
        "source": _CHAOS + kind,
        "weights": f"random:{seed}",
        "kwargs": kwargs,
    }


def harmful(kind: str, witness: Path, **kwargs: Any) -> dict[str, Any]:
    """Returns a model of `tests.chaos.models` that does harm; its id is its kind."""
    return _model(kind.lower(), kind, 0, witness=str(witness), **kwargs)
