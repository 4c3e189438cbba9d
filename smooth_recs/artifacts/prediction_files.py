"""Files of predictions, a row for each: CSV, TFRecord or Parquet, read and written.

`read` finds the columns that are wanted, such as for one side of a comparison, and checks what they hold;
`column_names` and `read_columns` know the three formats, whose columns become Arrow arrays of bytes, int64 or float64;
`writer` writes what `read` reads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import tensorflow as tf

from smooth_recs._files import whole_file
from smooth_recs.artifacts.exports import Artifact, Columns, check_predictions
from smooth_recs.data.files import compression
from smooth_recs.data.raw_rows import without_places
from smooth_recs.data.readers import parquet
from smooth_recs.errors import InputError
from smooth_recs.measures.held_out import BUILT_IN_SLICES

DEFAULT_COLUMNS = {"prediction": "prediction", "label": "label", "weight": "weight", "query_id": "query_id"}
KEY, SLICE = "key/", "slice/"

_RULES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "label": ("0 or 1", lambda values: (values == 0) | (values == 1)),
    "weight": ("finite and at or above 0", lambda values: (values >= 0) & np.isfinite(values)),
    "multiplier": ("finite and at or above 0", lambda values: (values >= 0) & np.isfinite(values)),
}
# Texts that an int64 would be written as: "007" stays a text, and so do all of 19 digits, some of which are too large.
_INTEGER = r"^(?:0|-?[1-9]\d{0,17})$"
_BATCH, _FIRST_RECORDS = 8192, 1000
_TENSOR_TYPES = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The columns of a file that are asked for.

    Attributes:
      columns: names that were chosen for `prediction`, `label`, `weight`, `query_id`: they must be there; by default
        the columns of these names are taken, all but `prediction` where the file has them.
      key: columns that together tell rows apart, which must be there.
      multiplier: by which predictions are multiplied; empty: none. Like the slices, it may be elsewhere.
      slices: columns by which PD is told apart.
      multiplier_flag: what error messages call the flag or field that names the multiplier.
    """

    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    key: tuple[str, ...] = ()
    multiplier: str = ""
    slices: tuple[str, ...] = ()
    multiplier_flag: str = "--multiplier"


def read(artifact: Artifact, wanted: Wanted) -> Columns:
    """The columns of a file, by role.

    Args:
      artifact: the file.
      wanted: names the columns.

    Returns:
      `prediction`, and what there is of `label`, `weight`, `query_id`, `multiplier`, `key/0` ... and `slice/NAME`. Rows
      are counted from 0.

    Raises:
      InputError: the file is damaged or has no rows, a chosen column is not in it or holds what it must not.
    """
    path, there = artifact.path, column_names(artifact.path)
    roles = _roles(artifact, wanted, there)
    found = read_columns(path, list(dict.fromkeys(roles.values())))
    if not len(found[roles["prediction"]]):
        raise InputError(f"{artifact.flag}: {path} has no rows")
    columns = {}
    for role, name in roles.items():
        what = f"{artifact.flag}: {name}{f' of {wanted.multiplier_flag}' if role == 'multiplier' else ''}"
        if role in ("prediction", "label", "weight", "multiplier"):
            columns[role] = _numbers(what, role, found[name])
        elif role.startswith(SLICE):
            columns[role] = _slice_values(found[name])
        else:
            columns[role] = _identifiers(what, found[name], fractions=role.startswith(KEY))
    check_predictions(artifact.flag, columns["prediction"], np.arange(len(columns["prediction"])))
    return columns


def _roles(artifact: Artifact, wanted: Wanted, there: Sequence[str]) -> dict[str, str]:
    """The column of each role; what was chosen by name must be there, but a multiplier or a slice may be elsewhere."""
    chosen = {role: name for role, name in wanted.columns.items() if role != "multiplier"}
    chosen |= {f"{KEY}{number}": name for number, name in enumerate(wanted.key)}
    chosen.setdefault("prediction", DEFAULT_COLUMNS["prediction"])
    for role, name in chosen.items():
        if name not in there:
            column = f"the column {name!r} of --{role.partition('/')[0]}"
            listed = ", ".join(there) or "none"
            raise InputError(f"{artifact.flag}: {column} is not in {artifact.path}, which has {listed}")
        if there.count(name) > 1:
            raise InputError(f"{artifact.flag}: the column {name!r} is twice in {artifact.path}")
    optional = DEFAULT_COLUMNS | {"multiplier": wanted.multiplier}
    sliced = [name for name in wanted.slices if name not in BUILT_IN_SLICES]
    optional |= {f"{SLICE}{name}": name for name in sliced}
    return {role: name for role, name in optional.items() if name in there} | chosen


