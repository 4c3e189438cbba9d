"""A file of predictions as one side of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from smooth_recs.artifacts import prediction_columns
from smooth_recs.artifacts.exports import Artifact
from smooth_recs.comparison.settings import DEFAULT_COLUMNS, KEY, SLICE, Columns, Settings, check_predictions
from smooth_recs.errors import InputError
from smooth_recs.measures.held_out import BUILT_IN_SLICES

_RULES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "label": ("0 or 1", lambda values: (values == 0) | (values == 1)),
    "weight": ("finite and at or above 0", lambda values: (values >= 0) & np.isfinite(values)),
    "multiplier": ("finite and at or above 0", lambda values: (values >= 0) & np.isfinite(values)),
}
_INTEGER = r"^(?:0|-?[1-9]\d{0,17})$"


def read(artifact: Artifact, settings: Settings) -> Columns:
    """The columns that the settings name, by role: `prediction`, and those that the file has of `label`, `weight`,
    `query_id`, `multiplier`, `key/0` ... and `slice/NAME`.

    Rows are counted from 0.

    Raises:
      InputError: the file is damaged or has no rows, a chosen column is not in it or holds what it must not.
    """
    path, there = artifact.path, prediction_columns.names(artifact.path)
    roles = _roles(artifact, settings, there)
    found = prediction_columns.read(path, list(dict.fromkeys(roles.values())))
    if not len(found[roles["prediction"]]):
        raise InputError(f"{artifact.flag}: {path} has no rows")
    columns = {}
    for role, name in roles.items():
        what = f"{artifact.flag}: {name}{' of --multiplier' * (role == 'multiplier')}"
        if role in ("prediction", "label", "weight", "multiplier"):
            columns[role] = _numbers(what, role, found[name])
        elif role.startswith(SLICE):
            columns[role] = _values(found[name])
        else:
            columns[role] = _identifiers(what, found[name], fractions=role.startswith(KEY))
    check_predictions(artifact.flag, columns["prediction"], np.arange(len(columns["prediction"])))
    return columns


def _roles(artifact: Artifact, settings: Settings, there: Sequence[str]) -> dict[str, str]:
    """The column of each role; what was chosen by name must be there, but a multiplier or a slice may be elsewhere."""
    chosen = {role: name for role, name in settings.columns.items() if role != "multiplier"}
    chosen |= {f"{KEY}{number}": name for number, name in enumerate(settings.key)}
    chosen.setdefault("prediction", DEFAULT_COLUMNS["prediction"])
    for role, name in chosen.items():
        if name not in there:
            wanted = f"the column {name!r} of --{role.partition('/')[0]}"
            raise InputError(f"{artifact.flag}: {wanted} is not in {artifact.path}, which has {_listed(there)}")
        if there.count(name) > 1:
            raise InputError(f"{artifact.flag}: the column {name!r} is twice in {artifact.path}")
    optional = DEFAULT_COLUMNS | {"multiplier": settings.multiplier}
    sliced = [name for name in settings.evaluation.slices if name not in BUILT_IN_SLICES]
    optional |= {f"{SLICE}{name}": name for name in sliced}
    return {role: name for role, name in optional.items() if name in there} | chosen


def _numbers(what: str, role: str, column: Any) -> npt.NDArray[np.float64]:
    if pa.types.is_binary(column.type):
        column = _parsed(what, column)
    if column.null_count:
        raise InputError(f"{what} must have a value in each row, got none in row {_first(pc.is_null(column))}")
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    rule, holds = _RULES.get(role, ("", np.ones_like))
    wrong = ~holds(numbers).astype(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{what} must be {rule}, got {numbers[row]:g} in row {row}")
    return numbers


def _parsed(what: str, column: Any) -> Any:
    texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    try:
        return texts.cast(pa.float64())
    except pa.ArrowInvalid:
        row, text = next((row, text) for row, text in enumerate(texts.to_pylist()) if text and not _is_number(text))
        raise InputError(f"{what} must be a number, got {text!r} in row {row}") from None


def _is_number(text: str) -> bool:
    try:
        pa.array([text]).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def _identifiers(what: str, column: Any, *, fractions: bool) -> npt.NDArray[Any]:
    """int64 where all are integers, in whatever type or as texts; else float64 where `fractions` may stay, or texts."""
    absent = pc.is_null(column)
    if pa.types.is_floating(column.type):
        absent = pc.or_kleene(absent, pc.fill_null(pc.is_nan(column), True))
    elif pa.types.is_binary(column.type):
        absent = pc.or_kleene(absent, pc.equal(column, b""))
    if pc.any(absent).as_py():
        raise InputError(f"{what} must have a value in each row, got none in row {_first(absent)}")
    if pa.types.is_binary(column.type):
        return _integers_or_bytes(column)
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy(zero_copy_only=False)
        whole = (numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**63)
        if whole.all():
            return numbers.astype(np.int64)
        return numbers if fractions else np.array([repr(each) for each in numbers.tolist()], "S")
    return column.to_numpy(zero_copy_only=False)


def _values(column: Any) -> npt.NDArray[Any]:
    """int64 with -1 or float64 with NaN for absent ones where all that are there are numbers; else texts as bytes."""
    if pa.types.is_binary(column.type):
        column = pc.if_else(pc.equal(column, b""), None, column)
        there = column.drop_null()
        if not _are_integers(there) and not all(_is_float(text) for text in there.unique().to_pylist()):
            return _bytes(column.fill_null(b""))
        column = column.cast(pa.string()).cast(pa.int64() if _are_integers(there) else pa.float64())
    absent: float = -1 if pa.types.is_integer(column.type) else np.nan
    return column.fill_null(absent).to_numpy(zero_copy_only=False)


def _integers_or_bytes(column: Any) -> npt.NDArray[Any]:
    if _are_integers(column):
        return column.cast(pa.string()).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return _bytes(column)


def _are_integers(column: Any) -> bool:
    return pc.all(pc.match_substring_regex(column, _INTEGER)).as_py() is not False


def _is_float(text: bytes) -> bool:
    return text.isascii() and _is_number(text.decode())


def _bytes(column: Any) -> npt.NDArray[Any]:
    return np.array(column.to_pylist(), "S")


def _first(mask: Any) -> int:
    return int(pc.index(mask, True).as_py())


def _listed(there: Sequence[str]) -> str:
    return ", ".join(there) or "none"
