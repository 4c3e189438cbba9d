"""Files of predictions, a row for each: CSV, TFRecord or Parquet, read and written.

`read` finds the columns that are wanted, such as for one side of a comparison, and checks what they hold;
`column_names` and `read_columns` know the three formats, whose columns become Arrow arrays in the types of the file;
`writer` writes what `read` reads. Texts mean what they mean in training (`data.values`).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import _files, extras
from smooth_recs.artifacts import keys
from smooth_recs.artifacts.exports import Artifact, Columns, check_predictions
from smooth_recs.data.files import check_complete, compression
from smooth_recs.data.raw_rows import GOOD, chunks, describe, shortened, without_places
from smooth_recs.data.readers import csv, parquet, tfrecord
from smooth_recs.data.values import to_float, to_int64, to_string
from smooth_recs.errors import InputError
from smooth_recs.measures.held_out import BUILT_IN_SLICES
from smooth_recs.schema import PredictionSchema

with extras.needed("parquet"):
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

DEFAULT_COLUMNS = {"prediction": "prediction", "label": "label", "weight": "weight", "query_id": "query_id"}
KEY, SLICE = "key/", "slice/"

_RULES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "label": ("0 or 1", lambda values: (values == 0) | (values == 1)),
    "weight": ("finite and at or above 0", lambda values: (values >= 0) & np.isfinite(values)),
    "multiplier": ("finite and at or above 0", lambda values: (values >= 0) & np.isfinite(values)),
}
_TFRECORD = (".tfrecord", ".tfrecord.gz")
_OPTIONAL = ("label", "weight", "query_id")
_BATCH = 8192


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
    columns, keyed = {}, sum(role.startswith(KEY) for role in roles)
    for role, name in roles.items():
        unknown = keys.absent(found[name])
        if role in _OPTIONAL and role not in wanted.columns and unknown.all():
            continue  # as in a file of predictions for rows without labels
        what = f"{artifact.flag}: {name}{f' of {wanted.multiplier_flag}' if role == 'multiplier' else ''}"
        if role in ("prediction", "label", "weight", "multiplier"):
            columns[role] = _numbers(what, role, found[name])
        elif role.startswith(SLICE):
            columns[role] = _slice_values(found[name])
        else:
            if role.startswith(KEY) and keyed == 1:
                _check_complete(what, unknown)
            ids = keys.identifiers(what, found[name], unknown)
            # Fractions and times name a request as texts.
            columns[role] = ids if role.startswith(KEY) or ids.dtype.kind in "iS" else ids.astype("S")
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
    unknown = ~column.is_valid().to_numpy(zero_copy_only=False) if role == "prediction" else keys.absent(column)
    kind = parquet.kind_of(column.type)
    if kind == parquet.TEXT:
        texts = column.fill_null(b"").to_pylist()
        found, bad = (values.numpy() for values in to_float(tf.constant(texts, tf.string), None, tf.float64))
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"{what} must be a number, got {shortened(texts[row])} in row {row}")
        unknown = np.isnan(found)
    else:
        column = parquet.natural(column) if kind == parquet.TIME else column.cast(pa.float64(), safe=False)
        found = column.to_numpy(zero_copy_only=False)
    _check_complete(what, unknown)
    rule, holds = _RULES.get(role, ("", np.ones_like))
    wrong = ~holds(found).astype(bool)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{what} must be {rule}, got {found[row]:g} in row {row}")
    return found


def _slice_values(column: Any) -> npt.NDArray[Any]:
    """int64 with -1 or float64 with NaN for absent ones where all that are there are numbers; else texts as bytes."""
    if parquet.kind_of(column.type) != parquet.TEXT:
        dtype = pa.int64() if parquet.kind_of(column.type) == parquet.INTEGER else pa.float64()
        numbers = parquet.natural(column) if parquet.kind_of(column.type) == parquet.TIME else column.cast(dtype)
        return numbers.fill_null(-1 if dtype == pa.int64() else np.nan).to_numpy(zero_copy_only=False)
    texts = tf.constant(column.fill_null(b"").to_pylist(), tf.string)
    for convert, dtype in ((to_int64, tf.int64), (to_float, tf.float64)):
        found, bad = convert(texts, None) if dtype == tf.int64 else convert(texts, None, dtype)
        if not bad.numpy().any():
            return found.numpy()
    return np.array(to_string(texts, None)[0].numpy().tolist(), "S")


def _check_complete(what: str, unknown: npt.NDArray[np.bool_]) -> None:
    if unknown.any():
        raise InputError(f"{what} must have a value in each row, got none in row {int(np.argmax(unknown))}")


# The three formats: names of columns, and columns as Arrow arrays.


def column_names(path: str) -> list[str]:
    """The columns of the file; of a TFRecord file, those of its first 1,000 records.

    Raises:
      InputError: the file is empty, damaged or not what its name says.
    """
    with _readable(path):
        if path.endswith(_TFRECORD):
            names = list(tfrecord.column_kinds([path]))
            if not names:
                raise InputError(f"{path} cannot be read: its first records are no tf.Examples with a column")
            return names
        if path.endswith(".parquet"):
            return list(parquet.schema_of(path).names)
        names = list(csv.header_names([path], ","))
        if any("\0" in name for name in names):
            raise InputError(f"{path} cannot be read: it is no text")
        return names


def read_columns(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    """The wanted columns, each of which `column_names` has: texts as they stand, nulls for absent values.

    Raises:
      InputError: the file is damaged, or a column holds neither numbers nor texts nor times.
    """
    with _readable(path):
        check_complete(path)
        if path.endswith(_TFRECORD):
            return _of_records(path, wanted)
        if path.endswith(".parquet"):
            return _of_parquet(path, wanted)
        schema = PredictionSchema((), label="", copied=tuple(wanted))
        parts: dict[str, list[Any]] = {name: [pa.array([], pa.binary())] for name in wanted}
        for chunk in chunks(csv.CsvReader([path], schema, line_breaks=True).read()):
            if (chunk["problem"] != GOOD).any():
                row = int(np.argmax(chunk["problem"] != GOOD))
                what = describe(schema, int(chunk["problem"][row]), chunk["value"][row])
                raise InputError(f"{path} cannot be read: line {chunk['line'][row]} has a {what}")
            for name in wanted:
                parts[name].append(pa.array(chunk["copied"][name].tolist(), pa.binary()))
        return {name: pa.concat_arrays(part) for name, part in parts.items()}


def _of_records(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    types = tfrecord.column_kinds([path])
    # Ragged: a FixedLenFeature would refuse a record without the value in TensorFlow's words, without its number.
    spec = {name: tf.io.RaggedFeature(types[name]) for name in wanted}
    arrow = {tf.string: pa.binary(), tf.float32: pa.float32(), tf.int64: pa.int64()}
    parts: dict[str, list[Any]] = {name: [pa.array([], arrow[types[name]])] for name in wanted}
    records = tf.data.TFRecordDataset(path, compression(path)).batch(_BATCH)
    for number, batch in enumerate(records.map(lambda each: tf.io.parse_example(each, spec))):
        for name, ragged in batch.items():
            lengths = ragged.row_lengths().numpy()
            if (lengths > 1).any():
                row = int(np.argmax(lengths > 1))
                raise InputError(
                    f"{path}: {name} must be one value a row, got {lengths[row]} in row {number * _BATCH + row}"
                )
            values = ragged.to_tensor(shape=[None, 1])[:, 0].numpy()
            parts[name].append(pa.array(values, arrow[types[name]], mask=lengths == 0))
    return {name: pa.concat_arrays(part) for name, part in parts.items()}


def _of_parquet(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    table, columns = pa.parquet.read_table(_files.source(path), columns=list(wanted)), {}
    for name in wanted:
        column = table.column(name)
        try:
            if parquet.is_list(column.type):
                raise InputError("lists")
            kind = parquet.kind_of(column.type)
        except InputError:
            what = f"{path}: the column {name!r} must hold single numbers, texts or times"
            raise InputError(f"{what}, got {column.type}") from None
        array = column.combine_chunks()
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        columns[name] = array.cast(pa.binary()) if kind in (parquet.TEXT, parquet.NULL) else array
    return columns


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    """Makes what a library says of a damaged file, and what a reader says of `data.path`, a line about the file."""
    try:
        yield
    except InputError as error:
        if not str(error).startswith("data.path: "):
            raise
        raise InputError(f"{path} cannot be read: {str(error).removeprefix('data.path: ')}") from error
    except (pa.ArrowException, OSError, tf.errors.OpError) as error:
        said = without_places(error) if isinstance(error, tf.errors.OpError) else " ".join(str(error).split())
        raise InputError(f"{path} cannot be read: {said[:200]}") from error


def typed(texts: npt.NDArray[Any], dtype: Any) -> Any:
    """An Arrow array of texts that `parquet.exact_texts` made of values of that type; an empty one is none."""
    values = [text.decode() or None for text in texts.tolist()]
    return pa.array(values, pa.string()).cast(dtype.value_type if pa.types.is_dictionary(dtype) else dtype)


@contextlib.contextmanager
def writer(path: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that takes the columns of one batch after the other; at the end the file is there, after an error not.

    A column is a NumPy array, whose NaN are no values, or an Arrow array. Numbers are stored as int64 or float64, in
    TFRecords as float. Texts are bytes in TFRecords; elsewhere bytes that are not UTF-8 become escapes such as \\xff.

    Args:
      path: ends in one of `exports.PREDICTION_FILES`.
    """

    def feature(value: Any) -> tf.train.Feature:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    def arrow(values: Any) -> Any:
        if isinstance(values, pa.Array):
            return values
        if values.dtype == object:
            return pa.array([text.decode("utf-8", "backslashreplace") for text in values.tolist()], pa.string())
        # float32 as float64: CSV would have the shortest text of the float32, which is another number when read back.
        return pa.array(values.astype(np.int64 if values.dtype.kind == "i" else np.float64), from_pandas=True)

    def record(values: Any) -> list[Any]:
        if isinstance(values, pa.Array):
            exact = values if pa.types.is_int64(values.type) else parquet.exact_texts(values)
            return [None if value is None else feature(value) for value in exact.to_pylist()]
        return [None if value != value else feature(value) for value in values.tolist()]

    with _files.whole_file(path) as beside, contextlib.ExitStack() as stack:
        if path.endswith(_TFRECORD):
            options = "GZIP" if path.endswith(".gz") else ""
            records = stack.enter_context(tf.io.TFRecordWriter(beside, options))

            def write_records(columns: Mapping[str, Any]) -> None:
                features = [record(values) for values in columns.values()]
                for row in zip(*features, strict=True):
                    named = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
                    records.write(tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString())

            yield write_records
            return
        tables: list[Any] = []  # Arrow's writer, made with the first batch: it wants to know the columns first

        def write_table(columns: Mapping[str, Any]) -> None:
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
