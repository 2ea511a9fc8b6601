"""Reading weights files without running what is in them: safetensors or weights-only pickles."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path, PosixPath, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depara.errors import ConfigError, DeparaError, WeightsError, near_names
from depara.locations import local_copy, redact
from depara.models.file_kinds import foreign_kind, zip_kind
from depara.models.foreign import one_line
from depara.models.shards import index_beside, weight_files
from depara.retries import is_passing, is_storage_error, persist, reason

_CHUNK_BYTES = 16 * 1024**2
_HEAD_BYTES = 16
_SAFETENSORS_SIGN = b"\x00\x00\x00\x00{"
"""From byte 4 on: the upper half of the header's length, and the header, which is JSON."""
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80\x02"
"""How torch.save starts a file in the format before zip: a pickle of protocol 2."""
_PROTOCOL_SIGN = "Unsupported operand"
_CODE_SIGNS = (
    "was not an allowed global",
    "is blocked",
    "Can only ",
    "unrecognized function",
    "must be imported to load",
    "Cannot use ``weights_only=True``",
    _PROTOCOL_SIGN,
)
"""Texts of torch's weights-only unpickler for a pickle that holds more than tensors and values."""

_NUMPY: Any = import_module("numpy._core.multiarray")
_SAFE_VALUES: list[Any] = [
    *(_NUMPY.scalar, (_NUMPY.scalar, "numpy.core.multiarray.scalar")),
    *(_NUMPY._reconstruct, (_NUMPY._reconstruct, "numpy.core.multiarray._reconstruct")),
    *(np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in "?bhilqBHILQefdFDSU")),
    *(Namespace, SimpleNamespace, PurePosixPath, PosixPath, datetime, timedelta),
    *(frozenset, range, slice),
]
"""What training scripts keep beside the weights: numbers, options, paths, dates; none of them does
anything when it is built."""

_SAVE = (
    "safetensors.torch.save_file({name: value.contiguous().clone() for name, value in "
    "state.items()}, 'weights.safetensors')"
)
_IF_TRUSTED = "if you trust it, convert it once, where it was made"
_CONVERT = (
    f"{_IF_TRUSTED}: content = torch.load(FILE, map_location='cpu', weights_only=False); state = "
    "content.state_dict() of a whole module, or the entry of content that holds the tensors, such "
    f"as content['state_dict']; {_SAVE}"
)
_CONVERT_SCRIPT = (
    f"{_IF_TRUSTED}: state = torch.jit.load(FILE, map_location='cpu').state_dict(); {_SAVE}"
)
_CONVERT_PROGRAM = f"{_IF_TRUSTED}: state = torch.export.load(FILE).state_dict; {_SAVE}"


@contextmanager
def weights_file(uri: str) -> Iterator[Path]:
    """Gives a local path of a weights file: itself when local, else a temporary copy.

    Raises:
        WeightsError: there is no such file, package or storage, or it cannot be read.
        StorageUnavailableError: the storage did not answer for too long.
    """
    with ExitStack() as stack:
        try:
            path = stack.enter_context(local_copy(uri))
        except ConfigError as error:
            raise WeightsError(f"weights: {error}") from error
        except Exception as error:
            if isinstance(error, DeparaError) or not is_storage_error(error):
                raise
            # Not chained: what a client raises may hold credentials.
            raise WeightsError(f"weights {redact(uri)!r} cannot be read: {reason(error)}") from None
        if path.is_dir():
            raise WeightsError(f"weights {uri!r} is a folder: name a file in it")
        if not path.is_file():
            siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
            hint = near_names(path.name, siblings)
            raise WeightsError(f"weights {uri!r}: no such file" + (f", {hint}" if hint else ""))
        yield path


def file_sha256(path: Path) -> str:
    """Returns the sha256 (64 hexadecimal digits) of a file's bytes, read in pieces.

    Of the index of a sharded checkpoint it covers the shards too, one after the other.

    Raises:
        StorageUnavailableError: the disk (of a network file system) did not answer for too long.
    """

    def read() -> str:
        digest = hashlib.sha256()
        for part in dict.fromkeys([path, *weight_files(path, path.name)]):
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
        return digest.hexdigest()

    return persist("read", str(path), read)


