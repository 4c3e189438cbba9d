"""Profile of a log: what one pass over all rows says of each column, in memory that does not grow with the rows.

Every column is read as text by the readers that training uses; `data.values` says what a text is as a number or a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs.config import Data
from smooth_recs.data.files import compression, progress
from smooth_recs.data.raw_rows import GOOD, without_places
from smooth_recs.data.values import to_float, to_int64, to_time
from smooth_recs.errors import InputError
from smooth_recs.log_profile.layout import Layout
from smooth_recs.log_profile.value_sketch import RANGE, ValueSketch

Kind = Literal["integer", "number", "time", "text", "none"]
Floats = npt.NDArray[np.float64]

SAMPLE_ROWS, _SAMPLE_CELLS = 20_000, 1_000_000
_LATE = 0.8  # the rows from this share of the log on are the late ones, as with `data.split="time"`
_READ_AS = {"integer": to_int64, "number": to_float, "time": to_time}
_LARGEST_BAD_SHARE = Data().max_malformed  # of the values of a column that are of another kind than the rest


@dataclasses.dataclass(frozen=True)
class Column:
    """What all rows say of a column.

    Attributes:
      name: in the files.
      kind: the narrowest that the values have: `integer` (`true` and `false` are 1 and 0), `number`, `time` (ISO 8601),
        `text`; `none` where there is no value.
      missing: share of the rows without a value.
      bad: values that are not of the kind, 1% of them at most: training leaves their rows out.
      distinct: how many different values there are, estimated where `exact` is false.
      met_before: of the values in the last fifth of the rows, the share that the rows before have as well.
      low, high, mean: of a column that is no text.
      skewness: of the values, and of sign(x) log(1 + |x|).
      listed: whether a row holds several values.
    """

    name: str
    kind: Kind
    missing: float
    bad: int
    distinct: int
    exact: bool
    met_before: float
    low: float = float("nan")
    high: float = float("nan")
    mean: float = float("nan")
    skewness: tuple[float, float] = (0.0, 0.0)
    listed: bool = False


@dataclasses.dataclass(frozen=True)
class Profile:
    """What is known of a log.

    Attributes:
      layout: its files.
      rows, malformed: how many rows there are, and how many of these have the wrong number of fields.
      first_malformed: the file and the line of the first of these, and what is to be seen there; empty = none.
      columns: in the order of the files.
      sample: for each column the texts of evenly spaced rows, `b""` where there is none.
    """

    layout: Layout
    rows: int
    malformed: int
    columns: Mapping[str, Column]
    sample: Mapping[str, npt.NDArray[Any]]
    first_malformed: str = ""

    @property
    def good(self) -> int:
        return self.rows - self.malformed

    def numbers(self, name: str) -> Floats:
        """The values of a column in the sample as numbers, NaN where there is none."""
        read = _READ_AS.get(self.columns[name].kind, to_float)
        return _as_numbers(read, tf.constant(self.sample[name]))[0]


class _Moments:
    """Sums of the powers of a column's values, taken about the first value."""

    def __init__(self) -> None:
        self._origin: float | None = None
        self._sums = np.zeros(4)

    def add(self, values: Floats) -> None:
        if values.size:
            self._origin = float(values[0]) if self._origin is None else self._origin
            shifted = values - self._origin
            self._sums += [values.size, shifted.sum(), (shifted**2).sum(), (shifted**3).sum()]

    @property
    def mean(self) -> float:
        return float(self._sums[1] / self._sums[0]) + (self._origin or 0.0) if self._sums[0] else float("nan")

    @property
    def skewness(self) -> float:
        """E (x - mean)^3 / std^3; 0 where all values are the same."""
        count, *sums = self._sums
        one, two, three = np.array(sums) / max(count, 1)
        variance = two - one**2
        if variance <= 1e-12 * max(two, 1e-300):
            return 0.0
        return float((three - 3 * one * two + 2 * one**3) / variance**1.5)


class _ColumnPass:
    """Takes in a column chunk by chunk."""

    def __init__(self, name: str, listed: bool) -> None:
        self.name, self._listed = name, listed
        self._kinds: list[Kind] = ["text"] if listed else ["integer", "number", "time", "text"]
        self._there = self._bad = self._values = 0
        self._sketch, self._moments, self._logs = ValueSketch(), _Moments(), _Moments()
        self._low, self._high = np.inf, -np.inf

    def add(self, texts: Any, rows: npt.NDArray[np.int64]) -> None:
        present = np.asarray(tf.not_equal(texts, ""))
        hashes = tf.strings.to_hash_bucket_fast(texts, RANGE).numpy()
        self._there += int(np.count_nonzero(present.any(axis=1) if self._listed else present))
        self._values += int(np.count_nonzero(present))
        places = np.broadcast_to(rows[:, np.newaxis], present.shape) if self._listed else rows
        self._sketch.add(hashes[present], places[present])
        while self._kinds[0] != "text" and present.any():
            numbers, wrong = _as_numbers(_READ_AS[self._kinds[0]], texts)
            bad = int(np.count_nonzero(wrong & present))
            if self._bad + bad > _LARGEST_BAD_SHARE * self._values:
                del self._kinds[0]  # the next kind takes in all that this one did
                self._bad = 0
                continue
            self._bad += bad
            self._add_numbers(numbers[present & ~wrong])
            break

    def _add_numbers(self, numbers: Floats) -> None:
        numbers = numbers[np.isfinite(numbers)]
        if not numbers.size:
            return
        self._low, self._high = min(self._low, numbers.min()), max(self._high, numbers.max())
        self._moments.add(numbers)
        self._logs.add(np.sign(numbers) * np.log1p(np.abs(numbers)))

    def column(self, rows: int) -> Column:
        kind: Kind = self._kinds[0] if self._there else "none"
        common = (self.name, kind, 1 - self._there / max(rows, 1), self._bad, self._sketch.values, self._sketch.exact)
        met = self._sketch.met_before(round(_LATE * rows))
        if kind in ("text", "none"):
            return Column(*common, met, listed=self._listed)
        return Column(
            *common,
            met,
            low=float(self._low),
            high=float(self._high),
            mean=self._moments.mean,
            skewness=(self._moments.skewness, self._logs.skewness),
        )


