"""The base of modes that see every operation of torch."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode of torch that does not load torch's compiler.

    Torch keeps its compiler out of a mode's own code, and loads it for that: about a second
    of a core and 120 MB in each process, though nothing is compiled where our modes are.
    """

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch is to keep its compiler out."""
        return False