def _numbers(what: str, role: str, column: Any) -> npt.NDArray[np.float64]:
    """A column of numbers, or of texts of them, each of which the rule of its role allows."""

    def is_number(text: str) -> bool:
        try:
            pa.array([text]).cast(pa.float64())
        except pa.ArrowInvalid:
            return False
        return True

    if pa.types.is_binary(column.type):
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        texts = pc.if_else(pc.equal(texts, ""), None, texts)
        try:
            column = texts.cast(pa.float64())
        except pa.ArrowInvalid:  # says which text, but not in which row (pyarrow 26)
            row, text = next((row, text) for row, text in enumerate(texts.to_pylist()) if text and not is_number(text))
            raise InputError(f"{what} must be a number, got {text!r} in row {row}") from None
    _check_complete(what, pc.is_null(column))
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    rule, holds = _RULES.get(role, ("", np.ones_like))
    wrong = ~holds(numbers).astype(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{what} must be {rule}, got {numbers[row]:g} in row {row}")
    return numbers


def _identifiers(what: str, column: Any, *, fractions: bool) -> npt.NDArray[Any]:
    """int64 where all are integers, in whatever type or as texts; else float64 where `fractions` may stay, or texts."""
    absent = pc.is_null(column)
    if pa.types.is_floating(column.type):
        absent = pc.or_kleene(absent, pc.fill_null(pc.is_nan(column), True))
    elif pa.types.is_binary(column.type):
        absent = pc.or_kleene(absent, pc.equal(column, b""))
    _check_complete(what, absent)
    if pa.types.is_binary(column.type):
        if _are_integers(column):
            return column.cast(pa.string()).cast(pa.int64()).to_numpy(zero_copy_only=False)
        return np.array(column.to_pylist(), "S")
    numbers = column.to_numpy(zero_copy_only=False)
    if not pa.types.is_floating(column.type):
        return numbers
    # Tools that have no integers with nulls, as pandas, write ids as floats.
    if ((numbers == np.floor(numbers)) & (np.abs(numbers) < 2.0**63)).all():
        return numbers.astype(np.int64)
    return numbers if fractions else np.array([repr(each) for each in numbers.tolist()], "S")


def _slice_values(column: Any) -> npt.NDArray[Any]:
    """int64 with -1 or float64 with NaN for absent ones where all that are there are numbers; else texts as bytes."""
    if pa.types.is_binary(column.type):
        column = pc.if_else(pc.equal(column, b""), None, column)
        kind = pa.int64() if _are_integers(column.drop_null()) else pa.float64()
        try:
            column = column.cast(pa.string()).cast(kind)
        except pa.ArrowInvalid:  # one is no number, or no UTF-8
            return np.array(column.fill_null(b"").to_pylist(), "S")
    absent: float = -1 if pa.types.is_integer(column.type) else np.nan
    return column.fill_null(absent).to_numpy(zero_copy_only=False)


def _are_integers(texts: Any) -> bool:
    return pc.all(pc.match_substring_regex(texts, _INTEGER)).as_py() is not False  # None of no text at all


def _check_complete(what: str, absent: Any) -> None:
    if pc.any(absent).as_py():
        raise InputError(f"{what} must have a value in each row, got none in row {pc.index(absent, True).as_py()}")


# The three formats: names of columns, and columns as Arrow arrays.


def column_names(path: str) -> list[str]:
    """The columns of the file; of a TFRecord file, those of its first 1,000 records.

    Raises:
      InputError: the file is empty, damaged or not what its name says.
    """
    if ".tfrecord" in path:
        return list(_record_types(path))
    try:
        if path.endswith(".parquet"):
            return list(pa.parquet.read_schema(path).names)
        with pa.csv.open_csv(path) as stream:
            return list(stream.schema.names)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def read_columns(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    """The wanted columns, each of which `column_names` has: texts as they stand, nulls for absent values.

    Raises:
      InputError: the file is damaged, or a column holds neither numbers nor texts nor times.
    """
    columns = {}
    if ".tfrecord" in path:
        types = _record_types(path)
        # Ragged: a FixedLenFeature would refuse a record without the value in TensorFlow's words, without its number.
        spec = {name: tf.io.RaggedFeature(types[name]) for name in wanted}
        parts: dict[str, list[Any]] = {name: [] for name in wanted}
        records = tf.data.TFRecordDataset(path, compression(path)).batch(_BATCH)
        try:
            for number, batch in enumerate(records.map(lambda each: tf.io.parse_example(each, spec))):
                for name, ragged in batch.items():
                    lengths = ragged.row_lengths().numpy()
                    if (lengths > 1).any():
                        row = int(np.argmax(lengths > 1))
                        place = f"got {lengths[row]} in row {number * _BATCH + row}"
                        raise InputError(f"{path}: {name} must be one value a row, {place}")
                    values = ragged.to_tensor(shape=[None, 1])[:, 0].numpy()
                    parts[name].append(parquet.natural(pa.array(values, mask=lengths == 0)))
        except tf.errors.OpError as error:
            raise _damaged(path, error) from error
        return {name: pa.concat_arrays(part) if part else pa.array([], pa.float64()) for name, part in parts.items()}
    try:
        if path.endswith(".parquet"):
            table = pa.parquet.read_table(path, columns=list(wanted))
        else:
            # As texts: pyarrow would guess types, and make 7 of the key "007". A text may have line breaks in quotes,
            # at which pyarrow otherwise cuts a large file into blocks.
            texts = pa.csv.ConvertOptions(include_columns=list(wanted), column_types=dict.fromkeys(wanted, pa.string()))
            quoted = pa.csv.ParseOptions(newlines_in_values=True)
            table = pa.csv.read_csv(path, parse_options=quoted, convert_options=texts)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    for name in wanted:
        column = table.column(name)
        try:
            if parquet.is_list(column.type):
                raise InputError("lists")
            parquet.kind_of(column.type)
        except InputError:
            what = f"{path}: the column {name!r} must hold single numbers, texts or times"
            raise InputError(f"{what}, got {column.type}") from None
        columns[name] = parquet.natural(column.combine_chunks())
    return columns


def _record_types(path: str) -> dict[str, Any]:
    """The type of each column of a TFRecord file, as the first record that has it holds it."""
    types: dict[str, Any] = {}
    try:
        records = tf.data.TFRecordDataset(path, compression(path)).as_numpy_iterator()
        for record in itertools.islice(records, _FIRST_RECORDS):
            for name, feature in tf.train.Example.FromString(record).features.feature.items():
                if feature.WhichOneof("kind"):
                    types.setdefault(name, _TENSOR_TYPES[feature.WhichOneof("kind")])
    except Exception as error:  # of TensorFlow, or protobuf's DecodeError
        raise _damaged(path, error) from error
    return types


def _damaged(path: str, error: Exception) -> InputError:
    said = without_places(error) if isinstance(error, tf.errors.OpError) else " ".join(str(error).split())
    return InputError(f"{path} cannot be read: {said[:200]}")


@contextlib.contextmanager
def writer(path: str) -> Iterator[Callable[[Columns], None]]:
    """A function that takes the columns of one batch after the other; at the end the file is there, after an error not.

    Numbers are stored as int64 or float64, in TFRecords as float. Texts are bytes in TFRecords; elsewhere bytes that
    are not UTF-8 become escapes such as \\xff.

    Args:
      path: ends in one of `exports.PREDICTION_FILES`.
    """

    def feature(value: Any) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    def arrow(values: npt.NDArray[Any]) -> Any:
        if values.dtype == object:
            return pa.array([text.decode("utf-8", "backslashreplace") for text in values.tolist()], pa.string())
        # float32 as float64: CSV would have the shortest text of the float32, which is another number when read back.
        return values.astype(np.int64 if values.dtype.kind == "i" else np.float64)

    with whole_file(path) as beside, contextlib.ExitStack() as stack:
        if path.endswith((".tfrecord", ".tfrecord.gz")):
            options = "GZIP" if path.endswith(".gz") else ""
            records = stack.enter_context(tf.io.TFRecordWriter(beside, options))

            def write_records(columns: Columns) -> None:
                features = [[feature(value) for value in values.tolist()] for values in columns.values()]
                for row in zip(*features, strict=True):
                    named = dict(zip(columns, row, strict=True))
                    records.write(tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString())

            yield write_records
            return
        tables: list[Any] = []  # Arrow's writer, made with the first batch: it wants to know the columns first

        def write_table(columns: Columns) -> None:
            table = pa.table({name: arrow(values) for name, values in columns.items()})
            if not tables and path.endswith(".parquet"):
                tables.append(stack.enter_context(pa.parquet.ParquetWriter(beside, table.schema)))
            elif not tables:
                # The stack closes the writer before the stream, which must still take the writer's last block.
                zipped = "gzip" if path.endswith(".gz") else None
                stream = stack.enter_context(pa.output_stream(beside, compression=zipped))
                tables.append(stack.enter_context(pa.csv.CSVWriter(stream, table.schema)))
            tables[0].write_table(table)

        yield write_table
