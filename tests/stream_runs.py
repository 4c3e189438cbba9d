"""Streams for tests: files of a log that are written while a run trains."""

from __future__ import annotations

import os
import pathlib

import numpy as np

ROWS = 700  # of a file
CONFIG = """
from smooth_recs.config import Config, Data, Evaluation, Model, Train
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((Categorical("shop", "vocabulary"), Numeric("price", "standardize")))

def get_config():
    return Config(
        data=Data(
            source="csv", path={path!r}, eval_path={held_out!r}, schema=SCHEMA, shuffle_window=500, follow_seconds=6.0
        ),
        model=Model(hidden_units=(16, 8), embedding_dim=8),
        train=Train(
            batch_size=16, steps_per_execution=7, checkpoint_seconds=0.2, evaluation_examples=40, deterministic=True,
            progressive=True, average=70, export_steps=60, keep_exports=0,
        ),
        evaluation=Evaluation(slices=("label",), estimate=False),
    )
"""


def write_file(path: pathlib.Path, seed: int, rows: int = ROWS) -> None:
    """Whole or not at all, as whoever feeds a stream should."""
    random = np.random.default_rng(seed)
    shops, prices = random.integers(0, 40, rows), random.random(rows)
    labels = random.random(rows) < prices / 2
    lines = [f"s{shop},{price:.4f},{label:d}\n" for shop, price, label in zip(shops, prices, labels, strict=True)]
    beside = path.with_name(f".{path.name}")
    beside.write_text("shop,price,label\n" + "".join(lines))
    os.replace(beside, path)


def write_config(folder: pathlib.Path, log: pathlib.Path) -> pathlib.Path:
    """The configuration file of a run that follows `log`."""
    held_out = folder / "held_out.csv"
    write_file(held_out, seed=999)
    path = folder / "stream.py"
    path.write_text(CONFIG.format(path=str(log), held_out=str(held_out)))
    return path
