"""Whether the nodes of a cluster see what the scan file names by local paths: told before any work.

A node that does not would compute for nothing: its graphs would lie on its own disk.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from depara.config import ScanConfig
from depara.errors import ConfigError, StorageUnavailableError, StoreError
from depara.locations import has_glob, is_remote, local_path
from depara.store.layout import RUNNING
from depara.store.running import process_start
from depara.store.storage import Storage

_JOB_FOLDER = "runtime_resources"
"""Folder of Ray's session that holds the working directories of jobs, and is removed with them."""

_MARK = f"{RUNNING}/.seen-"
_LOOKS, _LOOK_EVERY_S = 6, 0.5
_SHOWN = 5
_FOLDER_SOURCES = ("hf:", "timm:local-dir:")


@dataclass(frozen=True)
class Place:
    """A local path of the scan file: its field, and what a node must be able to do with it."""

    field: str
    path: str
    need: Literal["share", "read", "write"]


Ask = Callable[..., Mapping[str, Sequence[Place]]]
"""Calls a function with arguments on every node; answers by the node's name."""


@contextlib.contextmanager
def marked_output(storage: Storage) -> Iterator[str | None]:
    """Gives the path of a small file in a local output, there while the scan runs; else None.

    Whoever sees it shares the output's folder.

    Raises:
        StoreError: the output cannot be written.
    """
    if is_remote(storage.root):
        yield None
        return
    _remove_marks_of_the_dead(storage)
    started = process_start(os.getpid())
    name = f"{_MARK}{socket.gethostname()}-{os.getpid()}-{started}-{uuid.uuid4().hex[:8]}"
    storage.create(name, b"depara")
    try:
        yield storage.location(name)
    finally:
        with contextlib.suppress(StoreError, StorageUnavailableError):  # the next scan removes it
            storage.remove([name])


def _remove_marks_of_the_dead(storage: Storage) -> None:
    """Removes the marks that processes of this machine have left which were killed."""
    if process_start(os.getpid()) is None:  # not Linux: nobody can tell
        return
    for path in local_path(storage.location(RUNNING)).glob(f"{Path(_MARK).name}*"):
        mine = f"{Path(_MARK).name}{socket.gethostname()}-"
        pid, _, rest = path.name.removeprefix(mine).partition("-")
        is_mine = path.name.startswith(mine) and pid.isdigit()
        if is_mine and process_start(int(pid)) != rest.partition("-")[0]:
            path.unlink(missing_ok=True)


def check_places(config: ScanConfig, mark: str | None, ask: Ask) -> None:
    """Proves that every node has the local paths of the scan file.

    Inputs that are missing here too are left to the stage that opens them.

    Args:
        config: the scan, its local paths absolute.
        mark: see `marked_output`.
        ask: asks the nodes.

    Raises:
        ConfigError: a node lacks something, with the node, the field and the way out.
    """
    lacking: dict[Place, list[str]] = {}
    for node, places in ask(missing_places, local_places(config, mark)).items():
        for place in places:
            lacking.setdefault(place, []).append(node)
    if lacking:
        lines = [_explain(place, nodes, config) for place, nodes in lacking.items()]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise ConfigError("\n".join([*lines[:_SHOWN], *more]))


def check_mark(mark: str | None, node: str) -> None:
    """Proves on a node that joined later that it shares the output.

    Raises:
        ConfigError: it does not.
    """
    if mark is not None and missing_places([Place("output", mark, "share")]):
        raise ConfigError(_unshared(str(Path(mark).parent.parent), node))


def check_job_folder(config: ScanConfig) -> None:
    """Refuses an output in the working directory of a submitted job.

    Raises:
        ConfigError: it is in one.
    """
    if is_remote(config.output):
        return
    path = local_path(config.output)
    if any(_JOB_FOLDER in each.parts for each in (path, Path(os.path.realpath(path)))):
        raise ConfigError(
            f"output {config.output!r} is in the job's own folder, a copy that Ray removes with "
            "the job: set output to s3://bucket/prefix, or to an absolute path that all nodes share"
        )


def local_places(config: ScanConfig, mark: str | None) -> tuple[Place, ...]:
    """Returns what each node must have of the local paths of a scan."""
    sources = config.probes.source
    inputs = [("probes.source", s) for s in ([sources] if isinstance(sources, str) else sources)]
    for model in config.models:
        prefix = next((p for p in _FOLDER_SOURCES if model.source.startswith(p)), None)
        if prefix is not None:  # the name of a hub's repository is no folder that exists
            folder = os.path.expanduser(model.source.removeprefix(prefix))
            inputs.append((f"models.{model.id}.source", os.path.abspath(folder)))
        if model.weights is not None:
            inputs.append((f"models.{model.id}.weights", model.weights))
    places = [] if mark is None else [Place("output", mark, "share")]
    if config.compute.spill_dir is not None:
        places.append(Place("compute.spill_dir", config.compute.spill_dir, "write"))
    for field, text in inputs:
        if is_remote(text) or text.startswith("package://"):
            continue
        path = str(local_path(text))
        if not os.path.isabs(path):  # a name of weights, or `random:SEED`
            continue
        if has_glob(path) and not os.path.exists(path):
            path = _before_glob(path)
        # The driver alone reads a list of images; it may name others.
        if os.path.exists(path) and not path.endswith(".txt"):
            places.append(Place(field, path, "read"))
    return tuple(places)


def missing_places(places: Sequence[Place]) -> list[Place]:
    """Returns those that this machine does not have. What was just written may take its time."""
    return [place for place in places if not _has(place)]


def _has(place: Place) -> bool:
    if place.need == "write":
        return os.path.isdir(place.path) and os.access(place.path, os.W_OK | os.X_OK)
    for _ in range(_LOOKS if place.need == "share" else 1):
        if os.path.exists(place.path):
            return True
        time.sleep(_LOOK_EVERY_S if place.need == "share" else 0)
    return False


def _before_glob(pattern: str) -> str:
    """The folder that a glob searches."""
    parts = Path(pattern).parts
    first = next(place for place, part in enumerate(parts) if has_glob(part))
    return str(Path(*parts[:first]))


def _explain(place: Place, nodes: Sequence[str], config: ScanConfig) -> str:
    where = nodes[0] if len(nodes) == 1 else f"{nodes[0]} and {len(nodes) - 1} more"
    if place.need == "share":
        return _unshared(str(local_path(config.output)), where)
    if place.need == "write":
        return (
            f"{place.field} {place.path!r} is no folder on {where} that can be written: make it "
            "there, name a local folder that each node has, or leave the field out"
        )
    return (
        f"{place.field} {place.path!r} is here, but not on {where}: use s3:// locations, files in "
        "the image of the nodes, or a file system that they all mount at this path"
    )


def _unshared(output: str, node: str) -> str:
    return (
        f"output {output!r} is a local folder that {node} does not share: what it computes would "
        "lie on its own disk. Set output to s3://bucket/prefix, or to a folder on a file system "
        "that all nodes mount at the same path"
    )


def this_machine(task: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """Asks this machine alone, where there is no cluster."""
    return {"this machine": task(*args)}
