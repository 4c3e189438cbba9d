"""Arrays between processes: a .npz file, or its content, without pickle; texts are bytes of any kind."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]

_ABOUT, _LENGTHS, _TEXTS = "about", "lengths", "texts"


def packed(about: Any, groups: Sequence[Arrays]) -> bytes:
    """The content of a file with groups of named arrays, and `about`: whatever JSON holds."""
    stored = {_ABOUT: np.array(json.dumps([about, [list(group) for group in groups]]))}
    for g, group in enumerate(groups):
        for a, array in enumerate(group.values()):
            stored |= {f"{g}/{a}/{part}": values for part, values in _parts(array).items()}
    content = io.BytesIO()
    np.savez(content, **stored)  # type: ignore[arg-type]  # its stub takes the names for those of options
    return content.getvalue()


def unpacked(content: bytes) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    """What `packed` was given."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        about, names = json.loads(str(stored[_ABOUT]))
        return about, [
            {name: _whole(stored, f"{g}/{a}/") for a, name in enumerate(group)} for g, group in enumerate(names)
        ]


def write(path: str, about: Any, groups: Sequence[Arrays]) -> None:
    """Writes such a file."""
    pathlib.Path(path).write_bytes(packed(about, groups))


def read(path: str) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    """What `write` was given."""
    return unpacked(pathlib.Path(path).read_bytes())


def _parts(array: npt.NDArray[Any]) -> Arrays:
    if array.dtype.kind not in "OS":
        return {"": array}
    texts = array.ravel().tolist()
    lengths = np.array([len(text) for text in texts], np.int64).reshape(array.shape)
    return {_LENGTHS: lengths, _TEXTS: np.frombuffer(b"".join(texts), np.uint8)}


def _whole(stored: Any, prefix: str) -> npt.NDArray[Any]:
    if prefix in stored:
        return stored[prefix]
    lengths, joined = stored[prefix + _LENGTHS], stored[prefix + _TEXTS].tobytes()
    ends = np.cumsum(lengths.ravel())
    texts = np.empty(lengths.size, object)
    texts[:] = [joined[end - length : end] for end, length in zip(ends, lengths.ravel(), strict=True)]
    return texts.reshape(lengths.shape)
