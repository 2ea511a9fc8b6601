"""Checkpoints in several files: the index beside them says which file holds which tensor."""

from __future__ import annotations

import json
import re
from pathlib import Path

from depara.errors import WeightsError
from depara.weights_names import INDEX_SUFFIX

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")


def is_index(path: Path) -> bool:
    """Whether a file is named as the index of a sharded checkpoint."""
    return path.name.lower().endswith(INDEX_SUFFIX)


def weight_files(path: Path, shown: str) -> list[Path]:
    """Returns the files that hold the weights of a path: itself, or the shards of an index.

    Args:
        path: the local file.
        shown: how messages name it.

    Raises:
        WeightsError: no index, or a shard is not beside it.
    """
    if not is_index(path):
        return [path]
    try:
        names = sorted(set(json.loads(path.read_bytes())["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"weights {shown!r}: no index of a sharded checkpoint: it has no weight_map"
        ) from error
    shards = [path.parent / str(name) for name in names]
    absent = [shard.name for shard in shards if shard.parent != path.parent or not shard.is_file()]
    if absent:
        raise WeightsError(
            f"weights {shown!r}: {len(absent)} of its {len(shards)} shards are not beside it, such "
            f"as {absent[0]!r}: put all of them into one local folder with the index"
        )
    return shards


def index_beside(path: Path) -> str | None:
    """Returns the name of the index that a shard belongs to; None for what is no shard."""
    match = _SHARD.fullmatch(path.name)
    return f"{match[1]}{match[4]}{INDEX_SUFFIX}" if match else None
