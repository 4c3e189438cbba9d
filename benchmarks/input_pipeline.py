"""How many rows of Criteo's format the input pipeline reads, parses, encodes, shuffles and batches in a second.

    python benchmarks/input_pipeline.py --rows=400000 --turns=5 --output=input_pipeline.json

Each stage is the pipeline up to it, from the files on: the difference of two stages is what one of them takes. Stages
of all formats take turns, and medians over the turns are compared. Processor time is what is judged, since the clock
of a shared machine jumps; wall-clock time stands beside. `yardstick` is `tf.io.decode_csv` into texts and numbers and
hashes of the texts, over the same lines: nothing is checked, counted, numbered, standardised, shuffled or batched.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data import presets, public_logs, shuffling, splits
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.data.file_sources import encoded, part_of
from smooth_recs.data.raw_rows import read_chunks
from smooth_recs.data.readers.parquet import parquet_to_tfrecord
from smooth_recs.data.survey import survey

GOAL = 100_000  # rows a second of processor time, all stages together
SCHEMA = public_logs.CRITEO
# Shares of missing values and sizes of the integers, roughly those of the Kaggle file.
MISSING_INTEGERS = (0.45, 0.0, 0.21, 0.22, 0.03, 0.22, 0.04, 0.0, 0.04, 0.45, 0.04, 0.77, 0.22)
MISSING_CATEGORIES = dict.fromkeys((2, 3, 11, 15, 20, 23), 0.03) | dict.fromkeys((18, 19, 24, 25), 0.44) | {21: 0.76}


class Sample(NamedTuple):
    """Seconds of one turn."""

    processor: float
    wall: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--formats", nargs="+", default=list(WRITERS), choices=list(WRITERS))
    parser.add_argument("--window", type=int, default=config.Data().shuffle_window)
    parser.add_argument("--batch_size", type=int, default=2048)
    parser.add_argument("--siblings", type=int, default=2, help="orders in which each window is batched")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", help="keeps the generated files; else they are removed")
    parser.add_argument("--output", help="a JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = written(arguments.folder or temporary, arguments.rows, arguments.formats)
        pipelines = {name: stages(name, file, arguments) for name, file in files.items()}
        samples = measured(pipelines, arguments.turns)
    found = summary(samples, arguments.rows)
    report(found, arguments.rows)
    if arguments.output:
        settings = {name: value for name, value in vars(arguments).items() if name not in ("folder", "output")}
        Path(arguments.output).write_text(json.dumps({"settings": settings, "formats": found}, indent=1) + "\n")


def columns(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of texts, "" where missing: label, integers with long tails, hexadecimal categories of skewed counts."""
    random = np.random.default_rng(seed)
    found = {"label": (random.random(rows) < 0.25).astype(int).astype(str)}
    for number, feature in enumerate(SCHEMA.numeric):
        values = np.floor(np.exp(random.normal(1.0 + number % 7, 1.5, rows))).astype(int).astype(str)
        found[feature.name] = np.where(random.random(rows) < MISSING_INTEGERS[number], "", values)
    for number, feature in enumerate(SCHEMA.categorical):
        ranks = (3.0 * random.pareto(1.05, rows)).astype(int) % feature.size
        values = np.array([f"{value:08x}" for value in ((ranks + 1) * 2654435761 + number * 40503) % 2**32])
        found[feature.name] = np.where(random.random(rows) < MISSING_CATEGORIES.get(number, 0.0), "", values)
    return found


def write_csv(path: str, rows: int) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.writelines("\t".join(row) + "\n" for row in zip(*columns(rows).values(), strict=True))


def write_gzip(path: str, rows: int) -> None:
    write_csv(plain := path.removesuffix(".gz"), rows)
    with open(plain, "rb") as source, gzip.open(path, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    os.remove(plain)


def write_parquet(path: str, rows: int) -> None:
    numbers = {"label", *(feature.name for feature in SCHEMA.numeric)}
    arrays = {}
    for name, values in columns(rows).items():
        array = pa.array(values, mask=values == "")
        arrays[name] = array.cast(pa.int64()) if name in numbers else array
    pq.write_table(pa.table(arrays), path)


def write_tfrecord(path: str, rows: int) -> None:
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        write_parquet(parquet := f"{folder}/log.parquet", rows)
        (compressed,) = parquet_to_tfrecord([parquet], SCHEMA, folder)
        with gzip.open(compressed, "rb") as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)


WRITERS: dict[str, tuple[str, Callable[[str, int], None]]] = {
    "csv": ("log.tsv", write_csv),
    "csv, gzip": ("packed.tsv.gz", write_gzip),
    "tfrecord": ("log.tfrecord", write_tfrecord),
    "parquet": ("log.parquet", write_parquet),
}


def written(folder: str, rows: int, formats: list[str]) -> dict[str, str]:
    """The path of a file of each format, which is written where it is not there."""
    os.makedirs(folder, exist_ok=True)
    paths = {}
    for name in formats:
        file, write = WRITERS[name]
        paths[name] = os.path.join(folder, f"{rows}-{file}")
        if not os.path.exists(paths[name]):
            write(paths[name], rows)
    return paths


