"""What a layer returns, read one way: its tensor, its channels, its positions.

Shapes: ``B`` batch, ``C`` channels, ``H W`` positions of a square image, ``T`` tokens, ``D``
features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from torch import Tensor

from depara.errors import LayerError

_PREFERRED_KEYS = ("last_hidden_state", "logits")


def find_tensor(output: object) -> Tensor | None:
    """Returns the tensor that stands for a layer's return value, or None when there is none.

    A tensor stands for itself; a tuple or list for its first tensor, depth first; a mapping (such
    as a ``transformers`` ModelOutput) for ``last_hidden_state``, else ``logits``, else its first
    floating-point tensor.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        return _tensor_of_mapping(output)
    if isinstance(output, tuple | list):
        found = (find_tensor(item) for item in output)
        return next((tensor for tensor in found if tensor is not None), None)
    return None


def _tensor_of_mapping(output: Mapping[object, object]) -> Tensor | None:
    for key in _PREFERRED_KEYS:
        value = output.get(key)
        if isinstance(value, Tensor):
            return value
    found = [find_tensor(value) for value in output.values()]
    tensors = [tensor for tensor in found if tensor is not None]
    floating = (tensor for tensor in tensors if tensor.is_floating_point())
    return next(floating, tensors[0] if tensors else None)


def layer_tensor(output: object) -> Tensor:
    """Returns the tensor that stands for a layer's return value; see `find_tensor`.

    Raises:
        LayerError: there is no tensor in it.
    """
    tensor = find_tensor(output)
    if tensor is None:
        raise LayerError(f"a layer returned no tensor but {type(output).__name__}")
    return tensor


def channel_dim(shape: Sequence[int]) -> int:
    """Returns which dimension of a layer's tensor, batch first, holds the channels.

    The last one of ``B D`` and ``B T C``. Of four dimensions the second, ``B C H W``, unless only
    the reading ``B H W C`` makes a square: inputs are square, so a network's image-shaped tensors
    are too. Where both readings make a square, and above four dimensions, it is the second.
    """
    if len(shape) == 4:
        _, first, second, third = shape
        return 3 if first == second != third else 1
    return 1 if len(shape) > 4 else len(shape) - 1


def pool_features(tensor: Tensor) -> Tensor:
    """Returns the mean over positions per channel, ``B D``: global average pooling.

    ``B C H W`` and ``B H W C`` give ``B C``; ``B T C`` gives ``B C`` (all tokens, a class token
    included); ``B D`` stays; ``B`` becomes ``B 1``. See `channel_dim`.
    """
    if tensor.ndim == 1:
        return tensor[:, None]
    kept = channel_dim(tensor.shape)
    positions = [dim for dim in range(1, tensor.ndim) if dim != kept]
    return tensor.mean(dim=positions) if positions else tensor


def resolution(shape: Sequence[int]) -> tuple[int, ...]:
    """Returns the sizes of a layer tensor's positions: ``(H, W)``, ``(T,)``, or ``()`` for ``B D``.

    Args:
        shape: of the tensor, batch first.
    """
    kept = channel_dim(shape)
    return tuple(size for dim, size in enumerate(shape) if dim not in (0, kept))


def num_features(shape: Sequence[int], features: str) -> int:
    """Returns how many features per probe a layer of this shape gives.

    Args:
        shape: of the tensor, batch first.
        features: ``flatten`` for every value, ``gap`` for one per channel (`pool_features`).
    """
    if features == "gap":
        return shape[channel_dim(shape)] if len(shape) > 1 else 1
    return prod(shape[1:])
