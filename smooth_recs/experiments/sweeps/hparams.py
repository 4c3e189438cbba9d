"""The runs of a sweep for TensorBoard's HParams page: what was varied, and what came of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.experiments.sweeps.grid import Grid
from smooth_recs.experiments.sweeps.sweep_results import Run, names, varied_fields
from smooth_recs.reports import formats


def write(grid: Grid, runs: Sequence[Run], path: str) -> None:
    """Writes a folder of summaries for each run, and summaries that tell what the columns are; replaces `path`."""
    from tensorboard.plugins.hparams import api  # type: ignore[import-untyped]  # slow to load

    varied = varied_fields(grid)
    beside = tempfile.mkdtemp(prefix=".writing-", dir=os.path.dirname(path) or ".")
    try:
        with _summaries(beside):
            columns = [api.HParam("variant"), *(api.HParam(field) for field in varied), api.HParam("seed")]
            api.hparams_config(columns, [api.Metric(measure) for measure in names()])
        for run in runs:
            name = f"{run.variant.name}, seed {run.seed}"
            with _summaries(os.path.join(beside, name.replace(os.sep, "_"))):
                fields = {field: _plain(value) for field, value in run.variant.fields.items()}
                api.hparams({"variant": run.variant.name, **fields, "seed": run.seed}, trial_id=name)
                for measure, value in run.measures.items():
                    if value is not None:
                        tf.summary.scalar(measure, value, step=0)
        os.chmod(beside, 0o755)
        shutil.rmtree(path, ignore_errors=True)
        os.rename(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@contextlib.contextmanager
def _summaries(path: str) -> Iterator[None]:
    with contextlib.closing(tf.summary.create_file_writer(path)) as writer, writer.as_default():
        yield


def _plain(value: Any) -> bool | float | str:
    return value if isinstance(value, bool | int | float | str) else formats.setting(value)
