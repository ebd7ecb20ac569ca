"""Names of tests that are the same in every process."""

import re


def plain(value):
    """Return the value as text, without addresses of functions and objects."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(value))
