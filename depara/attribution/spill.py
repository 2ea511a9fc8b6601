"""Where the features of one layer wait for their Gram matrix: in memory, or on local disk.

Shapes: ``N`` probes, ``D`` features, ``B`` rows of one write, ``W`` columns of one block.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO

import numpy as np

from depara.errors import StoreError
from depara.types import Float32

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FeatureStore(ABC):
    """A float32 matrix ``N D``, written by rows and read by blocks of columns."""

    def __init__(self, num_probes: int, num_features: int) -> None:
        self.num_probes = num_probes
        self.num_features = num_features

    @abstractmethod
    def write(self, row0: int, features_BD: Float32) -> None:
        """Writes the rows from ``row0`` on."""

    @abstractmethod
    def read(self, column0: int, block_NW: Float32) -> None:
        """Fills a contiguous block with the columns from ``column0`` on."""

    @abstractmethod
    def close(self) -> None:
        """Gives the space back."""


class MemoryStore(FeatureStore):
    """The matrix in memory."""

    def __init__(self, num_probes: int, num_features: int) -> None:
        super().__init__(num_probes, num_features)
        self._features_ND = np.empty((num_probes, num_features), np.float32)

    def write(self, row0: int, features_BD: Float32) -> None:
        self._features_ND[row0 : row0 + len(features_BD)] = features_BD

    def read(self, column0: int, block_NW: Float32) -> None:
        np.copyto(block_NW, self._features_ND[:, column0 : column0 + block_NW.shape[1]])

    def close(self) -> None:
        self._features_ND = np.empty((0, 0), np.float32)


class DiskStore(FeatureStore):
    """The matrix in a nameless local file, as (column blocks, N, block width).

    A write of rows is one contiguous piece per block, and reading a block is one contiguous read.
    The file has no name from the start where the system allows it, so it vanishes with the process.

    Raises:
        StoreError: the disk is full, or the folder cannot be written.
    """

    def __init__(self, num_probes: int, num_features: int, block_width: int, folder: Path) -> None:
        super().__init__(num_probes, num_features)
        self._block_width = block_width
        self._folder = folder
        try:
            self._file = _nameless_file(folder)
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot spill features there: {error.strerror}: "
                "set compute.spill_dir to a writable local folder"
            ) from error

    def write(self, row0: int, features_BD: Float32) -> None:
        for column0 in range(0, self.num_features, self._block_width):
            piece = features_BD[:, column0 : column0 + self._block_width]
            self._write_at(self._offset(row0, column0, piece.shape[1]), np.ascontiguousarray(piece))

    def read(self, column0: int, block_NW: Float32) -> None:
        assert column0 % self._block_width == 0
        width = block_NW.shape[1]
        assert width == min(self._block_width, self.num_features - column0)
        view = block_NW.data.cast("B")
        offset = self._offset(0, column0, width)
        self._read_ahead(offset + len(view), len(view))
        while view:
            count = os.preadv(self._file.fileno(), [view], offset)
            assert count > 0, "the spill file is shorter than what was written"
            view, offset = view[count:], offset + count

    def close(self) -> None:
        self._file.close()

    def _offset(self, row: int, column0: int, width: int) -> int:
        return 4 * (column0 * self.num_probes + row * width)

    def _read_ahead(self, offset: int, num_bytes: int) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), offset, num_bytes, os.POSIX_FADV_WILLNEED)

    def _write_at(self, offset: int, piece: Float32) -> None:
        view = piece.data.cast("B")
        try:
            while view:
                count = os.pwrite(self._file.fileno(), view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            raise disk_full(self._folder, 4 * self.num_probes * self.num_features) from error


def _nameless_file(folder: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="depara-", dir=folder, buffering=0)


def disk_full(folder: Path, need_bytes: int) -> StoreError:
    """Returns the error that says how much space spilling needs and how much there is."""
    have_bytes = shutil.disk_usage(folder).free
    return StoreError(
        f"{folder}: spilling features needs {need_bytes / 2**30:.2f} GiB, "
        f"{have_bytes / 2**30:.2f} GiB are free: free some space, set compute.spill_dir to another "
        "local folder, raise compute.memory, or use edges.features: gap"
    )
