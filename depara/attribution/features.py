"""The features of all probes at all layers, and the exact Gram matrix of each layer.

Shapes: ``N`` probes, ``D`` features, ``B`` rows of one write, ``W`` columns of one block.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depara.attribution.gram import GramSum
from depara.attribution.spill import DiskStore, FeatureStore, MemoryStore, disk_full
from depara.errors import StoreError
from depara.grams import GraphGrams
from depara.ledger import part_bytes
from depara.types import Float32, Float64, LayerInfo

_BLOCK_BYTES = 8 * 2**20
_MIN_WIDTH, _MAX_WIDTH = 1024, 8192


class FeatureBank:
    """Collects the features of ``N`` probes at all layers and gives each layer's Gram matrix.

    Memory: layers stay in memory, smallest first, while together they fit the part of
    ``memory_bytes`` that is for features (`depara.ledger`); the others go to nameless files in
    ``spill_dir``. On top come one block of columns of the part for blocks (at least one column),
    one batch's rows of one block while writing, and, while `gram` runs, ``12 N^2`` bytes for the
    matrix and its sums (twice that in `grams`).

    Args:
        num_probes: ``N``.
        layers: names and numbers of features.
        memory_bytes: of the worker.
        spill_dir: local folder for what does not fit; None is the system's temporary folder.
        device: where the products are computed; ``cpu`` or a CUDA device.

    Raises:
        StoreError: what must spill does not fit into the folder's free space.
    """

    def __init__(
        self,
        num_probes: int,
        layers: Sequence[LayerInfo],
        *,
        memory_bytes: int,
        spill_dir: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        assert num_probes > 0
        self.num_probes = num_probes
        self._device = torch.device(device)
        self._width = _block_width(num_probes, memory_bytes)
        self._written_N: dict[str, NDArray[np.bool_]] = {
            layer.name: np.zeros(num_probes, np.bool_) for layer in layers
        }
        self._stores: dict[str, FeatureStore] = {}
        folder = Path(tempfile.gettempdir() if spill_dir is None else spill_dir)
        kept, spilled = _split_by_memory(num_probes, layers, part_bytes(memory_bytes, "features"))
        if spilled:
            _check_space(folder, sum(_layer_bytes(num_probes, layer) for layer in spilled))
        try:
            for layer in spilled:
                self._stores[layer.name] = DiskStore(
                    num_probes, layer.num_features, self._width, folder
                )
        except StoreError:
            self.close()
            raise
        for layer in kept:
            self._stores[layer.name] = MemoryStore(num_probes, layer.num_features)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def spilled_layers(self) -> tuple[str, ...]:
        """Names of the layers whose features lie on disk."""
        return tuple(name for name, one in self._stores.items() if isinstance(one, DiskStore))

    def write(self, layer: str, row0: int, features_BD: NDArray[np.floating] | Tensor) -> None:
        """Takes the features of the probes ``row0 .. row0 + B``, in any order of calls.

        The values are copied. Rows that are written again replace what was there.

        Raises:
            StoreError: the disk is full.
        """
        rows_BD = _as_float32(features_BD)
        store = self._stores[layer]
        assert rows_BD.ndim == 2
        assert rows_BD.shape[1] == store.num_features, (rows_BD.shape, store.num_features)
        assert 0 <= row0 <= row0 + len(rows_BD) <= self.num_probes
        store.write(row0, rows_BD)
        self._written_N[layer][row0 : row0 + len(rows_BD)] = True

    def gram(self, layer: str, normalize: str) -> Float64:
        """Returns the inner products of all probes' features at one layer, ``N N``, symmetric.

        ``none``: of the features as they are. ``center``: after subtracting each dimension's mean
        over the probes. ``zscore``: after dividing that by each dimension's standard deviation
        (``ddof=1``; Dwivedi et al., "Duality Diagram Similarity", ECCV 2020); a dimension that does
        not vary beyond rounding (see `gram.standardize`) contributes nothing.

        All rows must have been written.
        """
        assert self._written_N[layer].all(), (
            f"layer {layer!r}: {int((~self._written_N[layer]).sum())} rows were never written"
        )
        total = GramSum(self.num_probes, normalize, self._device)
        for block_NW in self._blocks(self._stores[layer]):
            total.add(block_NW)
        return total.result()

    def grams(self, layer: str) -> GraphGrams:
        """Returns the raw and the z-scored Gram matrix with the row sums, in one pass.

        Each matrix is that of `gram` with ``none`` and ``zscore``. All rows must have been written.

        Raises:
            NonFiniteError: a feature is NaN or infinite.
            ValueError: features so small that float32 has lost their digits.
        """
        assert self._written_N[layer].all(), f"layer {layer!r}: rows were never written"
        raw = GramSum(self.num_probes, "none", self._device)
        zscored = GramSum(self.num_probes, "zscore", self._device)
        for block_NW in self._blocks(self._stores[layer]):
            raw.add(block_NW)
            zscored.add(block_NW)  # second: it overwrites the block
        num_features = self._stores[layer].num_features
        raw_NN = raw.result()
        _check_digits(raw_NN, num_features)
        return GraphGrams(
            raw_NN, zscored.result(), raw.row_sums_N, zscored.row_sums_N, num_features
        )

    def close(self) -> None:
        """Gives memory and disk space back."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def _blocks(self, store: FeatureStore) -> Iterator[Float32]:
        buffer = np.empty(self.num_probes * min(self._width, store.num_features), np.float32)
        for column0 in range(0, store.num_features, self._width):
            width = min(self._width, store.num_features - column0)
            block_NW = buffer[: self.num_probes * width].reshape(self.num_probes, width)
            store.read(column0, block_NW)
            yield block_NW


