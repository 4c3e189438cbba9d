"""The survey of files before training: how many rows they hold, which are malformed, and where each chunk starts."""

from __future__ import annotations

import dataclasses
import itertools
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import _files
from smooth_recs._locks import made_once
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.files import check_complete, progress
from smooth_recs.data.raw_rows import GOOD, Distinct, Reader, all_chunks, describe, distinct_features
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

HEAD_ROWS = 1000
FORMAT = 3  # counts up where what is kept changes its meaning: the files of earlier versions then stay unused
_PLACES = 5


@dataclasses.dataclass(frozen=True)
class Survey:
    """The findings of one pass. Good rows are numbered from 0 in reading order.

    Attributes:
      rows, malformed: how many there are in all files.
      head_malformed: how many of the first 1,000 rows are malformed.
      places: the first malformed row of each of a few reasons: file, line, why, and how many rows there are of it.
      start_file, start_line, start_row: one entry per chunk: where it starts, and the number of its first good row.
      timestamp, query_id: those of every good row, where they were asked for; else empty.
      positives: good rows whose label is 1.
      outside, present: for each feature of the schema, how many values are there, and how many of these are outside
        [0, size) for encoding `identity`, or, in a stream, out of vocabulary.
      constant: for each feature, whether all good rows have the same value, a missing one included.
    """

    rows: int
    malformed: int
    head_malformed: int
    places: tuple[str, ...]
    start_file: np.ndarray
    start_line: np.ndarray
    start_row: np.ndarray
    timestamp: np.ndarray
    query_id: np.ndarray
    positives: int
    outside: np.ndarray
    present: np.ndarray
    constant: np.ndarray

    @property
    def good(self) -> int:
        return self.rows - self.malformed

    def rows_before(self, files: int) -> np.ndarray:
        """Numbers of good rows before each file, and of all, int64 [files + 1]."""
        starts = np.append(self.start_row, self.good)
        return starts[self.start_file.searchsorted(np.arange(files + 1), side="left")]

    def check(self, max_malformed: float) -> None:
        """Raises InputError where there is no good row, or too large a share of malformed ones."""
        refuse_above(max_malformed, self.head_malformed, min(self.rows, HEAD_ROWS), self.places)
        refuse_above(max_malformed, self.malformed, self.rows, self.places)
        if not self.good:
            raise InputError("data.path: the files hold no row")

    def save(self, path: str) -> None:
        """Writes the survey, whole or not at all."""
        with _files.whole_file(path) as beside:
            np.savez(beside, **dataclasses.asdict(self))  # not compressed: a run waits for it

    @classmethod
    def load(cls, path: str) -> Survey:
        """Reads what `save` wrote; InputError where the file does not hold it."""
        try:
            with _files.reading(path) as stream, np.load(stream) as arrays:
                found: dict[str, Any] = {name: arrays[name] for name in arrays.files}
            for name in ("rows", "malformed", "head_malformed", "positives"):
                found[name] = int(found[name])
            return cls(**{**found, "places": tuple(map(str, found["places"]))})
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{path} does not hold a survey of the data: delete it, and it is made again") from error


def survey(
    reader: Reader,
    max_malformed: float,
    *,
    times: bool = False,
    each: Callable[[Mapping[str, Any]], None] = lambda chunk: None,
) -> Survey:
    """The survey of all files of a reader, which are read once.

    Args:
      reader: of the files.
      max_malformed: the largest share of malformed rows, from 0 to 1.
      times: keeps timestamp and query_id of the good rows.
      each: is called with every chunk as it is surveyed: `good` has the columns of its good rows but for the features,
        and `features` these, the categorical ones as `Distinct`.

    Raises:
      InputError: the share is larger, in the first 1,000 rows or in all; no row is good; a file is damaged.
    """
    found = _Counts(reader, times)
    for chunk in _checked_chunks(reader):
        found.add(chunk)
        each(chunk)
        if found.rows >= HEAD_ROWS:  # as early as that: nobody waits hours to learn of a wrong delimiter
            refuse_above(max_malformed, found.head_malformed, HEAD_ROWS, found.places)
    result = found.survey()
    result.check(max_malformed)
    return result


