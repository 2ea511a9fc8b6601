"""The folder of trained encoders: what is in it, what is out of date, and how it is filled.

An encoder is called ``<task>``, or ``<task>-<architecture>`` in the mixed zoo.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from examples.digits.architectures import ARCHITECTURES
from examples.digits.data import load_digits, write_probes
from examples.digits.encoder import Encoder
from examples.digits.fit import Fitted, Settings, fit_encoder, own_chance
from examples.digits.running import in_processes, write_whole
from examples.digits.tasks import TASKS

PROBES_FILE = "probes.parquet"

MIXED_TASKS = ("class10", "rotation", "jigsaw", "autoencode", "denoise", "edges")
"""The tasks of the mixed zoo: three with classes for answers, three with pictures."""

_SOURCES = ("data.py", "encoder.py", "fit.py", "tasks.py")
_SUFFIX = ".safetensors"
_METADATA_KEY = "digit_zoo"


@dataclass(frozen=True)
class Report:
    """One encoder of the zoo: its held-out error beside the trivial one (see `Fitted`).

    ``seconds`` is what its training took, None when it was there already.
    """

    name: str
    error: float
    trivial_error: float
    seconds: float | None = None

    @property
    def skill(self) -> float:
        """Share of the trivial error that the encoder removes."""
        return 1.0 - self.error / self.trivial_error


def checkpoint_path(folder: Path, name: str) -> Path:
    """Returns where the encoder of a task lies: ``<task>.safetensors``."""
    return folder / f"{name}{_SUFFIX}"


def mixed_names(tasks: Sequence[str] = MIXED_TASKS) -> list[str]:
    """Returns the names of the mixed zoo: every task with every architecture."""
    return [f"{task}-{architecture}" for task in tasks for architecture in ARCHITECTURES]


def task_of(name: str) -> str:
    """Returns the task of an encoder."""
    return name.partition("-")[0]


def build_encoder(name: str) -> nn.Module:
    """Returns an untrained encoder of the architecture that its name states."""
    architecture = name.partition("-")[2]
    return ARCHITECTURES[architecture]() if architecture else Encoder()


def list_encoders(folder: Path) -> list[str]:
    """Returns the names of the checkpoints in a folder, in the order of the tasks."""
    names = [path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}")]
    known = {name: place for place, name in enumerate([*TASKS, *mixed_names(list(TASKS))])}
    return sorted((name for name in names if name in known), key=lambda name: known[name])


def load_encoder(folder: Path, name: str) -> nn.Module:
    """Returns a trained encoder in eval mode.

    Raises:
        OSError: there is no such checkpoint.
        SafetensorError: it cannot be read.
    """
    with own_chance(0):  # its random weights are drawn for nothing, and leave no trace
        encoder = build_encoder(name)
    encoder.load_state_dict(load_file(checkpoint_path(folder, name)), strict=True)
    return encoder.eval()


def write_zoo_probes(folder: Path) -> None:
    """Writes the held-out pictures as ``probes.parquet``; the folder is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_probes(load_digits("held_out"), folder / PROBES_FILE)


def settings_key(name: str, how: Settings) -> str:
    """Returns a hash of all that decides an encoder's weights: name, settings and the code."""
    sources = _SOURCES if name == task_of(name) else (*_SOURCES, "architectures.py")
    return hash_with_sources(json.dumps([name, asdict(how)], sort_keys=True), sources)


def hash_with_sources(text: str, sources: Sequence[str]) -> str:
    """Returns a hash of a text and of source files of this package, 32 hexadecimal digits."""
    digest = hashlib.sha256(text.encode())
    for source in sources:
        digest.update(Path(__file__).with_name(source).read_bytes())
    return digest.hexdigest()[:32]


def read_report(folder: Path, name: str, how: Settings) -> Report | None:
    """Returns the report in a task's checkpoint, or None when it must be trained.

    That is when the file is missing, cannot be read, or was trained with other settings or code.
    """
    path = checkpoint_path(folder, name)
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get(_METADATA_KEY, "{}"))
    except (OSError, SafetensorError, ValueError):
        return None
    if facts.get("settings_key") != settings_key(name, how):
        return None
    return Report(name, facts["error"], facts["trivial_error"])


def fill_zoo(
    folder: Path, names: Sequence[str], how: Settings, *, workers: int
) -> Iterator[Report]:
    """Trains the encoders and yields each one's report as soon as its checkpoint is written.

    Args:
        folder: where ``<task>.safetensors`` goes.
        names: tasks to train, whether or not they are there already.
        how: training settings.
        workers: processes to train in; 1 trains in this one. Never changes the weights.

    Raises:
        concurrent.futures.process.BrokenProcessPool: a process died, most often of memory.
    """
    return in_processes(train_one, [(folder, name, how) for name in names], workers)


def train_one(folder: Path, name: str, how: Settings) -> Report:
    """Trains one encoder, writes its checkpoint and returns its report."""
    started = time.perf_counter()
    fitted = fit_encoder(
        name,
        TASKS[task_of(name)],
        load_digits("train"),
        load_digits("held_out"),
        how,
        partial(build_encoder, name),
    )
    _write_checkpoint(checkpoint_path(folder, name), fitted, settings_key(name, how))
    return Report(name, fitted.error, fitted.trivial_error, time.perf_counter() - started)


def _write_checkpoint(path: Path, fitted: Fitted, key: str) -> None:
    """Writes the weights; equal weights give equal bytes."""
    facts = {
        "settings_key": key,
        "error": round(fitted.error, 6),
        "trivial_error": round(fitted.trivial_error, 6),
    }
    write_whole(path, save(fitted.encoder.state_dict(), {_METADATA_KEY: json.dumps(facts)}))
