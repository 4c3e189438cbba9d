"""From the configuration of file data to a `Source`: survey, split, statistics, each cached."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import Any

from smooth_recs import config
from smooth_recs._files import whole_file
from smooth_recs.data import feature_statistics, files, splits
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.files import progress
from smooth_recs.data.raw_rows import Reader, chunks
from smooth_recs.data.sources import SortedSource, Source, StreamedSource, part_of
from smooth_recs.data.splits import Part
from smooth_recs.data.survey import Survey, survey
from smooth_recs.errors import InputError
from smooth_recs.schema import Schema

_CACHE_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Origin:
    """Files with everything that is needed to read them.

    Attributes:
      training: reads `data.path`.
      evaluation: reads `data.eval_path`, or None.
      side_files: further files whose contents count.
    """

    training: Reader
    evaluation: Reader | None = None
    side_files: tuple[str, ...] = ()


def open_origin(data: config.Data, origin: Origin, cache_dir: str) -> Source:
    """Surveys the files, splits them, and builds the statistics, or takes both from `cache_dir`.

    Raises:
      InputError: the files are not what the schema says, or too small to split.
    """
    split = "eval_path" if origin.evaluation else data.split
    _check(split, origin.training.schema)
    return _Opening(data, origin, split, cache_dir).source()


class _Opening:
    """The steps of `open_origin`, which share the fingerprint."""

    def __init__(self, data: config.Data, origin: Origin, split: str, cache_dir: str) -> None:
        self._data, self._split, self._cache_dir = data, split, cache_dir
        self._reader, self._evaluation = origin.training, origin.evaluation
        self._schema = origin.training.schema
        evaluation_files = origin.evaluation.files if origin.evaluation else ()
        counts = (len(self._reader.files), len(evaluation_files))
        everything = (*self._reader.files, *evaluation_files, *origin.side_files)
        self._fingerprint = files.fingerprint(everything, *read_as(data, self._schema), *counts)

    def source(self) -> Source:
        timed = self._split in ("time", "user_time")
        found = self._survey("train", self._reader, timed)
        if timed:
            return self._sorted(found)
        if self._evaluation:
            held_out = self._survey("eval", self._evaluation, False)
            training, _ = splits.tail(found.good, 1.0, self._data.examples, 0)
            _, evaluation = splits.tail(held_out.good, 0.0, 0, self._data.eval_examples)
            return self._streamed((self._reader, found, training), (self._evaluation, held_out, evaluation))
        training, evaluation = self._parts(found.good)
        return self._streamed((self._reader, found, training), (self._reader, found, evaluation))

    def _parts(self, rows: int) -> tuple[Part, Part]:
        data = self._data
        if self._split == "random":
            return splits.random(rows, data.train_fraction, data.seed, data.examples, data.eval_examples)
        return splits.tail(rows, data.train_fraction, data.examples, data.eval_examples)

    def _streamed(self, training: tuple[Reader, Survey, Part], held_out: tuple[Reader, Survey, Part]) -> Source:
        self._check_sizes(training[2].rows, held_out[2].rows)
        encoder = Encoder(self._schema, self._statistics(training[1], training[2]))
        surveys = {"train": training[1]} | ({"eval": held_out[1]} if self._evaluation else {})
        summary = self._summary(surveys, training[2].rows, held_out[2].rows)
        return StreamedSource(encoder, training, held_out, self._fingerprint, summary)

    def _sorted(self, found: Survey) -> Source:
        limits = self._data.train_fraction, self._data.examples, self._data.eval_examples
        if self._split == "time":
            training, held_out = splits.by_time(found.timestamp, *limits)
        else:
            training, held_out = splits.by_user_time(found.timestamp, found.query_id, *limits)
        self._check_sizes(training.size, held_out.size)
        encoder = Encoder(self._schema, self._statistics(found, splits.listed(training, found.good)))
        summary = self._summary({"train": found}, training.size, held_out.size)
        return SortedSource(encoder, self._reader, found, training, held_out, self._fingerprint, summary)

    def _survey(self, name: str, reader: Reader, times: bool) -> Survey:
        path = self._cached(f"survey-{name}{'-times' if times else ''}.npz")
        return kept_survey(path, reader, self._data.max_malformed, times)

    def _statistics(self, found: Survey, training: Part) -> feature_statistics.Statistics:
        if not feature_statistics.needed(self._schema):
            return feature_statistics.Statistics()
        data = self._data
        rows = (self._split, data.train_fraction, data.examples, data.seed if self._split == "random" else 0)
        path = self._cached(f"statistics-{hashlib.sha256(repr(rows).encode()).hexdigest()[:16]}.json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as stream:
                return feature_statistics.Statistics.from_json(stream.read())
        collected = feature_statistics.collect(self._schema, raw_features(part_of(self._reader, found, training)))
        with whole_file(path) as beside, open(beside, "w", encoding="utf-8") as stream:
            stream.write(collected.to_json())
        return collected

    def _cached(self, name: str) -> str:
        return os.path.join(self._cache_dir, f"{self._fingerprint}-{name}")

    def _check_sizes(self, train_rows: int, eval_rows: int) -> None:
        if not train_rows or not eval_rows:
            raise InputError(
                f"data.train_fraction must leave rows on both sides, got {self._data.train_fraction}, "
                f"which leaves {train_rows} training and {eval_rows} held-out rows"
            )

    def _summary(self, surveys: dict[str, Survey], train_rows: int, eval_rows: int) -> dict[str, Any]:
        readers = {"train": self._reader, "eval": self._evaluation}
        return {
            "files": [file for name in surveys for file in readers[name].files],  # type: ignore[union-attr]
            "rows": sum(found.rows for found in surveys.values()),
            "malformed": sum(found.malformed for found in surveys.values()),
            "first_malformed": [place for found in surveys.values() for place in found.places],
            "split": self._split,
            "train_rows": train_rows,
            "eval_rows": eval_rows,
        }


def read_as(data: config.Data, schema: Schema) -> tuple[object, ...]:
    """What gives the bytes of the files their meaning."""
    return (_CACHE_FORMAT, data.source, data.delimiter, data.header, data.column_names, schema)


def kept_survey(path: str, reader: Reader, max_malformed: float, times: bool = False) -> Survey:
    """The survey that is kept at `path`, or a new one, which then is."""
    if os.path.exists(path):
        found = Survey.load(path)
        found.check(max_malformed)
        return found
    found = survey(reader, max_malformed, times=times)
    with whole_file(path) as beside:
        found.save(beside)
    return found


def raw_features(dataset: Any) -> Any:
    """The raw features of chunks of raw rows, with a bar that counts them."""
    with progress("collecting statistics", " rows") as bar:
        for chunk in chunks(dataset):
            yield chunk["raw"]
            bar.update(chunk["line"].size)


def _check(split: str, schema: Schema) -> None:
    needed = {"time": ("timestamp",), "user_time": ("timestamp", "query_id")}
    for column in needed.get(split, ()):
        if not getattr(schema, column):
            raise InputError(f"data.split {split!r} needs a {column} in the schema, got none")
