"""Our model fed from files in Criteo's format, as in a run, beside the same rows from memory."""

from __future__ import annotations

import atexit
import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data import public_logs, shuffling
from smooth_recs.data.presets import open_source
from smooth_recs.data.sources import Source
from smooth_recs.models import from_config
from smooth_recs.schema import Categorical, Schema
from smooth_recs.training.batches import example
from throughput_contenders import ours
from throughput_contenders.work import Turn, Work, rows

PASSES = 3  # a pass over the files is as long as so many turns of other contenders
WINDOW_BATCHES = 8  # that are shuffled together
MODEL = config.Model(activation="smelu", normalization="weight", clip=6.0)


def from_files(work: Work) -> Turn:
    """A turn is one pass over the files, whatever steps are asked for."""
    source = _source(work)
    return _turn(work, source, lambda row: source.train(row).map(example))


def from_memory(work: Work) -> Turn:
    """The same rows, encoded, shuffled in the same way."""
    source = _source(work)
    whole = source.train().map(example).rebatch(source.train_rows).get_single_element()

    def from_row(row: int) -> Any:
        return tf.data.Dataset.from_tensors(tf.nest.map_structure(lambda column: column[row:], whole))

    return _turn(work, source, from_row)


def _turn(work: Work, source: Source, open_rows: Any) -> Turn:
    sizes = dataclasses.replace(MODEL, hidden_units=work.units, embedding_dim=work.dim)
    model = from_config.ranking_model(sizes, source.encoder)
    optimizer = from_config.optimizer(model, ours.TRAIN, total_steps=1)
    model.compile(optimizer=optimizer, steps_per_execution=work.per_execution)
    window = WINDOW_BATCHES * work.batch_size
    batches = shuffling.shuffled(open_rows, window=window, batch_size=work.batch_size, seeds=[1])

    def turn(steps: int) -> int:
        model.fit(batches, steps_per_epoch=source.train_rows // work.batch_size, verbose=0)
        return source.train_rows

    return turn


def _source(work: Work) -> Source:
    """Rows as those of `work`, a pass of several seconds, in files of Criteo's format."""
    folder = Path(tempfile.mkdtemp(prefix="throughput-"))
    atexit.register(shutil.rmtree, folder)
    held_out = folder / "held_out.txt"
    for part in range(work.parts):
        steps = [PASSES * work.steps * k // work.parts for k in (part, part + 1)]
        write(folder / f"train_{part:03}.txt", dataclasses.replace(work, batches=steps[1] - steps[0]))
    write(held_out, dataclasses.replace(work, batches=1))
    hashed = [
        Categorical(f.name, "hash", size=n) for f, n in zip(public_logs.CRITEO.categorical, work.rows, strict=True)
    ]
    schema = Schema((*public_logs.CRITEO.numeric, *hashed))
    data = config.Data(source="criteo", path=str(folder / "train_*.txt"), eval_path=str(held_out), schema=schema)
    return open_source(data, str(folder))


def write(path: Path, work: Work) -> None:
    """Made-up counts for the numbers, and eight hexadecimal digits for each category, as Criteo has them."""
    found = rows(work)
    numbers = np.rint(np.exp(found.numeric.reshape(-1, work.numeric) + 2)).astype(np.int64)
    ids = found.ids.reshape(len(work.rows), -1).T * 2_654_435_761 % 2**32
    with path.open("w", encoding="utf-8") as file:
        for label, integers, categories in zip(found.label.reshape(-1), numbers, ids, strict=True):
            file.write("\t".join([f"{label:.0f}", *map(str, integers), *(f"{c:08x}" for c in categories)]) + "\n")