class _Sample:
    """Keeps every nth row, and doubles n where it has too many."""

    def __init__(self, columns: int) -> None:
        self._most = max(min(SAMPLE_ROWS, _SAMPLE_CELLS // columns), 100)
        self._every, self._chunks = 1, list[tuple[npt.NDArray[np.int64], list[npt.NDArray[Any]]]]()

    def add(self, texts: list[Any], rows: npt.NDArray[np.int64]) -> None:
        kept = np.flatnonzero(rows % self._every == 0)
        self._chunks.append((rows[kept], [tf.gather(text, kept).numpy() for text in texts]))
        while sum(numbers.size for numbers, _ in self._chunks) > self._most:
            self._every *= 2
            chosen = [numbers % self._every == 0 for numbers, _ in self._chunks]
            self._chunks = [
                (numbers[mask], [text[mask] for text in found])
                for mask, (numbers, found) in zip(chosen, self._chunks, strict=True)
            ]

    def columns(self, number: int) -> list[npt.NDArray[Any]]:
        """The texts of each of the columns; several values are joined by `|`."""
        empty = [np.zeros(0, object)] * number
        parts = zip(*(found for _, found in self._chunks), strict=True) if self._chunks else ([part] for part in empty)
        columns = [np.concatenate(part) for part in parts]
        return [
            np.array([b"|".join(filter(None, row)) for row in column], object) if column.ndim == 2 else column
            for column in columns
        ]


def profile_of(layout: Layout) -> Profile:
    """The profile of a log, from one pass over its files, with a progress bar.

    Raises:
      InputError: a file is damaged, names a column twice, or no row has the right number of fields.
    """
    passes = [_ColumnPass(name, name in layout.lists) for name in layout.columns]
    sample = _Sample(len(passes))
    rows = malformed = 0
    first = ""
    with progress("reading", " rows", layout.rows()) as bar:
        for chunk in _chunks(layout.reader().read()):
            good = tf.equal(chunk["problem"], GOOD)
            texts = [tf.boolean_mask(chunk["raw"][f"c{number}"], good) for number in range(len(passes))]
            new = int(tf.math.count_nonzero(good))
            numbers = np.arange(rows - malformed, rows - malformed + new)
            for column, text in zip(passes, texts, strict=True):
                column.add(text, numbers)
            sample.add(texts, numbers)
            rows += int(tf.size(good))
            malformed += int(tf.size(good)) - new
            if malformed and not first and layout.source == "csv":
                place = int(tf.argmin(tf.cast(good, tf.int32)))
                first = _seen_at(layout.files[int(chunk["file"])], int(chunk["line"][place]))
            bar.update(int(tf.size(good)))
    if rows == malformed:
        what = f"none of the {rows:,} rows of {layout.files[0]} has {len(layout.columns)} fields"
        raise InputError(f"--data: {what}{first and '; '}{first}")
    columns = {each.name: each.column(rows - malformed) for each in passes}
    samples = dict(zip(columns, sample.columns(len(passes)), strict=True))
    return Profile(layout, rows, malformed, columns, samples, first)


def _seen_at(file: str, line: int) -> str:
    """The place of a malformed line, and the commonest reason for it."""
    found = list(tf.data.TextLineDataset(file, compression(file)).skip(line - 1).take(1).as_numpy_iterator())
    broken = any(text.count(b'"') % 2 for text in found)
    return f"the first is {file}:{line}" + ", where a field in quotes goes on in the next line" * broken


def _as_numbers(read: Any, texts: Any) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Texts as numbers, NaN where there is none, and which are there but are none."""
    converted, wrong = read(texts, None)
    numbers = converted.numpy().astype(np.float64)
    numbers[np.asarray(tf.equal(texts, "")) | np.asarray(wrong)] = np.nan
    return numbers, np.asarray(wrong)


def _chunks(dataset: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from dataset
    except tf.errors.DataLossError as error:
        raise InputError(f"--data: a file is damaged: {without_places(error)}") from error
