"""Saved files, changed by somebody who knows the format and writes right checksums."""

import json
import struct
import zipfile
from io import BytesIO
from pathlib import Path
from zlib import crc32

import numpy as np

from sklhash.persistence.arrays import in_file_order

DESCRIPTION, ARRAYS = "model.json", "arrays.safetensors"
DTYPES = {"BOOL": "?", "U8": "u1", "F16": "<f2"} | {
    f"{letter.upper()}{8 * size}": f"<{letter}{size}"
    for letter, sizes in (("u", (2, 4, 8)), ("i", (1, 2, 4, 8)), ("f", (4, 8)))
    for size in sizes
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class Forgery:
    """The parts of a saved file, to be changed and written again.

    Parameters
    ----------
    path : path-like
        A file of `sklhash.save`.

    Attributes
    ----------
    description : dict
        The JSON.

    arrays : dict of str to ndarray
        The arrays.
    """

    def __init__(self, path):
        with zipfile.ZipFile(path) as archive:
            self.description = json.loads(archive.read(DESCRIPTION))
            data = archive.read(ARRAYS)
        stop = 8 + int.from_bytes(data[:8], "little")
        self.arrays = {
            name: np.frombuffer(
                data[stop:][slice(*entry["data_offsets"])], DTYPES[entry["dtype"]]
            ).reshape(entry["shape"])
            for name, entry in json.loads(data[8:stop]).items()
        }

    @property
    def model(self):
        """The description of the estimator."""
        return self.description["model"]["estimator"]

    def write(self, path, *, text=None, header=None, values=None, **options):
        """Write the parts, or others in their place, into a file.

        Parameters
        ----------
        path : path-like
            The file.

        text : bytes, default=None
            What the JSON of the description is; None writes the attribute.

        header : dict or bytes, default=None
            What the header of the arrays is; None is a right one.

        values : bytes, default=None
            What is behind the header; None are the arrays.

        **options : dict
            Of :func:`zipped`.
        """
        arrays = in_file_order(self.arrays)
        text = json.dumps(self.description).encode() if text is None else text
        header = header_of(arrays) if header is None else header
        if values is None:
            values = b"".join(array.tobytes() for array in arrays.values())
        Path(path).write_bytes(zipped(text, framed(header) + values, **options))


def header_of(arrays):
    """Return what the header says of arrays that lie in this order."""
    header, end = {}, 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    return header


def framed(header):
    """Return a header as it stands in the file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text


def zipped(text, data, *, compression=zipfile.ZIP_STORED, before=(), behind=()):
    """Return a file with a right checksum.

    Parameters
    ----------
    text, data : bytes
        The two parts.

    compression : int
        What the zip does with them.

    before, behind : sequence of (str, bytes)
        Further parts.
    """
    file = BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.comment = b"sklhash crc32 00000000"
        for name, contents in (*before, (DESCRIPTION, text)):
            archive.writestr(name, contents)
        info = zipfile.ZipInfo(ARRAYS)
        info.compress_type = compression
        padding = -(file.tell() + 30 + len(ARRAYS) + 4) % 64
        info.extra = struct.pack("<2H", 0xD935, padding) + bytes(padding)
        archive.writestr(info, data)
        for name, contents in behind:
            archive.writestr(name, contents)
    return sealed(file.getvalue())


def sealed(data):
    """Return the bytes of a file with the checksum that they should have."""
    return data[:-8] + b"%08x" % crc32(data[:-8])
