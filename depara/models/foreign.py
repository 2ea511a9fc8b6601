"""The boundary to code of others: whatever it raises becomes one of our errors, on one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from depara.errors import DeparaError, ModelError, OutOfMemoryError

_MAX_CHARACTERS = 400


def one_line(error: BaseException) -> str:
    """Returns type and text of an exception on one line of at most about 400 characters."""
    text = " ".join(str(error).split())
    if len(text) > _MAX_CHARACTERS:
        text = text[: _MAX_CHARACTERS - 3] + "..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that host or device memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def ended_program(error: SystemExit) -> str:
    """Returns what is wrong with code that calls ``sys.exit``, or has argparse do so."""
    code = " ".join(str(error).split())
    return (
        f"its code ended the program (SystemExit{f': {code}' if code else ''}), as a script does "
        "that needs arguments or calls sys.exit: what runs when the module is imported belongs "
        'under `if __name__ == "__main__":`'
    )


@contextmanager
def foreign_code(what: str, error_type: type[ModelError] = ModelError) -> Iterator[None]:
    """Runs code of a model, a builder or a storage, and blames it for what it raises.

    Args:
        what: start of the message, such as ``torchvision:resnet18 cannot be built``.
        error_type: the error to raise.

    Raises:
        OutOfMemoryError: memory ran out.
        ModelError: anything else, as ``error_type``; errors of this package pass unchanged, and so
            does a person's Ctrl-C.
    """
    try:
        yield
    except (DeparaError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise error_type(f"{what}: {ended_program(error)}") from error
    except BaseException as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(f"{what}: out of memory: {one_line(error)}") from error
        raise error_type(f"{what}: {one_line(error)}") from error
