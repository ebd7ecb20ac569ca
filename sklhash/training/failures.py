"""What to say when the memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["out_of_memory_explained"]

OF_THE_CPU = ("can't allocate memory", "not enough memory")


@contextmanager
def out_of_memory_explained(device: Any, batch_size: int) -> Iterator[None]:
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
        if not (on_device or isinstance(error, MemoryError) or _is_of_the_cpu(error)):
            raise
        kind = torch.OutOfMemoryError if on_device else MemoryError
        raise kind(
            f"Out of memory on {device} with batch_size={batch_size}. A smaller "
            f"batch_size takes less, as does precision='bf16' on a GPU; features that "
            "are passed as a memory map stay out of the device's memory. The first "
            f"line of the error was: {str(error).partition(chr(10))[0]}"
        ) from error


def _is_of_the_cpu(error: BaseException) -> bool:
    return any(words in str(error) for words in OF_THE_CPU)
