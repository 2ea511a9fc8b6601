"""What the local cache of the Hugging Face hub says of a repository; the hub is not asked."""

from __future__ import annotations

import os
import re
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}")


def cached_commit(repository: str, revision: str | None = None) -> str:
    """Returns the commit (40 hexadecimal digits) that a hub name stands for in the local cache.

    An empty text when it is not cached: the name itself then stands for the model.

    Args:
        repository: such as ``google/vit-base-patch16-224``.
        revision: a branch, tag or commit; None is the main branch.
    """
    revision = revision or "main"
    if _COMMIT.fullmatch(revision):
        return revision
    folder = "models--" + repository.replace("/", "--")
    try:
        return (hub_cache() / folder / "refs" / revision).read_text().strip()
    except (OSError, ValueError):
        return ""


def hub_cache() -> Path:
    """Returns the folder of the cache, by the same environment variables as huggingface_hub."""
    environ = os.environ
    home = environ.get("HF_HOME") or Path(
        environ.get("XDG_CACHE_HOME") or Path("~", ".cache"), "huggingface"
    )
    place = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE") or Path(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(place)))
