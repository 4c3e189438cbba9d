"""Two worlds in which a model decides what people see, and learns from what they click: how far do they drift apart?

  python benchmarks/feedback_loop.py --workdir=runs/loop --seeds=1-5

Requests, candidates and people are the same in both worlds, those of the synthetic log with 20 candidates a request. A
model is trained on one day of lists made by chance and serves in both. Then, day after day, each world shows the four
candidates that its model ranks first, people click by the true probabilities, with the same random numbers in both
worlds, and the world's model trains on what was shown, in an order of the world's own. So the worlds differ in nothing
but the order of rows, and in what follows from it. A third model is trained on the first world's rows in the second
one's order: siblings without the loop.

Each morning, on all candidates of the new day: PD between the worlds, the share of requests whose four places differ
(swap rate), the share of shown candidates that both show (overlap), and the clicks a request that each world expects,
by the true probabilities. Prints a Markdown table of the days from the fifth on, means with 95% intervals over seeds,
and writes WORKDIR/days.csv and loop.png. Finished seeds are kept.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tqdm

from smooth_recs import config as config_lib
from smooth_recs import prediction_difference
from smooth_recs._files import read_json, write_json
from smooth_recs.callbacks import AverageWeights
from smooth_recs.data.synthetic import REQUESTS_PER_CHUNK, SyntheticSource
from smooth_recs.experiments import variants
from smooth_recs.measures import recommendations
from smooth_recs.models import from_config

CANDIDATES, SHOWN, BATCH = 20, 4, 256
STEPS = REQUESTS_PER_CHUNK * SHOWN // BATCH  # of a day
SETTLED = 5  # the day from which on the worlds no longer move away from each other
Day = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Way:
    """What trains and serves.

    Attributes:
      activation: of the network, with its width.
      half_life: of the average of the weights that serves, in steps; 0 = the weights themselves serve.
      anchor: weight of half the squared distance of the dense weights from those that serve; 0 = free.
    """

    activation: str
    half_life: int = 0
    anchor: float = 0.0


WAYS = {
    "ReLU": Way("relu"),
    "SmeLU": Way("smelu:0.2"),
    "ReLU, averaged": Way("relu", half_life=STEPS),
    "SmeLU, averaged": Way("smelu:0.2", half_life=STEPS),
    "SmeLU, anchored": Way("smelu:0.2", anchor=0.01),
}
COLUMNS = (
    "way", "seed", "day", "pd", "swap_rate", "overlap", "clicks_a", "clicks_b", "clicks_apart", "pd_same_rows",
    "swap_rate_same_rows", "overlap_same_rows", "clicks_best", "clicks_by_chance",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, type=Path, help="folder that receives days.csv and loop.png")
    parser.add_argument("--seeds", default="1-5", help="FIRST-LAST, at least two")
    parser.add_argument("--days", type=int, default=20)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    arguments.workdir.mkdir(parents=True, exist_ok=True)
    runs = [(way, seed) for seed in range(first, last + 1) for way in arguments.ways]
    lines: list[Day] = []
    for way, seed in tqdm.tqdm(runs, unit="run", disable=None):
        path = arguments.workdir / f"{way.replace(', ', '_')}_{seed}_{arguments.days}.json"
        if not path.exists():
            write_json(str(path), worlds(WAYS[way], seed, arguments.days))
        lines += [{"way": way, "seed": seed, **day} for day in read_json(str(path))]
    with (arguments.workdir / "days.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    draw(lines, str(arguments.workdir / "loop.png"))
    print(table(lines))


def worlds(way: Way, seed: int, days: int) -> list[Day]:
    """The measures of each morning after the first day, on which both worlds have one model."""
    log = config_lib.SyntheticLog(candidates=CANDIDATES)
    rows = REQUESTS_PER_CHUNK * CANDIDATES
    source = SyntheticSource(config_lib.Data(examples=1, eval_examples=(days + 1) * rows - 1, synthetic=log))
    # The first chunk lacks its first row, which is for training: the days are the whole chunks after it.
    chunks = (
        {**chunk["features"], "label": chunk["label"], "truth": chunk["true_probability"], "request": chunk["query_id"]}
        for chunk in source.holdout().as_numpy_iterator()
    )
    random = np.random.default_rng(seed)
    start = next(chunks)
    by_chance = random.permuted(np.tile(np.arange(CANDIDATES), (REQUESTS_PER_CHUNK - 1, 1)), axis=1)[:, :SHOWN]
    # The request that has lost a row is left out.
    first = {name: values[CANDIDATES - 1 :] for name, values in start.items()}
    a, b, same_rows = (World(way, source, seed) for _ in range(3))
    order = random.permutation(by_chance.size)
    for world in (a, b, same_rows):
        world.train(first, rows_of(by_chance), order)
    found = []
    for day, chunk in enumerate(chunks):
        predictions = {world: world.serves(chunk) for world in (a, b, same_rows)}
        if day:
            found.append({"day": day, **measured(chunk, *predictions.values())})
        if day == days - 1:
            return found
        orders = [random.permutation(REQUESTS_PER_CHUNK * SHOWN) for _ in range(2)]
        shown = {world: rows_of(top(prediction)) for world, prediction in predictions.items()}
        a.train(chunk, shown[a], orders[0])
        b.train(chunk, shown[b], orders[1])
        same_rows.train(chunk, shown[a], orders[1])
    raise AssertionError(f"{days} days need as many chunks")


def top(prediction: np.ndarray) -> np.ndarray:
    """The candidates of each request that are shown, [requests, SHOWN], the best first."""
    ranked: np.ndarray = np.argsort(-prediction.reshape(-1, CANDIDATES), axis=1, kind="stable")[:, :SHOWN]
    return ranked


def rows_of(candidates: np.ndarray) -> np.ndarray:
    """Numbers of the rows of a day, request after request, that hold the candidates [requests, SHOWN]."""
    return (np.arange(len(candidates))[:, None] * CANDIDATES + candidates).ravel()


def measured(chunk: Day, a: np.ndarray, b: np.ndarray, same_rows: np.ndarray) -> dict[str, float]:
    """One morning; `a`, `b` and `same_rows` are predictions for all candidates of all requests."""
    truth = chunk["truth"].astype(np.float64)
    expected = [float(truth[rows_of(top(prediction))].sum() / (len(truth) / CANDIDATES)) for prediction in (a, b)]
    return {
        "pd": prediction_difference.relative(a, b),
        "swap_rate": recommendations.swap_rate(a, b, chunk["request"], k=SHOWN),
        "overlap": recommendations.top_k_overlap(a, b, chunk["request"], k=SHOWN),
        "clicks_a": expected[0],
        "clicks_b": expected[1],
        "clicks_apart": abs(expected[0] - expected[1]) / statistics.fmean(expected),
        "pd_same_rows": prediction_difference.relative(a, same_rows),
        "swap_rate_same_rows": recommendations.swap_rate(a, same_rows, chunk["request"], k=SHOWN),
        "overlap_same_rows": recommendations.top_k_overlap(a, same_rows, chunk["request"], k=SHOWN),
        "clicks_best": float(truth[rows_of(top(truth))].sum() / (len(truth) / CANDIDATES)),
        "clicks_by_chance": float(truth.mean() * SHOWN),
    }


class World:
    """A model that serves and learns; two of one way and seed begin with the same weights."""

    def __init__(self, way: Way, source: SyntheticSource, seed: int) -> None:
        base = config_lib.Config(
            model=config_lib.Model(norm_value=1.4),
            train=config_lib.Train(batch_size=BATCH, dense_learning_rate=0.01, embedding_learning_rate=0.3),
        )
        config = variants.with_fields(base, variants.of_activation(way.activation))
        tf.keras.utils.set_random_seed(seed)
        self._model = from_config.model(config, source.encoder)
        self._model.compile(
            optimizer=from_config.optimizer(self._model, config.train, total_steps=1), steps_per_execution=STEPS
        )
        self._names = [feature.name for feature in source.schema.features]
        self._anchor = way.anchor
        self._average = AverageWeights(way.half_life, averaged=None) if way.half_life else None
        if self._average is not None:
            self._average.averaged = from_config.averaged(config, source.encoder)
        self._predict = tf.function(lambda features: self._serving()(features, training=False))

    def _serving(self) -> Any:
        return self._model if self._average is None else self._average.averaged

    def _features(self, chunk: Day, rows: Any = slice(None)) -> dict[str, Any]:
        return {name: chunk[name][rows] for name in self._names}

    def serves(self, chunk: Day) -> np.ndarray:
        """Predictions for all rows of a day."""
        prediction: np.ndarray = self._predict(self._features(chunk)).numpy().ravel().astype(np.float64)
        return prediction

    def train(self, chunk: Day, rows: np.ndarray, order: np.ndarray) -> None:
        """Trains on some rows of a day, in this order of them."""
        rows = rows[order[: len(rows) // BATCH * BATCH]]
        one = self._features(chunk, rows[:1])
        if not self._model.built:
            for model in dict.fromkeys((self._model, self._serving())):
                model(one)
        if self._anchor:
            if not self._model.copies:
                self._model.set_anchor(self._anchor)
            for copy, variable in zip(self._model.copies[0].copies, self._model.dense_variables, strict=True):
                copy.assign(tf.convert_to_tensor(variable))
        data = tf.data.Dataset.from_tensor_slices((self._features(chunk, rows), chunk["label"][rows]))
        callbacks = [] if self._average is None else [self._average]
        self._model.fit(data.batch(BATCH, drop_remainder=True), verbose=0, callbacks=callbacks)


def table(lines: Sequence[Day]) -> str:
    """Means over the days from `SETTLED` on, with intervals over the seeds."""
    columns = {
        "pd": ("PD between the worlds", ".1%"),
        "pd_same_rows": ("PD on the same rows", ".1%"),
        "swap_rate": ("swap rate", ".1%"),
        "overlap": ("overlap", ".1%"),
        "overlap_same_rows": ("overlap on the same rows", ".1%"),
        "clicks_a": ("clicks a request", ".4f"),
        "clicks_apart": ("clicks apart", ".2%"),
    }
    rows = [
        "| | " + " | ".join(title for title, _ in columns.values()) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    last = max(line["day"] for line in lines)
    for way in dict.fromkeys(line["way"] for line in lines):
        shown = []
        for name, (_, form) in columns.items():
            means = [mean(lines, way, seed, name, range(SETTLED, last + 1)) for seed in seeds_of(lines)]
            low, high = prediction_difference.interval_over_seeds(means)
            shown.append(f"{statistics.fmean(means):{form}} ({low:{form}} to {high:{form}})")
        rows.append(f"| {way} | {' | '.join(shown)} |")
    best, chance = (statistics.fmean(line[name] for line in lines) for name in ("clicks_best", "clicks_by_chance"))
    return "\n".join(
        [*rows, "", f"Clicks a request of lists by the true probabilities {best:.4f}, by chance {chance:.4f}."]
    )


def seeds_of(lines: Sequence[Day]) -> list[int]:
    return sorted({line["seed"] for line in lines})


def mean(lines: Sequence[Day], way: str, seed: int, name: str, days: Sequence[int]) -> float:
    found = (line for line in lines if (line["way"], line["seed"]) == (way, seed) and line["day"] in days)
    return statistics.fmean(line[name] for line in found)


def draw(lines: Sequence[Day], path: str) -> None:
    """PD and overlap between the worlds and, dashed, on the same rows; clicks a request; means over the seeds."""
    import matplotlib
    from matplotlib.figure import Figure

    from smooth_recs.reports.charts import SERIES, STYLE, percent_ticks

    days, ways = sorted({line["day"] for line in lines}), list(dict.fromkeys(line["way"] for line in lines))
    panels = {
        "PD; dashed: trained on the same rows": ("pd", "pd_same_rows"),
        "Overlap of the lists": ("overlap", "overlap_same_rows"),
        "Clicks a request": ("clicks_a",),
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12.0, 4.4), layout="constrained")
        for axes, (title, names) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
            for position, way in enumerate(ways):
                for name, style in zip(names, ("-", "--"), strict=False):
                    means = [
                        statistics.fmean(mean(lines, way, seed, name, [day]) for seed in seeds_of(lines))
                        for day in days
                    ]
                    colour = SERIES[position % len(SERIES)][0]
                    axes.plot(days, means, style, color=colour, label=way if style == "-" else None)
            axes.set_title(title, loc="left")
            axes.set_xlabel("day")
            axes.set_xticks(range(0, max(days) + 1, 5))
            if len(names) == 2:
                percent_ticks(axes.yaxis, 5)
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(ways), frameon=False
        )
        figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