def state_dict_sha256(module: nn.Module) -> str:
    """Returns the sha256 over names, dtypes, shapes and bytes of a module's state dict, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, Tensor):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_checkpoint(path: Path, shown: str) -> object:
    """Returns the content of a weights file, on the CPU.

    What a file is shows in its first bytes, not in its name: safetensors, or a PyTorch checkpoint
    (zip or the older plain pickle), which is read with ``weights_only=True``. Of the index of a
    sharded checkpoint all shards are read.

    Args:
        path: the local file.
        shown: how messages name it.

    Raises:
        WeightsError: another kind of file, which is named; damaged; or it holds code (a pickle with
            other classes than tensors, TorchScript, ``.pt2``) and is refused.
        StorageUnavailableError: the disk (of a network file system) did not answer for too long.
    """
    return persist("read", f"weights {shown!r}", lambda: _read_all(path, shown))


def _read_all(path: Path, shown: str) -> object:
    files = weight_files(path, shown)
    if files == [path]:
        return _read_checkpoint(path, shown)
    merged: dict[object, object] = {}
    for shard in files:
        content = _read_checkpoint(shard, f"{shown}: {shard.name}", is_part=True)
        if not isinstance(content, Mapping):
            raise WeightsError(f"weights {shown!r}: the shard {shard.name!r} holds no tensors")
        merged |= content
    return merged


def _read_checkpoint(path: Path, shown: str, *, is_part: bool = False) -> object:
    with path.open("rb") as file:
        start = file.read(_HEAD_BYTES)
    # First, as the length that safetensors files begin with may look like the sign of another kind.
    is_safetensors = start[4:9] == _SAFETENSORS_SIGN
    other = None if is_safetensors else foreign_kind(path)
    if other is not None:
        raise WeightsError(f"weights {shown!r}: {other}")
    index = index_beside(path)
    if index is not None and not is_part and (path.parent / index).is_file():
        raise WeightsError(
            f"weights {shown!r}: is one shard of several: name their index, {index!r} beside it"
        )
    is_zip = start.startswith(_ZIP_MAGIC)
    if is_safetensors or (path.suffix.lower() == ".safetensors" and not is_zip):
        return _read_safetensors(path, shown)
    if is_zip:
        _refuse_programs(path, shown)
    elif start[:1] != _PICKLE_MAGIC[:1] or len(start) < len(_PICKLE_MAGIC):
        raise WeightsError(f"weights {shown!r}: damaged, or no PyTorch checkpoint")
    elif start[:2] != _PICKLE_MAGIC:
        raise WeightsError(
            f"weights {shown!r}: a pickle that can run code is refused (protocol {start[1]}, which "
            f"torch.save does not write): {_CONVERT}"
        )
    return _read_pickle(path, shown, mmap=is_zip)


def _read_safetensors(path: Path, shown: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        if is_passing(error):
            raise
        raise WeightsError(
            f"weights {shown!r}: damaged, truncated, or no safetensors file ({path.stat().st_size} "
            f"bytes): {one_line(error)}: copy or download it again"
        ) from error


def _refuse_programs(path: Path, shown: str) -> None:
    """Refuses zip archives that hold programs, and those that are cut off."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except zipfile.BadZipFile as error:
        raise WeightsError(
            f"weights {shown!r}: damaged or truncated checkpoint ({path.stat().st_size} bytes): "
            f"{one_line(error)}: copy or download it again"
        ) from error
    names = [name.partition("/")[2] or name for name in members]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise WeightsError(
            f"weights {shown!r}: TorchScript holds code and is refused: {_CONVERT_SCRIPT}"
        )
    if path.suffix.lower() == ".pt2" or "archive_format" in names:
        raise WeightsError(f"weights {shown!r}: an exported program is refused: {_CONVERT_PROGRAM}")
    if "data.pkl" not in names:
        raise WeightsError(f"weights {shown!r}: {zip_kind(members)}")


def _read_pickle(path: Path, shown: str, *, mmap: bool) -> object:
    try:
        with torch.serialization.safe_globals(_SAFE_VALUES):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        AssertionError,
        struct.error,
    ) as error:
        if is_passing(error):
            raise
        text = str(error)
        if any(sign in text for sign in _CODE_SIGNS):
            raise WeightsError(
                f"weights {shown!r}: a pickle that can run code is refused ({_cause(text)}): "
                f"{_CONVERT}"
            ) from error
        raise WeightsError(
            f"weights {shown!r}: damaged, truncated, or no PyTorch checkpoint: "
            f"{type(error).__name__}: {_cause(text)}"
        ) from error


def _cause(text: str) -> str:
    """Returns the sentence of torch's long message that names the cause."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    if _PROTOCOL_SIGN in text:
        return "of a pickle protocol above 3, which safe loading does not read"
    for line in lines:
        for sign in _CODE_SIGNS:
            if sign in line:
                return line.split("WeightsUnpickler error: ")[-1].split(". Please")[0][:200]
    return (lines[0] if lines else "no message")[:200]