def _check_digits(raw_NN: Float64, num_features: int) -> None:
    """Refuses features of which not one probe has any of a size that float32 holds in full."""
    largest = float(np.sqrt(np.diagonal(raw_NN).max() / num_features))
    tiny = float(np.finfo(np.float32).tiny)
    if 0 < largest < tiny:
        raise ValueError(
            f"they are about {largest:.0e}, and below {tiny:.0e} float32 has lost their digits"
        )


def _layer_bytes(num_probes: int, layer: LayerInfo) -> int:
    return 4 * num_probes * layer.num_features


def _block_width(num_probes: int, memory_bytes: int) -> int:
    """Columns of a block: about 8 MiB, wide enough for efficient products, within the limit."""
    wanted = min(max(_BLOCK_BYTES // (4 * num_probes), _MIN_WIDTH), _MAX_WIDTH)
    return max(min(wanted, part_bytes(memory_bytes, "blocks") // (4 * num_probes)), 1)


def _split_by_memory(
    num_probes: int, layers: Sequence[LayerInfo], budget_bytes: int
) -> tuple[list[LayerInfo], list[LayerInfo]]:
    """Returns the layers kept in memory, smallest first, and those that spill."""
    kept: list[LayerInfo] = []
    spilled: list[LayerInfo] = []
    for layer in sorted(layers, key=lambda one: one.num_features):
        budget_bytes -= _layer_bytes(num_probes, layer)
        (kept if budget_bytes >= 0 else spilled).append(layer)
    return kept, spilled


def _check_space(folder: Path, need_bytes: int) -> None:
    if not folder.is_dir():
        raise StoreError(
            f"{folder}: no such folder to spill {need_bytes / 2**30:.2f} GiB of features to: "
            "set compute.spill_dir to a local folder"
        )
    if shutil.disk_usage(folder).free < need_bytes:
        raise disk_full(folder, need_bytes)


def _as_float32(features_BD: NDArray[np.floating] | Tensor) -> Float32:
    if isinstance(features_BD, Tensor):
        return features_BD.detach().to(device="cpu", dtype=torch.float32).numpy()
    return np.asarray(features_BD, np.float32)
