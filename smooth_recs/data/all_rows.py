"""All good rows of some files, as the log holds them: neither split nor encoded."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, NamedTuple

from smooth_recs import config
from smooth_recs.data import files, presets, splits
from smooth_recs.data.file_source import part_of
from smooth_recs.data.opening import kept_survey, read_as
from smooth_recs.data.schema import Schema
from smooth_recs.data.survey import Survey


class AllRows(NamedTuple):
    """`chunks`: a dataset of chunks of raw rows (see `raw_rows`); `survey`: how many rows there are."""

    schema: Schema
    survey: Survey
    chunks: Any


def open_rows(data: config.Data, path: str, cache_dir: str) -> AllRows:
    """The rows of the files under `path`, which are read as `data` says.

    Args:
      data: of a source that reads files; its own files are not looked at.
      path: a file, a folder or a glob, several separated by commas.
      cache_dir: keeps what the first pass over the files finds.

    Raises:
      InputError: the files are not what the schema says, or hold no row.
    """
    data = dataclasses.replace(data, path=path, eval_path="")
    reader = presets.origin(data).training
    name = files.fingerprint(reader.files, "all rows", *read_as(data, reader.schema))
    survey = kept_survey(os.path.join(cache_dir, f"{name}-survey-all.npz"), reader, data.max_malformed)
    everything, _ = splits.tail(survey.good, 1.0, 0, 0)
    return AllRows(reader.schema, survey, part_of(reader, survey, everything))