def stages(name: str, file: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Datasets by the name of their last stage, each with all stages before it."""
    data = config.Data(source="criteo" if name.startswith("csv") else name, path=file, schema=SCHEMA)
    reader = presets.origin(data).training
    found = survey(reader, max_malformed=0.0)
    everything, _ = splits.tail(found.good, 1.0, 0, 0)
    encoder = Encoder(SCHEMA, Statistics(moments={feature.name: (2.0, 1.5) for feature in SCHEMA.numeric}))

    def rows(start: int) -> Any:
        chunks = encoded(part_of(reader, found, everything, start), encoder)
        return chunks.map(lambda chunk: (chunk["features"], chunk["label"], chunk["weight"]))

    datasets = {}
    if name != "parquet":
        kind = tf.data.TextLineDataset if name.startswith("csv") else tf.data.TFRecordDataset
        datasets["read"] = read_chunks(kind, [file], 0, 1)
    if name.startswith("csv"):
        datasets["yardstick"] = datasets["read"].map(yardstick, num_parallel_calls=tf.data.AUTOTUNE)
    seeds = range(arguments.siblings)
    batches = shuffling.shuffled(rows, window=arguments.window, batch_size=arguments.batch_size, seeds=seeds)
    return datasets | {
        "parse and check": reader.read(),
        "number and select": part_of(reader, found, everything),
        "encode": rows(0),
        "shuffle and batch": batches,
    }


def yardstick(lines: Any, *place: Any) -> Any:
    defaults = [[float("nan")]] * (1 + len(SCHEMA.numeric)) + [[""]] * len(SCHEMA.categorical)
    cells = tf.io.decode_csv(lines, defaults, field_delim="\t", use_quote_delim=False)
    texts = zip(cells[-len(SCHEMA.categorical) :], SCHEMA.categorical, strict=True)
    return cells[: -len(SCHEMA.categorical)], [tf.strings.to_hash_bucket_fast(text, f.size) for text, f in texts]


def measured(pipelines: dict[str, dict[str, Any]], turns: int) -> dict[str, dict[str, list[Sample]]]:
    """Samples by format and stage; a first turn, not counted, brings the files into memory."""
    samples: dict[str, dict[str, list[Sample]]] = {name: {stage: [] for stage in pipelines[name]} for name in pipelines}
    for turn in range(turns + 1):
        for name, datasets in pipelines.items():
            for stage, dataset in datasets.items():
                sample = timed(dataset)
                if turn:
                    samples[name][stage].append(sample)
    return samples


def timed(dataset: Any) -> Sample:
    """What a further pass takes: a first one also makes the pipeline, once a run."""
    one, two = (_passes(dataset, passes) for passes in (1, 2))
    return Sample(*(more - less for more, less in zip(two, one, strict=True)))


def _passes(dataset: Any, passes: int) -> Sample:
    wall, processor = time.perf_counter(), time.process_time()
    dataset.repeat(passes).reduce(np.int64(0), lambda count, *_: count + 1).numpy()
    return Sample(time.process_time() - processor, time.perf_counter() - wall)


def summary(samples: dict[str, dict[str, list[Sample]]], rows: int) -> dict[str, Any]:
    """Medians, and of the processor time the least and the greatest, in microseconds a row."""
    found: dict[str, Any] = {}
    for name, stages_of in samples.items():
        found[name] = {}
        for stage, turns in stages_of.items():
            processor, wall = ([1e6 * seconds / rows for seconds in clock] for clock in zip(*turns, strict=True))
            found[name][stage] = {
                "processor": statistics.median(processor),
                "processor_spread": [min(processor), max(processor)],
                "wall": statistics.median(wall),
            }
    return found


def report(found: dict[str, Any], rows: int) -> None:
    print(
        "| format | up to | processor time, µs a row | of this stage | rows a second of processor time | wall-clock |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, stages_of in found.items():
        own = [(stage, one) for stage, one in stages_of.items() if stage != "yardstick"]
        before = dict(zip((stage for stage, _ in own), [0.0, *(one["processor"] for _, one in own)], strict=False))
        for stage, one in stages_of.items():
            least, greatest = one["processor_spread"]
            share = f"{one['processor'] - before[stage]:.2f}" if stage in before else ""
            speeds = f"{1e6 / one['processor']:,.0f} | {1e6 / one['wall']:,.0f}"
            print(f"| {name} | {stage} | {one['processor']:.2f} ({least:.2f} to {greatest:.2f}) | {share} | {speeds} |")
    print(f"\n{rows:,} rows; medians of the turns (the least to the greatest).")
    for name, stages_of in found.items():
        speed = 1e6 / stages_of["shuffle and batch"]["processor"]
        met = "met" if speed >= GOAL else "missed"
        print(f"{name}: {speed:,.0f} rows a second of processor time in all, the goal of {GOAL:,} is {met}")


if __name__ == "__main__":
    main()
