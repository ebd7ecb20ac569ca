"""What to say when the memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["out_of_memory_explained"]

OTHERS_SAY = (
    "can't allocate memory",
    "not enough memory",
    "MPS backend out of memory",
)


@contextmanager
def out_of_memory_explained(batch_size: int) -> Iterator[None]:
    """Say which batch size was tried, and what to do.

    Raises
    ------
    torch.OutOfMemoryError, MemoryError
        If the memory of a GPU or of the CPU does not suffice in the block.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        on_device = isinstance(error, torch.OutOfMemoryError)
        if not (on_device or isinstance(error, MemoryError) or _is_of_another(error)):
            raise
        kind = torch.OutOfMemoryError if on_device else MemoryError
        raise kind(
            f"Out of memory with batch_size={batch_size}. A smaller batch_size takes "
            "less, as does precision='bf16' on a GPU; features that are passed as a "
            "memory map stay out of the device's memory. The first line of the error "
            f"was: {str(error).partition(chr(10))[0]}"
        ) from error


def _is_of_another(error: BaseException) -> bool:
    return any(words in str(error) for words in OTHERS_SAY)
