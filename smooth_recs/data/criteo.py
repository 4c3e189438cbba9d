"""Criteo's display advertising log: label, 13 integers, 26 hashed categories, tab separated, no header."""

from __future__ import annotations

from collections.abc import Sequence

from smooth_recs import config
from smooth_recs.data.files import expand, in_folder
from smooth_recs.data.first_pass import Origin
from smooth_recs.data.readers.csv import CsvReader
from smooth_recs.schema import Categorical, Numeric, Schema

_LARGEST_TABLE = 100_000
# Distinct values of C1 to C26 in the Kaggle training file.
_DISTINCT_VALUES = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
    27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
_INTEGERS = tuple(f"I{number}" for number in range(1, 14))
_CATEGORIES = tuple(f"C{number}" for number in range(1, 27))


def _buckets(distinct_values: int) -> int:
    """Eight buckets a value keep collisions rare where the table is small anyway."""
    return min(8 * distinct_values, _LARGEST_TABLE)


SCHEMA = Schema(
    tuple(Numeric(name, transform="log_standardize", missing="indicator") for name in _INTEGERS)
    + tuple(
        Categorical(name, "hash", size=_buckets(values))
        for name, values in zip(_CATEGORIES, _DISTINCT_VALUES, strict=True)
    )
)


def origin(data: config.Data) -> Origin:
    """`data.path` is a file, a glob, or a folder: of it `train*` or `day_*` where there are such files, else all."""

    schema = (data.schema or SCHEMA).select(data.features)
    columns = ("label", *_INTEGERS, *_CATEGORIES)

    def reader(names: Sequence[str]) -> CsvReader:
        return CsvReader(names, schema, delimiter="\t", header=False, column_names=columns)

    evaluation = reader(expand(data.eval_path, "data.eval_path")) if data.eval_path else None
    return Origin(reader(expand(in_folder(data.path, "train*", "day_*", "*"))), evaluation)
