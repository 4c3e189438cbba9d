"""A stream that goes on: the files of a growing folder, in the order in which they came."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from smooth_recs import config
from smooth_recs._files import whole_file
from smooth_recs.data import encoding, feature_statistics, files, splits, survey
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.first_pass import kept_survey, raw_features, read_as
from smooth_recs.data.presets import open_source, reader_of
from smooth_recs.data.sources import Source, encoded, part_of
from smooth_recs.data.splits import Part
from smooth_recs.data.stream_files import NAME, Arrivals, Stamp, TakenFile, TakenFiles, content
from smooth_recs.data.survey import Survey
from smooth_recs.errors import InputError

IDLE_SECONDS = 2.0
_POLL_SECONDS = 0.25


class FollowedSource:
    """A `Source` whose training rows become more: a position is a row number of the whole stream, now and later.

    Files are taken once they are whole (`arrivals`), in the order of their names among those that wait, and listed in
    `stream.json`, which only grows: the same rows have the same numbers after an interruption. Vocabularies and
    moments are those of the files that were there first. Files may go once they have been trained on.

    Args:
      data: a `csv`, `tfrecord` or `parquet` source with `eval_path` and `follow_seconds`.
      folder: keeps `stream.json`, `encoder.json` and `cache/`.

    Attributes:
      ended: nothing came for `follow_seconds` of waiting: the rows stay as they are.

    Raises:
      InputError: nothing comes at all, a file is not what the schema says, or one that was taken has changed.
    """

    def __init__(self, data: config.Data, folder: str) -> None:
        self._data, self._folder, self._read = data, folder, reader_of(data)
        evaluation = self._read(files.expand(data.eval_path, "data.eval_path"))
        self.schema = evaluation.schema
        self._meaning = files.fingerprint(evaluation.files, "stream", *read_as(data, self.schema))
        found = kept_survey(self._cached(f"{self._meaning}-survey-eval"), evaluation, data.max_malformed)
        self._held_out = evaluation, found, splits.tail(found.good, 0.0, 0, data.eval_examples)[1]
        self.eval_rows = self._held_out[2].rows
        self._surveys: dict[str, Survey] = {}
        self._arrivals = Arrivals(data.path)
        self._taken = TakenFiles(os.path.join(folder, NAME), f"{data.path} {self._meaning}")
        self.train_rows, self.fingerprint, self.summary = 0, "", dict[str, Any]()
        self.encoder = self._known_encoder() if len(self._taken) else self._first_encoder()

    @property
    def ended(self) -> bool:
        return self._taken.ended

    @property
    def earlier_fingerprints(self) -> list[str]:
        """Those that the stream had when it was shorter."""
        return self._taken.fingerprints(self._meaning)[1:-1]

    def _count(self) -> None:
        """Takes note of the rows so far."""
        evaluation, found, _ = self._held_out
        self.train_rows = self._taken.good
        self.fingerprint = self._taken.fingerprints(self._meaning)[-1]
        self.summary = {
            "files": [*self._taken.names, *evaluation.files],
            "rows": self._taken.rows + found.rows,
            "malformed": self._taken.malformed + found.malformed,
            "first_malformed": [place for one in (*self._surveys.values(), found) for place in one.places][:5],
            "split": "eval_path",
            "train_rows": self.train_rows,
            "eval_rows": self.eval_rows,
        }

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        """As `Source.train`, of the rows so far; those whose files have gone are left out (see `check`)."""
        start_row = self._taken.first_readable(start_row)
        if start_row >= self.train_rows:
            return self.holdout(raw=raw).take(0)
        return encoded(self._raw_rows(start_row), self.encoder, raw)

    def holdout(self, *, raw: bool = False) -> Any:
        return encoded(part_of(*self._held_out), self.encoder, raw)

    def check(self, row: int) -> None:
        """Raises InputError where rows from `row` on have gone or changed."""
        self._taken.check(row)
        self._surveys = {taken.content: self._survey(taken) for taken in self._taken.at(row)[0]}

    def wait(self, on_idle: Callable[[], object] = lambda: None) -> None:
        """Returns once there are new rows, or the stream has ended.

        Args:
          on_idle: called once where nothing has come for some seconds.
        """
        self._wait(on_idle)
        self._taken.save()
        self._count()

    def _wait(self, on_idle: Callable[[], object]) -> None:
        begun, idle = time.monotonic(), False
        while not self._take_whole():
            now = time.monotonic()
            if now - max(begun, self._arrivals.changed_at) >= self._data.follow_seconds:
                self._taken.ended = True
                return
            if not idle and now - begun >= IDLE_SECONDS:
                idle = True
                print(self._state(), flush=True)
                on_idle()
            time.sleep(_POLL_SECONDS)

    def _state(self) -> str:
        unfinished = f"; {self._arrivals.unfinished} is being written" if self._arrivals.unfinished else ""
        return (
            f"waiting for new files under {self._data.path}: {len(self._taken):,} taken, {self._taken.good:,} rows; "
            f"ends after {self._data.follow_seconds:g} seconds without any{unfinished}"
        )

    def _take_whole(self) -> bool:
        """Takes what is whole; True if there are new rows now."""
        before, names = self._taken.good, self._arrivals.whole(self._taken)
        looks = [(Stamp.of(name), content(name)) for name in names]
        surveys = survey.each(self._read(names), self._data.max_malformed) if names else []
        for name, (stamp, digest), found in zip(names, looks, surveys, strict=True):
            if stamp is None or Stamp.of(name) != stamp:
                break  # it is not whole after all
            self._take(TakenFile(name, *stamp, digest, found.rows, found.malformed), found)
        return self._taken.good > before

    def _take(self, taken: TakenFile, found: Survey) -> None:
        malformed, rows = self._taken.malformed + found.malformed, self._taken.rows + found.rows
        survey.refuse_above(self._data.max_malformed, malformed, rows, found.places)
        if found.malformed:
            print(f"{found.malformed:,} malformed rows are left out: {'; '.join(found.places)}", flush=True)
        with whole_file(self._cached(f"{self._meaning}-{taken.content}")) as beside:
            found.save(beside)
        self._surveys[taken.content] = found
        self._taken.add(taken)

    def _survey(self, taken: TakenFile) -> Survey:
        if taken.content not in self._surveys:
            path = self._cached(f"{self._meaning}-{taken.content}")
            kept = os.path.exists(path)
            self._surveys[taken.content] = Survey.load(path) if kept else survey.each(self._read([taken.file]), 1.0)[0]
        return self._surveys[taken.content]

    def _raw_rows(self, start_row: int) -> Any:
        rest, before = self._taken.at(start_row)
        found = survey.in_a_row([self._survey(taken) for taken in rest])
        rows = self.train_rows - before
        return part_of(self._read([taken.file for taken in rest]), found, Part(rows, 0, rows), start_row - before)

    def _first_encoder(self) -> Encoder:
        """With the statistics of the files that are there first, which are waited for."""
        self._wait(lambda: None)
        self._count()
        if not self.train_rows:
            seconds = self._data.follow_seconds
            raise InputError(f"data.path: no file with rows has come under {self._data.path} for {seconds:g} seconds")
        known = feature_statistics.Statistics()
        if feature_statistics.needed(self.schema):
            known = feature_statistics.collect(self.schema, raw_features(self._raw_rows(0)))
        encoder = Encoder(self.schema, known)
        encoding.save(encoder, os.path.join(self._folder, encoding.NAME))
        self._taken.save()
        return encoder

    def _known_encoder(self) -> Encoder:
        self._count()
        self._taken.check(self.train_rows)
        return Encoder(self.schema, encoding.load(os.path.join(self._folder, encoding.NAME)).statistics)

    def _cached(self, name: str) -> str:
        return os.path.join(self._folder, "cache", f"{name}.npz")


def open_run(data: config.Data, folder: str) -> Source:
    """The source of a run: what `data` describes, or as much of a stream as the run has taken so far.

    Args:
      data: see `presets.open_source`.
      folder: the workdir of the run.
    """
    return FollowedSource(data, folder) if data.follow_seconds else open_source(data, os.path.join(folder, "cache"))
