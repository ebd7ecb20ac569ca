"""Models in files that can be handed to a stranger: no code in them, none run."""

from sklhash.persistence.files import load, save

__all__ = ["load", "save"]
