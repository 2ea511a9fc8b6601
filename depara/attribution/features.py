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

from depara.attribution.bus import Bus
from depara.attribution.device_features import (
    DeviceFeatures,
    FarFeatures,
    Ferry,
    ResidentFeatures,
)
from depara.attribution.device_gram import DeviceGramSum, bytes_per_column
from depara.attribution.gram import GramSum
from depara.attribution.spill import DiskStore, FeatureStore, MemoryStore, disk_full
from depara.errors import StoreError
from depara.grams import GraphGrams
from depara.ledger import device_part, part_bytes
from depara.models.foreign import is_out_of_memory
from depara.types import Float32, Float64, LayerInfo

_BLOCK_BYTES = 8 * 2**20
_MIN_WIDTH, _MAX_WIDTH = 1024, 8192
_BUFFER_BYTES = 128 * 2**20


class FeatureBank:
    """Collects the features of ``N`` probes at all layers and gives each layer's Gram matrix.

    Features stay where they are made. On a device with memory of its own, layers stay there,
    smallest first, while together they fit the device's part for features, and their Grams are
    computed there. What does not fit there, or without such a device all of it, stays in memory,
    smallest first, while it fits the part of ``memory_bytes`` that is for features
    (`depara.ledger`); the others go to nameless files in ``spill_dir``.

    Memory: on top come one block of columns of the part for blocks (at least one column), one
    batch's rows of one block while writing, and, while `gram` runs, ``12 N^2`` bytes for the matrix
    and its sums (twice that in `grams`). What crosses from a device and back takes the part for
    blocks for its two buffers (each holds at least one probe's features).

    Args:
        num_probes: ``N``.
        layers: names and numbers of features.
        memory_bytes: of the worker.
        spill_dir: local folder for what does not fit; None is the system's temporary folder.
        bus: to the device where features are made; None is the host itself.
        device_bytes: of a device with memory of its own, to be shared out; None is what is free.

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
        bus: Bus | None = None,
        device_bytes: int | None = None,
    ) -> None:
        assert num_probes > 0
        self.num_probes = num_probes
        self._bus = bus or Bus()
        self._written_N: dict[str, NDArray[np.bool_]] = {
            layer.name: np.zeros(num_probes, np.bool_) for layer in layers
        }
        self._num_features = {layer.name: layer.num_features for layer in layers}
        self._stores: dict[str, FeatureStore] = {}
        self._device: dict[str, DeviceFeatures] = {}
        self._ferry: Ferry | None = None
        block_bytes = part_bytes(memory_bytes, "blocks")
        self._width = _block_width(num_probes, block_bytes)
        rest = layers
        if self._bus.is_separate:
            if device_bytes is None:
                device_bytes = self._bus.free_bytes()
            self._device_width = _device_width(num_probes, device_part(device_bytes, "blocks"))
            self._width = min(_far_width(num_probes, block_bytes), max(self._device_width // 3, 1))
            rest = self._reside(layers, device_part(device_bytes, "features"))
        self._open(rest, part_bytes(memory_bytes, "features"), spill_dir)
        if self._bus.is_separate and rest:
            self._open_ferry(max(layer.num_features for layer in rest))

    def _reside(self, layers: Sequence[LayerInfo], device_bytes: int) -> list[LayerInfo]:
        """Takes device memory for what fits there; returns the layers for which there is none."""
        resident, rest = _split_by_memory(self.num_probes, layers, device_bytes)
        for layer in resident:
            try:
                self._device[layer.name] = ResidentFeatures(
                    self.num_probes, layer.num_features, self._bus
                )
            except RuntimeError as error:  # another program took what was free
                if not is_out_of_memory(error):
                    raise
                rest.append(layer)
        return rest

    def _open(
        self, layers: Sequence[LayerInfo], memory_bytes: int, spill_dir: str | Path | None
    ) -> None:
        """Opens stores of the host, in memory while they fit there, else on disk."""
        num_probes = self.num_probes
        folder = Path(tempfile.gettempdir() if spill_dir is None else spill_dir)
        kept, spilled = _split_by_memory(num_probes, layers, memory_bytes)
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

    def _open_ferry(self, most_features: int) -> None:
        """Puts the stores of the host behind a ferry."""
        self._ferry = Ferry(self._bus, max(self.num_probes * self._width, most_features))
        for name, store in self._stores.items():
            self._device[name] = FarFeatures(store, self._ferry)

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

    @property
    def resident_layers(self) -> tuple[str, ...]:
        """Names of the layers whose features stay on the device."""
        return tuple(n for n, one in self._device.items() if isinstance(one, ResidentFeatures))

    def write(self, layer: str, row0: int, features_BD: NDArray[np.floating] | Tensor) -> None:
        """Takes the features of the probes ``row0 .. row0 + B``, in any order of calls.

        The values are copied. Rows that are written again replace what was there.

        Raises:
            StoreError: the disk is full.
        """
        num_features = self._num_features[layer]
        assert features_BD.ndim == 2
        assert features_BD.shape[1] == num_features, (features_BD.shape, num_features)
        assert 0 <= row0 <= row0 + len(features_BD) <= self.num_probes
        if layer in self._device:
            assert isinstance(features_BD, Tensor), "features of a device are its tensors"
            self._device[layer].write(row0, features_BD.detach())
        else:
            self._stores[layer].write(row0, _as_float32(features_BD))
        self._written_N[layer][row0 : row0 + len(features_BD)] = True

    def gram(self, layer: str, normalize: str) -> Float64:
        """Returns the inner products of all probes' features at one layer, ``N N``, symmetric.

        ``none``: of the features as they are. ``center``: after subtracting each dimension's mean
        over the probes. ``zscore``: after dividing that by each dimension's standard deviation
        (``ddof=1``; Dwivedi et al., "Duality Diagram Similarity", ECCV 2020); a dimension that does
        not vary beyond rounding (see `gram.standardize`) contributes nothing.

        All rows must have been written.
        """
        (total,) = self._sums(layer, normalize)
        return total.result()

    def grams(self, layer: str) -> GraphGrams:
        """Returns the raw and the z-scored Gram matrix with the row sums, in one pass.

        Each matrix is that of `gram` with ``none`` and ``zscore``. All rows must have been written.

        Raises:
            NonFiniteError: a feature is NaN or infinite.
            ValueError: features so small that float32 has lost their digits.
        """
        raw, zscored = self._sums(layer, "none", "zscore")
        num_features = self._num_features[layer]
        raw_NN = raw.result()
        _check_digits(raw_NN, num_features)
        return GraphGrams(
            raw_NN, zscored.result(), raw.row_sums_N, zscored.row_sums_N, num_features
        )

    def close(self) -> None:
        """Gives memory and disk space back."""
        if self._ferry is not None:
            self._ferry.close()
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        self._device.clear()

    def _sums(self, layer: str, *kinds: str) -> list[GramSum] | list[DeviceGramSum]:
        """Returns the sums over all columns of a layer, one per normalisation, in one pass.

        The last one may change the values that it is given.
        """
        missing = int((~self._written_N[layer]).sum())
        assert not missing, f"layer {layer!r}: {missing} rows were never written"
        if layer in self._device:
            return self._device_sums(self._device[layer], kinds)
        sums = [GramSum(self.num_probes, kind) for kind in kinds]
        for block_NW in self._blocks(self._stores[layer]):
            for one in sums:
                one.add(block_NW)
        return sums

    def _device_sums(
        self, features: DeviceFeatures, kinds: Sequence[str], *, is_scaled: bool = False
    ) -> list[DeviceGramSum]:
        sums = [
            DeviceGramSum(self.num_probes, kind, self._bus, is_scaled=is_scaled) for kind in kinds
        ]
        is_far = isinstance(features, FarFeatures)
        for block_NW in features.blocks(self._width if is_far else self._device_width):
            for one in sums:
                one.add(block_NW)
        if all(one.is_sound() for one in sums):
            return sums
        return self._device_sums(features, kinds, is_scaled=True)

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


def _block_width(num_probes: int, block_bytes: int) -> int:
    """Columns of a block: about 8 MiB, wide enough for efficient products, within the limit."""
    wanted = min(max(_BLOCK_BYTES // (4 * num_probes), _MIN_WIDTH), _MAX_WIDTH)
    return max(min(wanted, block_bytes // (4 * num_probes)), 1)


def _far_width(num_probes: int, block_bytes: int) -> int:
    """Columns of a block that crosses a bus: two of them, so large that crossing is all they do."""
    return max(min(block_bytes // 2, _BUFFER_BYTES) // (4 * num_probes), 1)


def _device_width(num_probes: int, block_bytes: int) -> int:
    """Columns of a block on a device: as many as fit, so that one product does much work."""
    return max(block_bytes // bytes_per_column(num_probes), 1)


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
        return features_BD.detach().to(torch.float32).numpy()
    return np.asarray(features_BD, np.float32)
