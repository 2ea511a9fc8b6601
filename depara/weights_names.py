"""Names of weights files: which suffixes they have, and what is left of a name without them."""

from __future__ import annotations

from pathlib import PurePosixPath

WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".bin", ".ckpt")
_ARCHIVE_SUFFIX = ".tar"
"""``model_best.pth.tar`` is a habit of torch's own examples; the file is a plain checkpoint."""
INDEX_SUFFIX = ".index.json"
"""Of the file beside a sharded checkpoint that says which shard holds which tensor."""


def has_weights_suffix(name: str) -> bool:
    """Whether a path or URI ends as weights files do, in upper or lower case."""
    return _without_archive(name).lower().endswith(WEIGHTS_SUFFIXES)


def weights_stem(name: str) -> str:
    """Returns the file's name without its suffix: ``model_best`` of ``ck/model_best.pth.tar``.

    A dot that begins no suffix of weights, as in ``epoch=3-loss=0.25``, is part of the stem.
    """
    base = PurePosixPath(name).name
    if not has_weights_suffix(base):
        return base
    return PurePosixPath(_without_archive(base)).stem


def _without_archive(name: str) -> str:
    if not name.lower().endswith(_ARCHIVE_SUFFIX):
        return name
    bare = name[: -len(_ARCHIVE_SUFFIX)]
    return bare if bare.lower().endswith(WEIGHTS_SUFFIXES) else name
