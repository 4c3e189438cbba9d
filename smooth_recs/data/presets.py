"""The sources that `data.source` names: presets, which know their files, and formats, which take a schema.

`open_source` gives a run its examples; `open_rows` gives all good rows of some files as the log holds them, neither
split nor encoded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from smooth_recs import _files, config
from smooth_recs.data import files, public_logs, splits
from smooth_recs.data.file_sources import Origin, open_files, part_of, read_as
from smooth_recs.data.files import expand
from smooth_recs.data.held_rows import MOST_HELD_ROWS, HeldSource
from smooth_recs.data.public_logs import AsRead, whole
from smooth_recs.data.raw_rows import Reader, column_position
from smooth_recs.data.readers.csv import CsvReader, header_names
from smooth_recs.data.readers.tfrecord import TFRecordReader, column_kinds
from smooth_recs.data.sources import Source
from smooth_recs.data.survey import FORMAT, Survey, kept_survey
from smooth_recs.errors import InputError
from smooth_recs.schema import PredictionSchema, Schema


def open_source(data: config.Data, cache_dir: str) -> Source:
    """The source of examples that `data` describes; what takes long to find out or to make is kept in `cache_dir`.

    Raises:
      InputError: `data.source` is unknown, a setting is wrong, or the files are not what they should be.

    ```python
    from smooth_recs import config
    from smooth_recs.data.presets import open_source

    source = open_source(config.Data(source="synthetic", examples=1000, eval_examples=100), cache_dir="cache")
    rows = next(iter(source.train(start_row=990)))
    assert rows["label"].shape == (10,)
    ```
    """
    if data.source == "synthetic":
        from smooth_recs.data.synthetic import SyntheticSource

        source = SyntheticSource(data)
        # The cells of a sweep find a folder that they share; a single run has none, and makes rows as it needs them.
        if _files.isdir(cache_dir) and source.train_rows <= MOST_HELD_ROWS:
            return HeldSource(source, os.path.join(cache_dir, f"{source.fingerprint}-"))
        return source
    return open_files(data, origin(data), cache_dir)


def origin(data: config.Data, as_read: AsRead = whole) -> Origin:
    """The files that `data` describes; InputError where `data.source` reads none.

    Args:
      data: names the files.
      as_read: of a preset, see `public_logs`.
    """
    if data.source in PRESETS:
        return PRESETS[data.source].origin(data, as_read)
    if data.source not in FORMATS:
        names = ", ".join((*PRESETS, *FORMATS))
        raise InputError(f"data.source must be one of synthetic, {names}, got {data.source!r}")
    read = reader_of(data)

    def files_of(path: str, field: str) -> tuple[str, ...]:
        return files.with_content(expand(path, field), field)

    return Origin.of(data, read, files_of(data.path, "data.path"), expand=files_of)


def reader_of(data: config.Data) -> Callable[[Sequence[str]], Reader]:
    """The function that opens files of the format and schema that `data` describes.

    Raises:
      InputError: `data` has no schema, or one that breaks a rule.
    """
    if data.schema is None:
        raise InputError(f"data.schema must be given for data.source {data.source!r}, got None")
    data.schema.validate()
    schema = data.schema.select(data.features, data.labels)
    return lambda files: FORMATS[data.source](data, files, schema)


def _parquet(data: config.Data, files: Sequence[str], schema: Schema) -> Reader:
    from smooth_recs.data.readers.parquet import ParquetReader  # loads pyarrow

    return ParquetReader(files, schema, missing=data.missing)


@dataclasses.dataclass(frozen=True)
class Row:
    """A preset: a public log whose format and schema are known.

    Attributes:
      name: its name in `data.source`.
      origin: the files, and how they are read; see `public_logs`.
      about: whose log it is, and where to get it; each has terms of its own.
    """

    name: str
    origin: Callable[[config.Data, AsRead], Origin]
    about: str


PRESETS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            "criteo",
            public_logs.criteo,
            "Criteo's display advertising challenge or 1TB click logs, https://ailab.criteo.com/ressources/",
        ),
        Row("movielens", public_logs.movielens, "MovieLens 100K, https://grouplens.org/datasets/movielens/100k/"),
        Row("open_bandit", public_logs.open_bandit, "Open Bandit Dataset of ZOZO, https://research.zozo.com/data.html"),
        Row("kuairand", public_logs.kuairand, "KuaiRand-Pure, https://kuairand.com/"),
        Row(
            "trivago",
            public_logs.trivago,
            "trivago's RecSys Challenge 2019, https://recsys.acm.org/recsys19/challenge/",
        ),
    )
}
FORMATS: dict[str, Callable[[config.Data, Sequence[str], Schema], Reader]] = {
    "csv": lambda data, files, schema: CsvReader(
        files,
        schema,
        delimiter=data.delimiter,
        header=data.header,
        column_names=data.column_names,
        missing=data.missing,
    ),
    "tfrecord": lambda data, files, schema: TFRecordReader(files, schema, missing=data.missing),
    "parquet": _parquet,
}


def _parquet_names(_: config.Data, paths: Sequence[str]) -> Sequence[str]:
    from smooth_recs.data.readers.parquet import column_names  # loads pyarrow

    return column_names(paths)


COLUMN_NAMES: dict[str, Callable[[config.Data, Sequence[str]], Sequence[str]]] = {
    "csv": lambda data, paths: header_names(paths, data.delimiter) if data.header else data.column_names,
    "tfrecord": lambda _, paths: sorted(column_kinds(paths)),
    "parquet": _parquet_names,
}
_PARQUET = b"PAR1"  # the first bytes of such a file
_ENDINGS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".tfrecord": "tfrecord", ".tfrecords": "tfrecord"}


def tells_its_format(path: str) -> bool:
    """Whether the name of a file, or its first bytes, say which format it has."""
    with _files.reading(path) as file:
        return file.read(4) == _PARQUET or _ending(path) in (*_ENDINGS, ".parquet")


def _ending(path: str) -> str:
    return os.path.splitext(path.removesuffix(".gz"))[1].lower()


def as_they_are(data: config.Data, paths: Sequence[str]) -> config.Data:
    """`data` with the format of the files, by their first bytes or names; where neither tells, it stays what it is.

    Raises:
      InputError: the files are of different formats.
    """
    formats: dict[str, Any] = {}
    for path in paths:
        with _files.reading(path) as file:
            parquet = file.read(4) == _PARQUET
        ending = _ending(path)
        formats[path] = "parquet" if parquet or ending == ".parquet" else _ENDINGS.get(ending, data.source)
    first = paths[0]
    for path, found in formats.items():
        if found != formats[first]:
            raise InputError(
                f"data.path must name files of one format, got {formats[first]} in {first} and {found} in {path}"
            )
    tabs = {path.removesuffix(".gz").lower().endswith(".tsv") for path in paths} == {True}
    if data.source != formats[first]:  # the settings of text files are not meant for these
        data = dataclasses.replace(data, source=formats[first], delimiter=",", header=True, column_names=())
    return dataclasses.replace(data, delimiter="\t") if tabs and data.delimiter == "," else data


class AllRows(NamedTuple):
    """All rows of some files that can be predicted.

    Attributes:
      schema: their columns.
      survey: how many rows there are, and which are malformed.
      types: Arrow types of the columns that are copied, where the format has types and all files agree.
      chunks: a dataset of chunks of raw rows (see `raw_rows`).
    """

    schema: Schema
    survey: Survey
    types: Mapping[str, Any]
    chunks: Any


def copying(data: config.Data, columns: Sequence[str]) -> config.Data:
    """`data` whose rows also have the texts of those columns as the files hold them.

    Raises:
      InputError: `data` does not read files, or they are not what they should be.
    """
    schema = origin(data).training.schema
    return dataclasses.replace(data, schema=PredictionSchema(**vars(schema), copied=tuple(columns), needs_label=True))


def open_rows(data: config.Data, path: str, cache_dir: str, columns: Sequence[str] = ()) -> AllRows:
    """The rows of the files under `path`, which may be of any format, and need no label, weight, query_id or timestamp.

    Presets read them in their own layout.

    Args:
      data: of a source that reads files, how it reads them; its own files are not looked at.
      path: a file, a folder or a glob, several separated by commas.
      cache_dir: keeps what the first pass over the files finds.
      columns: those whose texts are wanted as the files hold them, `copied` in a chunk.

    Raises:
      InputError: the files are not what the schema says, or hold no row.
    """

    def as_read(schema: Schema, names: Sequence[str]) -> Schema:
        """The schema with the label, weight, query_id and timestamp that are among the columns."""

        def there(column: str | None) -> str:
            with contextlib.suppress(InputError):
                column_position(names, column or "", "")
                return column or ""
            return ""

        # Without the first label, which all measures are about, the others are of no use.
        known = schema.with_labels([name for name in schema.labels if there(name) and there(schema.labels[0])])
        return PredictionSchema(
            schema.features,
            label=known.label,
            label_threshold=known.label_threshold,
            weight=there(schema.weight),
            query_id=there(schema.query_id),
            copied=tuple(columns),
        )

    data = dataclasses.replace(data, path=path, eval_path="", validation_path="")
    if data.source in PRESETS:
        reader = origin(data, as_read).training
    else:
        paths = expand(path)
        data = as_they_are(data, paths)
        if data.schema is None:
            raise InputError(f"data.schema must be given for data.source {data.source!r}, got None")
        schema = as_read(data.schema.select((), data.labels), COLUMN_NAMES[data.source](data, paths))
        data = dataclasses.replace(data, schema=schema, labels=())
        reader = reader_of(data)(paths)
    name = files.fingerprint(reader.files, "all rows", *read_as(data, reader.schema))
    survey = kept_survey(os.path.join(cache_dir, f"{name}-{FORMAT}-survey-all.npz"), reader, data.max_malformed)
    everything, _ = splits.tail(survey.good, 1.0, 0, 0)
    return AllRows(reader.schema, survey, getattr(reader, "copied_types", {}), part_of(reader, survey, everything))
