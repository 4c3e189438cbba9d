"""What Python processes of this package hand to each other: their environment, and arrays without pickle."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import _files

Arrays = Mapping[str, npt.NDArray[Any]]

_ABOUT, _LENGTHS, _TEXTS = "about", "lengths", "texts"


def child_environment(**more: str) -> dict[str, str]:
    """Environment variables for a Python process that is to find the same modules as this one, and `more` of them."""
    # An empty entry of sys.path means the current folder, which may be another one in the new process.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path), **more}


# Arrays travel between processes as the content of a .npz file, without pickle, which would run what it is given. NumPy
# stores no texts of different lengths without it: theirs is one long text and a column of lengths.


def write_arrays(path: str, about: Any, groups: Sequence[Arrays]) -> None:
    """Writes groups of named arrays, and `about`: whatever JSON holds. Texts are bytes of any kind."""
    _files.write_bytes(path, pack_arrays(about, groups))


def read_arrays(path: str) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    """Reads what `write_arrays` was given."""
    return unpack_arrays(_files.read_bytes(path))


def pack_arrays(about: Any, groups: Sequence[Arrays]) -> bytes:
    """The content of the file that `write_arrays` writes."""
    # Arrays are stored by number: np.savez would take one that is called `file` for an argument of its own.
    stored = {_ABOUT: np.array(json.dumps([about, [list(group) for group in groups]]))}
    for g, group in enumerate(groups):
        for a, array in enumerate(group.values()):
            if array.dtype.kind in "OS":
                texts = array.ravel().tolist()
                lengths = np.array([len(text) for text in texts], np.int64).reshape(array.shape)
                stored[f"{g}/{a}/{_LENGTHS}"] = lengths
                stored[f"{g}/{a}/{_TEXTS}"] = np.frombuffer(b"".join(texts), np.uint8)
            else:
                stored[f"{g}/{a}/"] = array
    content = io.BytesIO()
    np.savez(content, **stored)  # type: ignore[arg-type]  # its stub takes the names for those of options
    return content.getvalue()


def unpack_arrays(content: bytes) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    """Takes apart what `pack_arrays` made."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        about, names = json.loads(str(stored[_ABOUT]))
        groups: list[dict[str, npt.NDArray[Any]]] = []
        for g, group in enumerate(names):
            groups.append({})
            for a, name in enumerate(group):
                prefix = f"{g}/{a}/"
                if prefix in stored:
                    groups[g][name] = stored[prefix]
                    continue
                lengths, joined = stored[prefix + _LENGTHS], stored[prefix + _TEXTS].tobytes()
                ends = np.cumsum(lengths.ravel())
                texts = np.empty(lengths.size, object)
                texts[:] = [joined[end - length : end] for end, length in zip(ends, lengths.ravel(), strict=True)]
                groups[g][name] = texts.reshape(lengths.shape)
        return about, groups
