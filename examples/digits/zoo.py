"""The folder of trained encoders: what is in it, what is out of date, and how it is filled."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from examples.digits.data import load_digits, write_probes
from examples.digits.fit import Fitted, Settings, fit_encoder
from examples.digits.tasks import TASKS

PROBES_FILE = "probes.parquet"
MAX_WORKERS = 8

_SOURCES = ("data.py", "encoder.py", "fit.py", "tasks.py")
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
    return folder / f"{name}.safetensors"


def write_zoo_probes(folder: Path) -> None:
    """Writes the held-out pictures as ``probes.parquet``; the folder is made when missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_probes(load_digits("held_out"), folder / PROBES_FILE)


def settings_key(name: str, how: Settings) -> str:
    """Returns a hash of all that decides an encoder's weights: task, settings and the code."""
    digest = hashlib.sha256(json.dumps([name, asdict(how)], sort_keys=True).encode())
    for source in _SOURCES:
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
    if workers == 1:
        for name in names:
            yield train_one(folder, name, how)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        done = [pool.submit(train_one, folder, name, how) for name in names]
        for future in as_completed(done):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def train_one(folder: Path, name: str, how: Settings) -> Report:
    """Trains the encoder of one task, writes its checkpoint and returns its report."""
    started = time.perf_counter()
    fitted = fit_encoder(name, TASKS[name], load_digits("train"), load_digits("held_out"), how)
    _write_checkpoint(checkpoint_path(folder, name), fitted, settings_key(name, how))
    return Report(name, fitted.error, fitted.trivial_error, time.perf_counter() - started)


def default_workers(num_tasks: int) -> int:
    """Returns how many encoders to train side by side: one per CPU of this process."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cpus or 1, num_tasks, MAX_WORKERS))


def _write_checkpoint(path: Path, fitted: Fitted, key: str) -> None:
    """Writes the weights whole or not at all; equal weights give equal bytes."""
    facts = {
        "settings_key": key,
        "error": round(fitted.error, 6),
        "trivial_error": round(fitted.trivial_error, 6),
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(
            save(fitted.encoder.state_dict(), {_METADATA_KEY: json.dumps(facts)})
        )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
