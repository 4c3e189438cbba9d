"""Examples in files: surveyed, split and encoded once, then streamed in the order of the files or held in time order.

`open_files` goes from the configuration to a `Source`. What takes a pass over the files (survey, statistics, the rows
that are held in memory) is cached under their fingerprint, so that a second run on the same files starts at once. Of
runs that share a cache and start together one makes the pass, and the others wait for it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import _files, config
from smooth_recs._locks import made_once
from smooth_recs.data import feature_statistics, files, splits
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.data.files import progress
from smooth_recs.data.first_pass import FirstPass
from smooth_recs.data.held_rows import chunks_of, in_memory, kept_arrays, load
from smooth_recs.data.raw_rows import GOOD, Reader, chunks, distinct_features, select
from smooth_recs.data.sources import Rows, Source
from smooth_recs.data.splits import Part
from smooth_recs.data.survey import FORMAT, Survey, kept_survey, outside_shares, warnings
from smooth_recs.errors import InputError
from smooth_recs.schema import Schema

_FORMAT = 1  # part of the fingerprint: counts up where files come to mean something else


@dataclasses.dataclass(frozen=True)
class Origin:
    """Files with everything that is needed to read them.

    Attributes:
      training: reads `data.path`.
      evaluation: reads `data.eval_path`, or None.
      side_files: further files whose contents count.
      validation: reads `data.validation_path`, or None.
    """

    training: Reader
    evaluation: Reader | None = None
    side_files: tuple[str, ...] = ()
    validation: Reader | None = None

    @classmethod
    def of(
        cls,
        data: config.Data,
        read: Callable[[Sequence[str]], Reader],
        training: Sequence[str],
        side_files: Sequence[str] = (),
        expand: Callable[[str, str], Sequence[str]] = files.expand,
    ) -> Origin:
        """Opens the training files, and those that `data.eval_path` and `data.validation_path` name.

        Args:
          data: names the files.
          read: opens files.
          training: what `data.path` stands for.
          side_files: see above.
          expand: finds the files that a path stands for; its second argument is the field that errors name.

        Raises:
          InputError: files are not what the schema says; the error names the field that they stand in.
        """

        def others(field: str) -> Reader | None:
            if not (path := getattr(data, field)):
                return None
            try:
                return read(expand(path, f"data.{field}"))
            except InputError as error:  # readers know one field
                raise InputError(str(error).replace("data.path:", f"data.{field}:", 1)) from error

        return cls(read(training), others("eval_path"), tuple(side_files), others("validation_path"))


def open_files(data: config.Data, origin: Origin, cache_dir: str) -> Source:
    """The source of the examples in some files.

    Args:
      data: how they are split.
      origin: the files.
      cache_dir: keeps survey, statistics and rows.

    Raises:
      InputError: the files are not what the schema says, or too small to split.
    """
    reader, schema = origin.training, origin.training.schema
    split = "eval_path" if origin.evaluation else data.split
    timed = split in ("time", "user_time")
    for column in {"time": ("timestamp",), "user_time": ("timestamp", "query_id")}.get(split, ()):
        if not getattr(schema, column):
            raise InputError(f"data.split {split!r} needs a {column} in the schema, got none")

    evaluation_files = origin.evaluation.files if origin.evaluation else ()
    validation_files = origin.validation.files if origin.validation else ()
    everything = (*reader.files, *evaluation_files, *validation_files, *origin.side_files)
    # The same files in other roles are other data. Without validation files, as before there were any.
    counts = (len(reader.files), len(evaluation_files), *([len(validation_files)] if validation_files else []))
    fingerprint = files.fingerprint(everything, *read_as(data, schema), *counts)
    cached = os.path.join(cache_dir, f"{fingerprint}-{FORMAT}-")

    # Times are kept only for the splits that need them: 16 bytes a row.
    name = f"survey-train{'-times' if timed else ''}.npz"
    first_pass: FirstPass | None = None
    # Where all rows are held in memory anyway, one pass is enough for all that is found out and for these.
    if timed and not schema.copied:
        first_pass = FirstPass.kept(f"{cached}rows.npz", cached + name, reader, data.max_malformed)
        found = first_pass.survey
    else:
        found = kept_survey(cached + name, reader, data.max_malformed, timed)
    surveyed = [(reader, found)]
    if origin.evaluation:
        held_out_survey = kept_survey(f"{cached}survey-eval.npz", origin.evaluation, data.max_malformed)
        surveyed.append((origin.evaluation, held_out_survey))
        training, _ = splits.tail(found.good, 1.0, data.examples, 0)
        _, held_out = splits.tail(held_out_survey.good, 0.0, 0, data.eval_examples)
    elif split == "tail":
        training, held_out = splits.tail(found.good, data.train_fraction, data.examples, data.eval_examples)
    elif split == "random":
        training, held_out = splits.random(
            found.good, data.train_fraction, data.seed, data.examples, data.eval_examples
        )
    else:
        by: Callable[..., tuple[np.ndarray, np.ndarray]] = splits.by_time
        columns = [found.timestamp]
        if split == "user_time":
            by, columns = splits.by_user_time, [found.timestamp, found.query_id]
        orders = by(*columns, data.train_fraction, data.examples, data.eval_examples)
        training, held_out = (splits.listed(numbers, found.good) for numbers in orders)
    if not training.rows or not held_out.rows:
        raise InputError(
            f"data.train_fraction must leave rows on both sides, got {data.train_fraction}, "
            f"which leaves {training.rows} training and {held_out.rows} held-out rows"
        )

    validation: FilePart | None = None
    if origin.validation:
        chosen = kept_survey(f"{cached}survey-validation.npz", origin.validation, data.max_malformed)
        validation = origin.validation, chosen, splits.tail(chosen.good, 0.0, 0, 0)[1]
        surveyed.append((origin.validation, chosen))
    elif data.validation_fraction:
        stays = 1 - data.validation_fraction
        if timed:
            trained, tested = orders
            kept, apart = by(*(column[trained] for column in columns), stays, 0, 0)
            orders = trained[kept], tested
            training, validating = (splits.listed(trained[part], found.good) for part in (kept, apart))
        else:
            training, validating = splits.divided(training, stays, data.seed if split == "random" else None)
        if not training.rows or not validating.rows:
            raise InputError(
                f"data.validation_fraction must leave rows on both sides, got {data.validation_fraction}, "
                f"which leaves {training.rows} training and {validating.rows} validation rows"
            )
        validation = reader, found, validating

    # All that decides which rows are trained on, and nothing else: runs that differ in other settings share the file.
    rows: tuple[object, ...] = (split, data.train_fraction, data.examples, data.seed if split == "random" else 0)
    if data.validation_fraction:
        rows = (*rows, data.validation_fraction)
    path = f"{cached}statistics-{hashlib.sha256(repr(rows).encode()).hexdigest()[:16]}.json"

    def of_training_rows() -> Statistics:
        if first_pass is None:
            return training_statistics(schema, part_of(reader, found, training))
        trained = np.zeros(found.good, bool)
        trained[orders[0]] = True
        return first_pass.statistics(trained)

    statistics = kept_statistics(path, of_training_rows) if feature_statistics.needed(schema) else Statistics()
    encoder = Encoder(schema, statistics)
    surveys = [survey for _, survey in surveyed]
    outside = outside_shares(schema, surveys, encoder.statistics.outside)
    summary = {
        "files": [file for each, _ in surveyed for file in each.files],
        "rows": sum(survey.rows for _, survey in surveyed),
        "malformed": sum(survey.malformed for _, survey in surveyed),
        "first_malformed": [place for _, survey in surveyed for place in survey.places],
        "split": split,
        "train_rows": training.rows,
        "eval_rows": held_out.rows,
        "outside": outside,
        "warnings": warnings(schema, surveys, outside),
    }
    if validation:
        summary["validation_rows"] = validation[2].rows
    if timed:
        loaded = first_pass.rows(encoder) if first_pass else None
        return SortedSource(encoder, reader, found, *orders, fingerprint, summary, validation, loaded, cached=cached)
    tested_in = (origin.evaluation, held_out_survey) if origin.evaluation else (reader, found)
    return StreamedSource(encoder, (reader, found, training), (*tested_in, held_out), fingerprint, summary, validation)


def read_as(data: config.Data, schema: Schema) -> tuple[object, ...]:
    """The settings that give the bytes of the files their meaning: part of their fingerprint."""
    delimiter = "\t" if data.delimiter == r"\t" else data.delimiter
    meaning: tuple[object, ...] = (_FORMAT, data.source, delimiter, data.header, data.column_names, schema)
    # What version 0.1 did not have counts only where it is used: a run that it began is resumed.
    if data.missing != config.MISSING:
        meaning += (data.missing,)
    columns = tuple(feature.column for feature in schema.features)
    return (*meaning, columns) if any(columns) else meaning


def kept_statistics(path: str, of_training_rows: Callable[[], Statistics]) -> Statistics:
    """The statistics that are kept at `path`, or new ones, which are then kept there.

    Raises:
      InputError: the file does not hold statistics.
    """
    with made_once(path) as new:
        if new:
            statistics = of_training_rows()
            _files.write_text(path, statistics.to_json())
            return statistics
    try:
        return Statistics.from_json(_files.read_text(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not hold statistics: delete it, and they are taken again") from error


def training_statistics(schema: Schema, raw_rows: Any) -> Statistics:
    """The statistics of the training rows, which are read only where the schema needs any.

    Args:
      schema: the features.
      raw_rows: a dataset of chunks of raw rows: the training rows, and no others.
    """
    if not feature_statistics.needed(schema):
        return Statistics()

    def raw_features() -> Iterator[dict[str, Any]]:
        @tf.autograph.experimental.do_not_convert
        def distinct(chunk: dict[str, Any]) -> dict[str, Any]:
            return {"raw": distinct_features(schema, chunk["raw"]), "line": chunk["line"]}

        with progress("collecting statistics", " rows") as bar:
            for chunk in chunks(raw_rows.map(distinct, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)):
                yield chunk["raw"]
                bar.update(chunk["line"].size)

    return feature_statistics.collect(schema, raw_features())


def part_of(reader: Reader, survey: Survey, part: Part, position: int = 0) -> Any:
    """A dataset of chunks of the good raw rows of a part, from its row number `position` on.

    The survey tells in which chunk that row is: reading starts there. Where a file has come to hold fewer rows than the
    survey found, the dataset ends in an error: the file was cut while a run reads it, and no row is lost in silence.
    """
    first = part.number_of(position)
    chunk = max(int(survey.start_row.searchsorted(first, side="right")) - 1, 0)
    # Every file starts at a row number known beforehand, so that the data service of a cluster may give each file to
    # another worker.
    begins = survey.rows_before(len(reader.files))
    ends = tf.constant([0, *(min(part.stop, row) for row in begins[1:])], tf.int64)  # before the first file: 0
    begins[survey.start_file[chunk]] = survey.start_row[chunk]

    # Chunks are numbered one after the other, by `scan`, and only selecting rows from them runs in parallel.
    @tf.autograph.experimental.do_not_convert
    def number(state: Any, element: Any) -> tuple[Any, Any]:
        (file, next_row), (chunk, at_end) = state, element
        now = tf.where(at_end, -1, chunk["file"])
        whole = tf.equal(file, now) | (next_row >= ends[file + 1])
        tf.debugging.Assert(whole, ["the files have lost rows that were there: ", next_row])
        next_row = tf.where(tf.equal(file, now), next_row, tf.constant(begins, tf.int64)[now])
        good = tf.equal(chunk["problem"], GOOD)
        numbers = next_row + tf.cumsum(tf.cast(good, tf.int64)) - 1
        kept = good & part.contains(numbers) & (numbers >= first)
        return (now, next_row + tf.math.count_nonzero(good)), (chunk, kept, next_row)

    @tf.autograph.experimental.do_not_convert
    def keep(chunk: Any, kept: Any, begins: Any) -> Any:
        return select(chunk, kept)

    read = reader.read(int(survey.start_file[chunk]), int(survey.start_line[chunk]))
    # A chunk without rows marks the end: only there is it known that the last file was whole.
    none = tf.nest.map_structure(lambda spec: tf.zeros([n or 0 for n in spec.shape], spec.dtype), read.element_spec)
    with_end = read.map(lambda chunk: (chunk, False)).concatenate(tf.data.Dataset.from_tensors((none, True)))
    numbered = with_end.scan((tf.constant(-1), tf.constant(0, tf.int64)), number)
    inside = numbered.take_while(lambda chunk, kept, begins: begins < part.stop)
    return inside.map(keep, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def encoded(chunks: Any, encoder: Encoder, raw: bool = False) -> Any:
    """A dataset of chunks of `Rows` from one of raw chunks, with the raw features where `raw` is true."""
    schema = encoder.schema
    kept = ["label", *["labels"] * (len(schema.labels) > 1), "weight", *["query_id"] * bool(schema.query_id)]
    kept += ["raw"] * raw + ["copied"] * bool(schema.copied)

    @tf.autograph.experimental.do_not_convert
    def encode(chunk: Any) -> dict[str, Any]:
        return {"features": encoder(chunk["raw"])} | {key: chunk[key] for key in kept}

    return chunks.map(encode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


FilePart = tuple[Reader, Survey, Part]
"""Files, what their survey found, and which of their rows."""


class _FileSource:
    """What the sources of files share: the rows that choose are read from the files in every pass."""

    def __init__(
        self, encoder: Encoder, fingerprint: str, summary: dict[str, Any], validation: FilePart | None
    ) -> None:
        self.schema, self.encoder = encoder.schema, encoder
        self.fingerprint, self.summary = fingerprint, summary
        self.validation_rows = validation[2].rows if validation else 0
        self._validation = validation

    def validation(self) -> Any:
        return encoded(part_of(*self._validation), self.encoder) if self._validation else self.holdout().take(0)

    def holdout(self, *, raw: bool = False) -> Any:
        raise NotImplementedError


class StreamedSource(_FileSource):
    """A `Source` that reads its rows from the files in every pass and holds none of them.

    Args:
      encoder: with the statistics of the training rows.
      training, held_out: where the rows are.
      fingerprint, summary: see `Source`.
      validation: where the rows that choose are; None: there are none.
    """

    def __init__(
        self,
        encoder: Encoder,
        training: FilePart,
        held_out: FilePart,
        fingerprint: str,
        summary: dict[str, Any],
        validation: FilePart | None = None,
    ) -> None:
        super().__init__(encoder, fingerprint, summary, validation)
        self._training, self._held_out = training, held_out
        self.train_rows, self.eval_rows = training[2].rows, held_out[2].rows

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        return encoded(part_of(*self._training, start_row), self.encoder, raw)

    def holdout(self, *, raw: bool = False) -> Any:
        return encoded(part_of(*self._held_out), self.encoder, raw)


class SortedSource(_FileSource):
    """A `Source` whose rows come in an order of its own: 8 bytes an id and 4 a number, in memory, for every row.

    Args:
      encoder: with the statistics of the training rows.
      reader, survey: the files and what their survey found.
      training, held_out: numbers of good rows, in the order in which they are to come.
      fingerprint, summary: see `Source`.
      validation: see `StreamedSource`.
      rows: all good rows, encoded, in reading order; None: they are read here.
      cached: begins the path of the file that keeps the raw features of held-out rows.
    """

    def __init__(
        self,
        encoder: Encoder,
        reader: Reader,
        survey: Survey,
        training: np.ndarray,
        held_out: np.ndarray,
        fingerprint: str,
        summary: dict[str, Any],
        validation: FilePart | None = None,
        rows: Rows | None = None,
        *,
        cached: str,
    ) -> None:
        super().__init__(encoder, fingerprint, summary, validation)
        self.train_rows, self.eval_rows = training.size, held_out.size
        if rows is None:
            everything = Part(survey.good, 0, survey.good)
            rows = load(encoded(part_of(reader, survey, everything), encoder))
        self._training, self._held_out = in_memory(rows, training), in_memory(rows, held_out)
        self._reader, self._survey, self._cached = reader, survey, cached
        self._training_numbers, self._held_out_numbers = training, held_out

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        return chunks_of(self._raw_training if raw else self._training, start_row, self.train_rows)

    def holdout(self, *, raw: bool = False) -> Any:
        return chunks_of(self._raw_held_out() if raw else self._held_out, 0, self.eval_rows)

    @functools.cached_property
    def _raw_training(self) -> Rows:
        return in_memory(self._raw(self._training_numbers))  # whoever asks for it does so in every epoch

    def _raw_held_out(self) -> Rows:
        """The held-out rows with their raw features, some of which are in every export as requests."""
        numbers = self._held_out_numbers
        if self.schema.copied:  # columns that a fingerprint does not tell
            return in_memory(self._raw(numbers))
        path = f"{self._cached}raw-{hashlib.sha256(numbers.tobytes()).hexdigest()[:16]}.npz"
        return {**self._held_out, "raw": in_memory(kept_arrays(path, lambda: self._raw(numbers)["raw"]))}

    def _raw(self, numbers: np.ndarray) -> Rows:
        """Rows with their raw features, read anew."""
        part = splits.listed(numbers, self._survey.good)
        rows = load(encoded(part_of(self._reader, self._survey, part), self.encoder, raw=True))
        place = np.searchsorted(np.sort(numbers), numbers)
        found: Rows = tf.nest.map_structure(lambda values: values[place], rows)
        return found
