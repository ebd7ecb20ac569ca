"""Packed codes and their ids in a folder, here or in object storage."""

from sklhash.stores.store import CodeStore

__all__ = ["CodeStore"]