def kept_survey(path: str, reader: Reader, max_malformed: float, times: bool = False) -> Survey:
    """The survey that is kept at `path`, or a new one, which is then kept there."""
    with made_once(path) as new:
        if new:
            found = survey(reader, max_malformed, times=times)
            found.save(path)
            return found
    found = Survey.load(path)
    found.check(max_malformed)
    return found


def survey_each(reader: Reader, max_malformed: float, encoder: Encoder | None = None) -> list[Survey]:
    """One survey for each file, in one pass. A file may hold no row, and only its first 1,000 are refused here.

    Args:
      reader: of the files.
      max_malformed: the largest share of malformed rows, from 0 to 1.
      encoder: tells which values are out of vocabulary; None: there is no vocabulary yet.
    """
    found = [_Counts(reader, times=False, encoder=encoder) for _ in reader.files]
    for chunk in _checked_chunks(reader):
        of_file = found[chunk["file"]]
        of_file.add(chunk)
        if of_file.rows >= HEAD_ROWS:
            refuse_above(max_malformed, of_file.head_malformed, HEAD_ROWS, of_file.places)
    return [of_file.survey() for of_file in found]


def concatenated(surveys: Sequence[Survey]) -> Survey:
    """The survey of files that follow each other, from those of each file, without timestamps."""
    before = np.cumsum([0, *(found.good for found in surveys)])
    starts = {
        "start_file": [np.full_like(found.start_file, number) for number, found in enumerate(surveys)],
        "start_line": [found.start_line for found in surveys],
        "start_row": [found.start_row + rows for found, rows in zip(surveys, before, strict=False)],
    }
    return Survey(
        rows=sum(found.rows for found in surveys),
        malformed=sum(found.malformed for found in surveys),
        head_malformed=surveys[0].head_malformed,
        places=tuple(place for found in surveys for place in found.places)[:_PLACES],
        **{name: np.concatenate(arrays) for name, arrays in starts.items()},
        timestamp=np.zeros(0),
        query_id=np.zeros(0, np.int64),
        positives=sum(found.positives for found in surveys),
        outside=np.sum([found.outside for found in surveys], axis=0),
        present=np.sum([found.present for found in surveys], axis=0),
        constant=np.zeros_like(surveys[0].constant),  # each file may have its own value
    )


def left_out(malformed: int, places: Sequence[str]) -> str:
    """What a person is told of malformed rows, at least one, and of the first places that have some.

    >>> left_out(1, ["clicks.csv:7 (clicked is missing)"])
    '1 malformed row is left out: clicks.csv:7 (clicked is missing)'
    """
    rows = "1 malformed row is" if malformed == 1 else f"{malformed:,} malformed rows are"
    return f"{rows} left out: {'; '.join(places)}"


_MANY_OUTSIDE, _MANY_MALFORMED = 0.2, 0.01


def outside_shares(schema: Schema, surveys: Sequence[Survey], vocabularies: Mapping[str, float]) -> dict[str, float]:
    """The share of the values that share the row of those out of vocabulary, by name of the feature.

    Args:
      schema: the features.
      surveys: of the files, which tell it for encoding `identity`.
      vocabularies: the shares for encoding `vocabulary` (`feature_statistics.Statistics.outside`).
    """
    shares = {}
    for number, feature in enumerate(schema.features):
        if isinstance(feature, Categorical) and feature.encoding == "identity":
            present = sum(int(found.present[number]) for found in surveys)
            shares[feature.name] = sum(int(found.outside[number]) for found in surveys) / max(present, 1)
    return {**shares, **vocabularies}


