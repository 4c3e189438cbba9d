"""Public logs whose files and columns are known: Criteo, MovieLens 100K, Open Bandit, KuaiRand and trivago's sessions.

Each has a schema, and a function of its name that finds the files under `data.path`. `presets` lists them. The function
takes another one, `as_read`, which says from the schema and the columns that the files have which schema is read.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence

from smooth_recs import _files, _paths, config
from smooth_recs.data.file_sources import Origin
from smooth_recs.data.files import expand, in_folder
from smooth_recs.data.readers.csv import CsvReader, SideTable, first_fields, header_names, read_fields
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

AsRead = Callable[[Schema, Sequence[str]], Schema]


def whole(schema: Schema, names: Sequence[str]) -> Schema:
    """The schema with all of its columns, as training needs it: one that is not among `names` is refused later on."""
    return schema


# Criteo: label, 13 integers, 26 hashed categories, tab separated, no header.

_LARGEST_TABLE = 100_000
_BUCKETS_PER_VALUE = 8  # collisions are rare, where the table is small anyway
# Distinct values of C1 to C26 in the Kaggle training file.
_DISTINCT_VALUES = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194,
    27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
_INTEGERS = tuple(f"I{number}" for number in range(1, 14))
_CATEGORIES = tuple(f"C{number}" for number in range(1, 27))
CRITEO = Schema(
    tuple(Numeric(name, transform="log_standardize", missing="indicator") for name in _INTEGERS)
    + tuple(
        Categorical(name, "hash", size=min(_BUCKETS_PER_VALUE * values, _LARGEST_TABLE))
        for name, values in zip(_CATEGORIES, _DISTINCT_VALUES, strict=True)
    )
)


def criteo(data: config.Data, as_read: AsRead = whole) -> Origin:
    """Criteo's files: `data.path` is a file, a glob, or a folder: of it `train*` are read, else `day_*`, else all.

    Lines of 39 fields have no label, as those of the challenge's `test.txt`.
    """
    files = expand(in_folder(data.path, "train*", "day_*", "*"))
    columns: tuple[str, ...] = ("label", *_INTEGERS, *_CATEGORIES)
    if len(first_fields(files[0], "\t")) == len(columns) - 1:
        columns = columns[1:]
    schema = as_read((data.schema or CRITEO).select(data.features, data.labels), columns)

    def reader(names: Sequence[str]) -> CsvReader:
        return CsvReader(names, schema, delimiter="\t", header=False, column_names=columns, missing=data.missing)

    return Origin.of(data, reader, files)


# MovieLens 100K: tab separated files with `name:type` headers, or GroupLens' original `u.data`, `u.user` and `u.item`.
# Both layouts give the same columns: user_id, item_id, rating, timestamp; from the users' file age, gender, occupation,
# zip_code, zip_region (its first character); from the items' file movie_title, release_year, genres.

_RATING_COLUMNS = ("user_id", "item_id", "rating", "timestamp")
_GENRES = (
    b"unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
    b"Mystery Romance Sci-Fi Thriller War Western"
).split()
MOVIELENS = Schema(
    (
        Categorical("user_id", "vocabulary", dtype="int64"),
        Categorical("item_id", "vocabulary", dtype="int64"),
        Numeric("age"),
        Categorical("gender", "vocabulary"),
        Categorical("occupation", "vocabulary"),
        Categorical("zip_region", "vocabulary"),
        Numeric("release_year"),
        Categorical("genres", "vocabulary", max_values=6, separator=" "),
    ),
    label="rating",
    label_threshold=4.0,
    query_id="user_id",
    timestamp="timestamp",
)
"""A rating of 4 or 5 stars is a positive; a request is a user. Features without their file are left out."""


def movielens(data: config.Data, as_read: AsRead = whole) -> Origin:
    """MovieLens' files: `data.path` is their folder, or the file of ratings; the other two are looked for beside it.

    Raises:
      InputError: a file without a header has no four columns, so that nothing says which ones it has.
    """
    ratings = expand(in_folder(data.path, "*.inter", "u.data"))
    header = ".inter" in os.path.basename(ratings[0])
    names = header_names(ratings[:1], "\t") if header else _RATING_COLUMNS
    if not header and (count := len(first_fields(ratings[0], "\t"))) != len(names):
        raise InputError(
            f"data.path: a file without a header must have {', '.join(names)} in each line, of which rating and "
            f"timestamp may be empty where rows are only predicted, got {count} fields in {ratings[0]}:1"
        )
    folder = _paths.parent(ratings[0])
    tables, side_files = [], []
    for pattern, table in (("*.user", _movielens_users), ("*.item", _movielens_items)):
        if found := _files.glob(os.path.join(folder, pattern)):
            tables.append(table(found[0]))
            side_files.append(found[0])
    known = {"user_id", "item_id"}.union(*(table.names for table in tables))
    default = dataclasses.replace(MOVIELENS, features=tuple(f for f in MOVIELENS.features if f.name in known))
    schema = as_read((data.schema or default).select(data.features, data.labels), names)

    def reader(names: Sequence[str]) -> CsvReader:
        return CsvReader(
            names,
            schema,
            delimiter="\t",
            header=".inter" in os.path.basename(names[0]),
            column_names=_RATING_COLUMNS,
            side_tables=tables,
            missing=data.missing,
        )

    return Origin.of(data, reader, ratings, side_files)


def _movielens_users(file: str) -> SideTable:
    original = os.path.basename(file) == "u.user"
    rows = read_fields(file, b"|" if original else b"\t", 5, header=not original)
    key, age, gender, occupation, zip_code = zip(*rows, strict=True)
    columns = {"age": age, "gender": gender, "occupation": occupation, "zip_code": zip_code}
    return SideTable("user_id", key, columns | {"zip_region": [code[:1] for code in zip_code]})


def _movielens_items(file: str) -> SideTable:
    if os.path.basename(file) == "u.item":
        rows = read_fields(file, b"|", 5 + len(_GENRES), header=False)
        genres = [b" ".join(name for name, flag in zip(_GENRES, row[5:], strict=True) if flag == b"1") for row in rows]
    else:
        rows = read_fields(file, b"\t", 4, header=True)
        genres = [row[3] for row in rows]
    # A year, or a release date such as 24-Jan-1996; a few films have neither.
    years = [year[0] if (year := re.findall(rb"\d{4}$", row[2])) else b"" for row in rows]
    columns = {"movie_title": [row[1] for row in rows], "release_year": years, "genres": genres}
    return SideTable("item_id", [row[0] for row in rows], columns)


# Open Bandit: impressions of a fashion shop, one a row, joined with the features of the items.

_ITEM_FILE = "item_context.csv"
_ITEM_COLUMNS = ("item_feature_0", "item_feature_1", "item_feature_2", "item_feature_3")
_AFFINITY = "user-item_affinity_"


def open_bandit(data: config.Data, as_read: AsRead = whole) -> Origin:
    """Open Bandit's files: `data.path` is the folder of a campaign, or its log; `item_context.csv` is beside the log.

    The features are the item, its position, four hashed user features, the user's affinity to each item, for which the
    log has a column each, and, where there is `item_context.csv`, the items' features. The label is the click.
    """

    def logs(path: str, field: str) -> tuple[str, ...]:
        found = tuple(file for file in expand(path, field) if os.path.basename(file) != _ITEM_FILE)
        if not found:
            raise InputError(f"{field} must name a log beside {_ITEM_FILE}, got {path}")
        return found

    log = logs(data.path, "data.path")
    item_file = os.path.join(_paths.parent(log[0]), _ITEM_FILE)
    tables = []
    if _files.exists(item_file):
        rows = read_fields(item_file, b",", 6, header=True)  # a row number, item_id, four features
        columns = {name: [row[position] for row in rows] for position, name in enumerate(_ITEM_COLUMNS, start=2)}
        tables.append(SideTable("item_id", [row[1] for row in rows], columns))

    features: list[Numeric | Categorical] = [
        Categorical("item_id", "vocabulary", dtype="int64"),
        Categorical("position", "identity", size=4, dtype="int64"),
    ]
    features += [Categorical(f"user_feature_{number}", "vocabulary") for number in range(4)]
    if tables:
        features += [Numeric(_ITEM_COLUMNS[0]), *(Categorical(name, "vocabulary") for name in _ITEM_COLUMNS[1:])]
    names = header_names(log, ",")
    affinities = sum(name.startswith(_AFFINITY) for name in names)
    features += [Numeric(f"user_item_affinity_{number}", transform="log") for number in range(affinities)]
    default = Schema(tuple(features), label="click", timestamp="timestamp")
    schema = as_read((data.schema or default).select(data.features, data.labels), names)

    def reader(names: Sequence[str]) -> CsvReader:
        return CsvReader(names, schema, side_tables=tables, missing=data.missing)

    return Origin.of(data, reader, log, [item_file] if tables else (), logs)


# KuaiRand: exposures of short videos, one a row, with the features of the user and the video: joined beforehand, or in
# the authors' own files, `user_features_*.csv` and `video_features_basic_*.csv` beside `log_standard_*.csv`.

_USER_FEATURES = (
    "user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range", "fans_user_num_range",
    "friend_user_num_range", "register_days_range", *(f"onehot_feat{number}" for number in range(18)),
)  # fmt: skip
_VIDEO_FEATURES = ("author_id", "video_type", "upload_dt", "upload_type", "music_id", "music_type")
KUAIRAND = Schema(
    (
        *(Categorical(name, "vocabulary") for name in ("user_id", "video_id", "tab", "hourmin")),
        Numeric("duration_ms", transform="log_standardize"),
        *(Categorical(name, "vocabulary") for name in _VIDEO_FEATURES),
        Categorical("tag", "vocabulary", max_values=4, separator=","),
        *(Categorical(name, "vocabulary") for name in _USER_FEATURES),
    ),
    label="is_click",
    query_id="session_id",
    timestamp="time_ms",
)
"""The label is the click. What the user did then (`play_time_ms`, the other `is_*` of the log) is no feature."""


def kuairand(data: config.Data, as_read: AsRead = whole) -> Origin:
    """KuaiRand's files: `data.path` is their folder, or a log: of a folder `log_standard*` are read, else `log*`.

    Features of users and videos that the log lacks are joined from the files beside it, or left out where there are
    none. A request is a session, where the log has a column `session_id`, otherwise all rows of a user.
    """
    log = expand(in_folder(data.path, "log_standard*.csv*", "log*.csv*"))
    names = header_names(log, ",")
    known, sessions = set(names), "session_id" in names
    folder = _paths.parent(log[0])
    tables, side_files = [], []
    for key, pattern in (("user_id", "user_features*.csv*"), ("video_id", "video_features_basic*.csv*")):
        if found := _files.glob(os.path.join(folder, pattern)):
            fields = header_names(found[:1], ",")
            if key not in fields:
                raise InputError(f"data.path: the column {key!r} is not in {found[0]}, which has {', '.join(fields)}")
            columns = dict(
                zip(fields, zip(*read_fields(found[0], b",", len(fields), header=True), strict=True), strict=True)
            )
            tables.append(SideTable(key, columns.pop(key), {n: v for n, v in columns.items() if n not in known}))
            side_files.append(found[0])
    known.update(*(table.names for table in tables))
    features = tuple(feature for feature in KUAIRAND.features if feature.name in known)
    default = dataclasses.replace(KUAIRAND, features=features, query_id="session_id" if sessions else "user_id")
    schema = as_read((data.schema or default).select(data.features, data.labels), names)

    def reader(names: Sequence[str]) -> CsvReader:
        return CsvReader(names, schema, side_tables=tables, missing=data.missing)

    return Origin.of(data, reader, log, side_files)


# trivago's sessions (RecSys Challenge 2019) as impressions: the hotels that a user saw before a click, one a row.

_LARGEST_LIST = 25
TRIVAGO = Schema(
    (
        *(Categorical(name, "vocabulary") for name in ("item_id", "platform", "city", "device")),
        *(Categorical(name, "identity", size=_LARGEST_LIST + 1, dtype="int64") for name in ("position", "price_rank")),
        Numeric("n_shown"),
        Numeric("price", transform="log_standardize"),
        *(Categorical(name, "vocabulary") for name in ("first_filter", "prev_action")),
        Numeric("n_filters"),
        Numeric("step", transform="log_standardize"),
        Numeric("clicks_so_far", transform="log_standardize"),
        Numeric("item_seen_in_session", transform="log_standardize"),
        Categorical("item_is_last_seen", "identity", size=2, dtype="int64"),
    ),
    query_id="request_id",
    timestamp="timestamp",
)
"""The label is the click; a request is the list in which it happened."""


def trivago(data: config.Data, as_read: AsRead = whole) -> Origin:
    """trivago's impressions: `data.path` is a file of them, or its folder, of which `impressions*` are read.

    The challenge's own log of actions is made into impressions by `trivago_sessions.write_impressions`.
    """
    files = expand(in_folder(data.path, "impressions*.csv*"))
    if "action_type" in header_names(files[:1], ","):
        raise InputError(
            f"data.path must name impressions, got a log of actions, {files[0]}: "
            "smooth_recs.data.trivago_sessions.write_impressions makes impressions of it"
        )
    schema = as_read((data.schema or TRIVAGO).select(data.features, data.labels), header_names(files, ","))

    def reader(names: Sequence[str]) -> CsvReader:
        return CsvReader(names, schema, missing=data.missing)

    return Origin.of(data, reader, files)
