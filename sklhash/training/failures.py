"""What to say when the memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["is_out_of_memory", "out_of_memory_explained"]

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
        if not is_out_of_memory(error):
            raise
        on_device = isinstance(error, torch.OutOfMemoryError)
        kind = torch.OutOfMemoryError if on_device else MemoryError
        raise kind(
            f"Out of memory with batch_size={batch_size}. A smaller batch_size takes "
            "less, as does precision='bf16' on a GPU; features that are passed as a "
            "memory map stay out of the device's memory. The first line of the error "
            f"was: {str(error).partition(chr(10))[0]}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the memory does not suffice."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
        words in str(error) for words in OTHERS_SAY
    )
