"""MovieLens 100K: the tab separated files with `name:type` headers, or GroupLens' original `u.data`.

Both layouts give the same columns: user_id, item_id, rating, timestamp; from the users' file age, gender, occupation,
zip_code, zip_region (its first character); from the items' file movie_title, release_year, genres.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence

import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.files import expand, in_folder
from smooth_recs.data.first_pass import Origin
from smooth_recs.data.readers.csv import CsvReader, SideTable, read_fields
from smooth_recs.schema import Categorical, Numeric, Schema

_COLUMNS = ("user_id", "item_id", "rating", "timestamp")
_GENRES = (
    b"unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    b"Mystery Romance Sci-Fi Thriller War Western"
).split()
_USER_FEATURES = (
    Numeric("age"),
    Categorical("gender", "vocabulary"),
    Categorical("occupation", "vocabulary"),
    Categorical("zip_region", "vocabulary"),
)
_ITEM_FEATURES = (
    Numeric("release_year"),
    Categorical("genres", "vocabulary", max_values=6, separator=" "),
)
SCHEMA = Schema(
    (
        Categorical("user_id", "vocabulary", dtype="int64"),
        Categorical("item_id", "vocabulary", dtype="int64"),
        *_USER_FEATURES,
        *_ITEM_FEATURES,
    ),
    label="rating",
    label_threshold=4.0,
    query_id="user_id",
    timestamp="timestamp",
)
"""A rating of 4 or 5 stars is a positive; a request is a user. Features without their file are left out."""


def origin(data: config.Data) -> Origin:
    """`data.path` is the folder, or the file of ratings; the other two files are looked for beside it."""
    ratings = expand(in_folder(data.path, "*.inter", "u.data"))
    users, items = _beside(ratings[0], "*.user"), _beside(ratings[0], "*.item")
    tables = [_users(users)] if users else []
    tables += [_items(items)] if items else []
    schema = (data.schema or _with_features_of(tables)).select(data.features)

    def reader(names: Sequence[str]) -> CsvReader:
        header = ".inter" in os.path.basename(names[0])
        return CsvReader(names, schema, delimiter="\t", header=header, column_names=_COLUMNS, side_tables=tables)

    evaluation = reader(expand(data.eval_path, "data.eval_path")) if data.eval_path else None
    return Origin(reader(ratings), evaluation, tuple(filter(None, (users, items))))


def _with_features_of(tables: Sequence[SideTable]) -> Schema:
    known = {"user_id", "item_id"}.union(*(table.names for table in tables))
    return dataclasses.replace(SCHEMA, features=tuple(f for f in SCHEMA.features if f.name in known))


def _beside(file: str, pattern: str) -> str:
    """The first file of that pattern in the file's folder, or nothing."""
    return next(iter(sorted(tf.io.gfile.glob(f"{os.path.dirname(file) or '.'}/{pattern}"))), "")


def _users(file: str) -> SideTable:
    original = os.path.basename(file) == "u.user"
    rows = read_fields(file, b"|" if original else b"\t", 5, header=not original)
    key, age, gender, occupation, zip_code = zip(*rows, strict=True)
    columns = {"age": age, "gender": gender, "occupation": occupation, "zip_code": zip_code}
    return SideTable("user_id", key, columns | {"zip_region": [code[:1] for code in zip_code]})


def _items(file: str) -> SideTable:
    if os.path.basename(file) == "u.item":
        rows = read_fields(file, b"|", 5 + len(_GENRES), header=False)
        genres = [b" ".join(name for name, flag in zip(_GENRES, row[5:], strict=True) if flag == b"1") for row in rows]
    else:
        rows = read_fields(file, b"\t", 4, header=True)
        genres = [row[3] for row in rows]
    years = [year[0] if (year := re.findall(rb"\d{4}$", row[2])) else b"" for row in rows]
    columns = {"movie_title": [row[1] for row in rows], "release_year": years, "genres": genres}
    return SideTable("item_id", [row[0] for row in rows], columns)