def warnings(schema: Schema, surveys: Sequence[Survey], outside: Mapping[str, float]) -> list[str]:
    """What is likely to be wrong with data that can be trained on, a line each.

    Args:
      schema: the columns.
      surveys: of the files.
      outside: what `outside_shares` gave.
    """
    found = []
    rows, malformed = (sum(getattr(one, name) for one in surveys) for name in ("rows", "malformed"))
    if malformed > _MANY_MALFORMED * rows:
        found.append(f"{malformed / rows:.1%} of the rows are malformed and left out")
    good, positives = rows - malformed, sum(one.positives for one in surveys)
    if positives in (0, good):
        what = "no row has the label 1" if not positives else "every row has the label 1"
        found.append(f"{what} ({schema.labels[0]}): there is nothing to tell apart, and no AUC")
    for number, feature in enumerate(schema.features):
        if all(one.constant[number] for one in surveys if one.good):
            missing = not any(one.present[number] for one in surveys)
            found.append(f"{feature.name} {'has no value in any row' if missing else 'is the same in every row'}")
        elif isinstance(feature, Categorical) and (share := outside.get(feature.name, 0.0)):
            if feature.encoding == "identity":
                found.append(
                    f"{share:.1%} of the values of {feature.name} are outside [0, {feature.size}) and share one row"
                )
            elif share > _MANY_OUTSIDE:
                found.append(f"{share:.1%} of the values of {feature.name} are out of vocabulary and share one row")
    return found


def refuse_above(limit: float, malformed: int, rows: int, places: Sequence[str]) -> None:
    """Raises InputError where more than that share of the rows is malformed."""
    if rows and malformed / rows > limit:
        raise InputError(
            f"data.max_malformed: {malformed:,} of the first {rows:,} rows are malformed, above {limit:.2%}: "
            + "; ".join(places)
        )


class _Counts:
    """A survey in the making."""

    def __init__(self, reader: Reader, times: bool, encoder: Encoder | None = None) -> None:
        self._reader, self._encoder = reader, encoder
        self.rows = self.malformed = self.head_malformed = 0
        # By reason: the first place, and how many rows.
        self._reasons: dict[int, tuple[str, int]] = {}
        self._starts: list[tuple[int, int, int]] = []
        features = len(reader.schema.features)
        self._positives, self._outside, self._present = 0, np.zeros(features, np.int64), np.zeros(features, np.int64)
        # The value of each feature, None before the first row; a feature with several values is not in it.
        self._first: dict[int, Any] = dict.fromkeys(range(features))
        kept = {"timestamp": reader.schema.timestamp, "query_id": reader.schema.query_id} if times else {}
        self._kept: dict[str, list[np.ndarray]] = {name: [] for name, column in kept.items() if column}

    def add(self, chunk: dict[str, Any]) -> None:
        if not chunk["line"].size:
            return
        bad = chunk["problem"] != GOOD
        self._starts.append((int(chunk["file"]), int(chunk["line"][0]), self.rows - self.malformed))
        self.head_malformed += int(bad[: max(0, HEAD_ROWS - self.rows)].sum())
        self.rows += bad.size
        self.malformed += int(bad.sum())
        reasons, first, count = np.unique(chunk["problem"][bad], return_index=True, return_counts=True)
        for reason, row, rows in zip(reasons.tolist(), np.flatnonzero(bad)[first], count.tolist(), strict=True):
            why = describe(self._reader.schema, reason, chunk["value"][row])
            here = f"{self._reader.files[chunk['file']]}:{chunk['line'][row]} ({why}"
            place, before = self._reasons.get(reason, (here, 0))
            self._reasons[reason] = place, before + rows
        for name, pieces in self._kept.items():
            pieces.append(chunk["good"][name])
        if "label" in chunk["good"]:  # rows that are only scored have none
            self._positives += int(np.count_nonzero(chunk["good"]["label"]))
        features, encoded = chunk["features"], {}
        if self._encoder:
            raw = {name: each.column() if isinstance(each, Distinct) else each for name, each in features.items()}
            encoded = self._encoder(raw)
        for number, feature in enumerate(self._reader.schema.features):
            self._add_values(number, feature, features[feature.name])
            if self._encoder and isinstance(feature, Categorical) and feature.encoding == "vocabulary":
                unknown = encoded[feature.name].numpy() == self._encoder.known_values(feature)
                self._outside[number] += np.count_nonzero(unknown)

    def _add_values(self, number: int, feature: Numeric | Categorical, column: Any) -> None:
        """Counts the values of a feature that are there and outside, and looks whether they are all the same."""
        if isinstance(feature, Numeric):
            if not column.size:
                return
            self._present[number] += np.count_nonzero(~np.isnan(column))
            same = np.nan_to_num(column, nan=np.inf)  # NaN would not equal itself
            value, constant = same[0], bool((same == same[0]).all())
        else:
            values, place, count = column
            if not place.size:
                return
            present = values != (b"" if feature.dtype == "string" else -1)
            self._present[number] += count[present].sum()
            if feature.encoding == "identity":
                self._outside[number] += count[present & ((values < 0) | (values >= feature.size))].sum()
            value, constant = values[place[0]], bool((place == place[0]).all())
        if number in self._first:  # until another value is met
            first = self._first[number] = value if self._first[number] is None else self._first[number]
            if not constant or not np.array_equal(value, first):
                del self._first[number]

    @property
    def places(self) -> list[str]:
        """The reasons in the order in which they were met."""
        return [
            f"{place}{f'; {rows:,} such rows' * (rows > 1)})"
            for place, rows in itertools.islice(self._reasons.values(), _PLACES)
        ]

    def survey(self) -> Survey:
        start_file, start_line, start_row = np.array(self._starts, np.int64).reshape(-1, 3).T
        kept = {name: np.concatenate(pieces or [np.zeros(0)]) for name, pieces in self._kept.items()}
        return Survey(
            rows=self.rows,
            malformed=self.malformed,
            head_malformed=self.head_malformed,
            places=tuple(self.places),
            start_file=start_file,
            start_line=start_line,
            start_row=start_row,
            timestamp=kept.get("timestamp", np.zeros(0)),
            query_id=kept.get("query_id", np.zeros(0, np.int64)),
            positives=self._positives,
            outside=self._outside,
            present=self._present,
            constant=np.array([number in self._first for number in range(self._outside.size)]),
        )


