"""The sources that `data.source` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smooth_recs import config
from smooth_recs.data import criteo, movielens, open_bandit
from smooth_recs.data.csv import CsvReader
from smooth_recs.data.files import expand
from smooth_recs.data.opening import Origin, open_origin
from smooth_recs.data.readers import Reader
from smooth_recs.data.schema import Schema
from smooth_recs.data.source import Source
from smooth_recs.data.tfrecord import TFRecordReader
from smooth_recs.errors import InputError


def open_source(data: config.Data, cache_dir: str) -> Source:
    """The source of examples that `data` describes; what a first pass over files finds is kept in `cache_dir`.

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

        return SyntheticSource(data)
    if data.source not in _ORIGINS:
        raise InputError(f"data.source must be one of synthetic, {', '.join(_ORIGINS)}, got {data.source!r}")
    return open_origin(data, _ORIGINS[data.source](data), cache_dir)


def _csv(data: config.Data) -> Origin:
    def reader(files: Sequence[str], schema: Schema) -> Reader:
        return CsvReader(files, schema, delimiter=data.delimiter, header=data.header, column_names=data.column_names)

    return _with_schema(data, reader)


def _tfrecord(data: config.Data) -> Origin:
    return _with_schema(data, TFRecordReader)


def _parquet(data: config.Data) -> Origin:
    from smooth_recs.data.parquet import ParquetReader  # loads pyarrow

    return _with_schema(data, ParquetReader)


def _with_schema(data: config.Data, reader: Callable[[Sequence[str], Schema], Reader]) -> Origin:
    if data.schema is None:
        raise InputError(f"data.schema must be given for data.source {data.source!r}, got None")
    data.schema.validate()
    schema = data.schema.select(data.features)
    training = reader(expand(data.path), schema)
    return Origin(training, reader(expand(data.eval_path, "data.eval_path"), schema) if data.eval_path else None)


_ORIGINS: dict[str, Callable[[config.Data], Origin]] = {
    "criteo": criteo.origin,
    "movielens": movielens.origin,
    "open_bandit": open_bandit.origin,
    "csv": _csv,
    "tfrecord": _tfrecord,
    "parquet": _parquet,
}
