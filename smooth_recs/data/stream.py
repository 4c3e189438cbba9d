"""A stream that grows: the files of a folder, trained on in the order in which they came."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from smooth_recs import _files, config
from smooth_recs.data import encoding, files, splits
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.file_sources import encoded, part_of, read_as, training_statistics
from smooth_recs.data.presets import open_source, reader_of
from smooth_recs.data.sources import Source
from smooth_recs.data.splits import Part
from smooth_recs.data.stream_files import NAME, Arrivals, Stamp, TakenFile, TakenFiles, content
from smooth_recs.data.survey import (
    FORMAT,
    Survey,
    concatenated,
    kept_survey,
    left_out,
    outside_shares,
    refuse_above,
    survey_each,
    warnings,
)
from smooth_recs.errors import InputError

IDLE_SECONDS = 2.0
_POLL_SECONDS = 0.25


class FollowedSource:
    """A `Source` whose training rows become more: a position is a row number of the whole stream, now and later.

    Files are taken once they are whole (`stream_files.Arrivals`), in the order of their names among those that wait,
    and listed in `stream.json`, which only grows: the same rows have the same numbers after an interruption.
    Vocabularies and moments are those of the files that were there first. Files may go once they have been trained on.

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
        found = kept_survey(self._survey_path("survey-eval"), evaluation, data.max_malformed)
        self._held_out = evaluation, found, splits.tail(found.good, 0.0, 0, data.eval_examples)[1]
        self.eval_rows, self.validation_rows = self._held_out[2].rows, 0
        self._surveys: dict[str, Survey] = {}
        self._arrivals = Arrivals(data.path)
        self._taken = TakenFiles(os.path.join(folder, NAME), f"{data.path} {self._meaning}")
        self.train_rows, self.fingerprint, self.summary = 0, "", dict[str, Any]()
        encoder_path = os.path.join(folder, encoding.NAME)
        if len(self._taken):
            self.encoder = Encoder(self.schema, encoding.load(encoder_path).statistics)
            self._count()
            self._taken.check(self.train_rows)
            return
        self._wait(lambda: None)
        self.train_rows = self._taken.good
        if not self.train_rows:
            raise InputError(
                f"data.path: no file with rows has come under {data.path} for {data.follow_seconds:g} seconds"
            )
        self.encoder = Encoder(self.schema, training_statistics(self.schema, self._raw_rows(0)))
        self._taken.change(self._with_vocabulary)
        self._count()
        # The list comes last: a run that finds one relies on the encoder beside it.
        encoding.save(self.encoder, encoder_path)
        self._taken.save()

    @property
    def ended(self) -> bool:
        return self._taken.ended

    @property
    def earlier_fingerprints(self) -> list[str]:
        """The fingerprints that the stream had when it was shorter."""
        return self._taken.fingerprints(self._meaning)[1:-1]

    def train(self, start_row: int = 0, *, raw: bool = False) -> Any:
        """The rows so far, as `Source.train` gives them; those whose files have gone are left out (see `check`)."""
        start_row = self._taken.first_readable(start_row)
        if start_row >= self.train_rows:
            return self.holdout(raw=raw).take(0)
        return encoded(self._raw_rows(start_row), self.encoder, raw)

    def holdout(self, *, raw: bool = False) -> Any:
        return encoded(part_of(*self._held_out), self.encoder, raw)

    def validation(self) -> Any:
        return self.holdout().take(0)

    def check(self, row: int) -> None:
        """Raises InputError where rows from `row` on have gone or changed."""
        self._taken.check(row)
        # Surveys of the files before that row are not needed any more.
        self._surveys = {taken.content: self._survey(taken) for taken in self._taken.at(row)[0]}

    def wait(self, on_idle: Callable[[], object] = lambda: None) -> None:
        """Returns once there are new rows, or the stream has ended.

        Args:
          on_idle: called once where nothing has come for some seconds.
        """
        self._wait(on_idle)
        self._taken.save()
        known = set(map(_without_numbers, self.summary["warnings"]))
        self._count()
        for warning in self.summary["warnings"]:
            if _without_numbers(warning) not in known:
                print(f"warning: {warning}", flush=True)

    def _wait(self, on_idle: Callable[[], object]) -> None:
        path, seconds = self._data.path, self._data.follow_seconds
        begun, idle = time.monotonic(), False
        while not self._take_whole():
            now = time.monotonic()
            if now - max(begun, self._arrivals.changed_at) >= seconds:
                self._taken.ended = True
                return
            if not idle and now - begun >= IDLE_SECONDS:
                idle = True
                unfinished = f"; {self._arrivals.unfinished} is being written" if self._arrivals.unfinished else ""
                taken = f"{len(self._taken):,} taken, {self._taken.good:,} rows"
                ends = f"ends after {seconds:g} seconds without any"
                print(f"waiting for new files under {path}: {taken}; {ends}{unfinished}", flush=True)
                on_idle()
            time.sleep(_POLL_SECONDS)

    def _take_whole(self) -> bool:
        """Takes the files that are whole; True if there are new rows now."""
        before, limit = self._taken.good, self._data.max_malformed
        names = self._arrivals.whole(self._taken)
        looks = [(Stamp.of(name), content(name)) for name in names]
        surveys = survey_each(self._read(names), limit, getattr(self, "encoder", None)) if names else []
        for name, (stamp, digest), found in zip(names, looks, surveys, strict=True):
            if stamp is None or Stamp.of(name) != stamp:
                break  # somebody wrote to it while it was read: it was not whole after all
            refuse_above(limit, self._taken.malformed + found.malformed, self._taken.rows + found.rows, found.places)
            if found.malformed:
                print(left_out(found.malformed, found.places), flush=True)
            found.save(self._survey_path(digest))
            self._surveys[digest] = found
            present, outside = tuple(found.present.tolist()), tuple(found.outside.tolist())
            rows = found.rows, found.malformed, found.positives
            self._taken.add(TakenFile(name, *stamp, digest, *rows, present, outside))
        return self._taken.good > before

    def _count(self) -> None:
        """Brings number of rows, fingerprint and summary up to date."""
        evaluation, found, _ = self._held_out
        self.train_rows = self._taken.good
        self.fingerprint = self._taken.fingerprints(self._meaning)[-1]
        features = self.schema.features
        present, beyond = (self._taken.totals(name, len(features)) for name in ("present", "outside"))
        trained = dataclasses.replace(
            found,
            rows=self._taken.rows,
            malformed=self._taken.malformed,
            positives=self._taken.positives,
            present=present,
            outside=beyond,
            constant=np.zeros_like(found.constant),  # each file may have its own value
        )
        vocabularies = {
            feature.name: int(beyond[number]) / max(int(present[number]), 1)
            for number, feature in enumerate(features)
            if feature.name in self.encoder.statistics.vocabularies
        }
        outside = outside_shares(self.schema, [trained, found], vocabularies)
        self.summary = {
            "files": [*self._taken.names, *evaluation.files],
            "rows": self._taken.rows + found.rows,
            "malformed": self._taken.malformed + found.malformed,
            "first_malformed": [place for one in (*self._surveys.values(), found) for place in one.places][:5],
            "split": "eval_path",
            "train_rows": self.train_rows,
            "eval_rows": self.eval_rows,
            "outside": outside,
            "warnings": warnings(self.schema, [trained, found], outside),
        }

    def _with_vocabulary(self, taken: TakenFile) -> TakenFile:
        """A file that was surveyed before there was a vocabulary, with its part of the values that are not in it."""
        shares = [self.encoder.statistics.outside.get(feature.name) for feature in self.schema.features]
        counts = zip(shares, taken.present, taken.outside, strict=True)
        outside = (before if share is None else round(share * present) for share, present, before in counts)
        return dataclasses.replace(taken, outside=tuple(outside))

    def _raw_rows(self, start_row: int) -> Any:
        """A dataset of chunks of the raw rows from that number on."""
        rest, before = self._taken.at(start_row)
        found = concatenated([self._survey(taken) for taken in rest])
        rows = self.train_rows - before
        return part_of(self._read([taken.file for taken in rest]), found, Part(rows, 0, rows), start_row - before)

    def _survey(self, taken: TakenFile) -> Survey:
        if taken.content not in self._surveys:
            path = self._survey_path(taken.content)
            kept = _files.exists(path)
            self._surveys[taken.content] = Survey.load(path) if kept else survey_each(self._read([taken.file]), 1.0)[0]
        return self._surveys[taken.content]

    def _survey_path(self, name: str) -> str:
        return os.path.join(self._folder, "cache", f"{self._meaning}-{FORMAT}-{name}.npz")


def _without_numbers(warning: str) -> str:
    """What a warning is about: it is said once, though its share changes."""
    return re.sub(r"[\d.]+%", "", warning)


def open_run(data: config.Data, folder: str) -> Source:
    """The source of a run: what `data` describes, or as much of a stream as the run has taken so far.

    Args:
      data: see `presets.open_source`.
      folder: the workdir of the run.
    """
    return FollowedSource(data, folder) if data.follow_seconds else open_source(data, os.path.join(folder, "cache"))