def _checked_chunks(reader: Reader) -> Iterator[dict[str, Any]]:
    """All chunks of the files, once these are known to be whole, with a progress line that counts rows."""

    @tf.autograph.experimental.do_not_convert
    def with_distinct_values(chunk: dict[str, Any]) -> dict[str, Any]:
        kept = {key: values for key, values in chunk.items() if key not in ("raw", "copied")}
        return kept | {"features": distinct_features(reader.schema, chunk["raw"])}

    with futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool, progress("surveying", " rows") as bar:
        checks = pool.map(check_complete, reader.files)  # while the graph is made

        def all_are_whole() -> None:
            """Raises InputError for the first file that is not."""
            for _ in checks:
                pass

        try:
            for chunk in all_chunks(reader, with_distinct_values):
                all_are_whole()  # before the first row: reading would end without an error
                yield _apart(chunk)
                bar.update(chunk["line"].size)
        except InputError:
            all_are_whole()
            raise
        all_are_whole()


_OF_ALL_ROWS = ("problem", "value", "file", "line")


def _apart(chunk: Mapping[str, Any]) -> dict[str, Any]:
    """A chunk with the columns of its good rows apart, in NumPy: in a graph each column would take operations."""
    good = chunk["problem"] == GOOD
    features = chunk["features"]
    columns = {key: values for key, values in chunk.items() if key not in (*_OF_ALL_ROWS, "features")}
    if not good.all():
        features = {
            name: each.of_rows(good) if isinstance(each, Distinct) else each[good] for name, each in features.items()
        }
        columns = {key: values[good] for key, values in columns.items()}
    return {key: chunk[key] for key in _OF_ALL_ROWS} | {"good": columns, "features": features}
