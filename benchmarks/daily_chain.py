"""A week of daily retrainings on a log that drifts: how far each day's model is from yesterday's, and how good it is.

  python benchmarks/daily_chain.py --workdir=runs/chain --seeds=1-3

The synthetic log of `configs/online.py`, whose items' log-odds swing, is cut into days. A first model is trained on
three of them. Then on each of five days the next one is trained, at constant rates, and takes the place of the one that
serves; both predict the first rows of the day after, which no model has seen. The ways to retrain:

- nothing: from random weights, on the last three days;
- warm start: from yesterday's weights, on the new day alone;
- averaging: as nothing, with `train.average`;
- budget: as nothing, by `bin.churn`: the most accurate model whose PD to the live one is at most --max_pd_live;
- all: warm start, averaging and budget together.

Each serves its own models from day to day. Prints a Markdown table, means over the days with 95% intervals over seeds,
and writes WORKDIR/days.csv and chain.png. Finished runs are not repeated.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import flags

from smooth_recs import config as config_lib
from smooth_recs import prediction_difference
from smooth_recs._files import read_json
from smooth_recs.bin import _command
from smooth_recs.errors import GateNotMet, InputError
from smooth_recs.experiments import churn_budget, variants
from smooth_recs.experiments.cells import Cell, Folder

_WORKDIR = _command.required_string("workdir", "folder that receives the log, the runs, days.csv and chain.png")
_SEEDS = flags.DEFINE_string("seeds", "1-3", "FIRST-LAST, at least two")
_ROWS = flags.DEFINE_integer("rows", 50_000, "of a day")
_MAX_PD_LIVE = flags.DEFINE_float("max_pd_live", 0.1, "the budget for PD to the live model")
_HALF_LIFE = flags.DEFINE_integer("half_life", 20, "of the averages, in steps")

WINDOW, DAYS = 3, 5
TESTED = 20_000


@dataclasses.dataclass(frozen=True)
class Way:
    """How the next model is trained."""

    activation: str
    warm: bool = False
    averaged: bool = False
    budget: bool = False


WAYS = {
    "nothing, ReLU": Way("relu"),
    "nothing": Way("smelu:0.15"),
    "warm start": Way("smelu:0.15", warm=True),
    "averaging": Way("smelu:0.15", averaged=True),
    "budget": Way("smelu:0.15", budget=True),
    "all": Way("smelu:0.15", warm=True, averaged=True, budget=True),
}
COLUMNS = ("way", "seed", "day", "pd_live", "log_loss", "auc_loss", "live_log_loss", "weight")
Line = dict[str, Any]
"""A way, seed and day: PD to yesterday's model, both models' losses, and the weight of distillation."""


def write_log(folder: Path) -> config_lib.Schema:
    """Writes `day_N.parquet` and, of its first rows, `test_N.parquet`; returns the schema."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    from smooth_recs.data.synthetic import SyntheticSource

    days = WINDOW + DAYS + 1
    rows = _ROWS.value
    log = config_lib.SyntheticLog(drift=2.0)
    source = SyntheticSource(config_lib.Data(examples=days * rows, synthetic=log))
    if (folder / f"test_{days - 1}.parquet").exists():
        return source.schema
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [
        {**chunk["raw"], "label": chunk["label"], "request": chunk["query_id"]}
        for chunk in source.train(raw=True).as_numpy_iterator()
    ]
    columns = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    columns["row"] = np.arange(len(columns["label"]))
    arrays = {name: list(values) if values.ndim > 1 else pa.array(values) for name, values in columns.items()}
    table = pa.table(arrays)
    for day in range(days):
        of_day = table.slice(day * rows, rows)
        parquet.write_table(of_day, folder / f"day_{day}.parquet")
        parquet.write_table(of_day.slice(0, TESTED), folder / f"test_{day}.parquet")
    return source.schema


def configured(way: Way, seed: int, day: int, log: Path, schema: config_lib.Schema, live: str, warm: str) -> Any:
    """The configuration of the model that is trained when `day` has ended."""
    days = range(day, day + 1) if way.warm and warm else range(day - WINDOW + 1, day + 1)
    base = config_lib.Config(
        seed=seed,
        data=config_lib.Data(
            source="parquet",
            schema=schema,
            path=",".join(str(log / f"day_{each}.parquet") for each in days),
            eval_path=str(log / f"test_{day + 1}.parquet"),
            shuffle_window=2_048,
        ),
        model=config_lib.Model(norm_value=1.4),
        siblings=config_lib.Siblings(replicas=1),
        train=config_lib.Train(
            dense_learning_rate=0.01,
            embedding_learning_rate=0.1,
            average=_HALF_LIFE.value if way.averaged else 0,
            warm_start=warm if way.warm else "",
            evaluations=0,
        ),
        evaluation=config_lib.Evaluation(estimate=False, live=live, slices=()),
    )
    return variants.with_fields(base, variants.of_activation(way.activation))


def retrained(way: Way, seed: int, log: Path, schema: config_lib.Schema, workdir: Path) -> list[Line]:
    """One way's days, the first model's left out."""
    lines = []
    live = warm = ""
    for day in range(WINDOW - 1, WINDOW + DAYS):
        config, here = configured(way, seed, day, log, schema, live, warm), workdir / f"day_{day}"
        folder, weight = Folder(str(here)), 0.0
        if way.budget and live:
            plan = churn_budget.Plan(config, _MAX_PD_LIVE.value, runs=4)
            try:
                churn_budget.run(plan, str(here))
            except GateNotMet as error:  # the live model stays
                print(f"{workdir.name}, day {day}: {error}")
            found = read_json(str(here / "churn.json"))
            loss_live = found["live"]
            if found["chosen"] is None:
                lines.append(
                    {"day": day, "pd_live": 0.0, **{name: loss_live[name] for name in ("log_loss", "auc_loss")}}
                )
                continue
            weight, cell = found["chosen"], plan.cell(found["chosen"])
        else:
            cell = Cell(f"{workdir.name}, day {day}", config)
            folder.run([cell])
        metrics = folder.metrics(cell)
        warm = folder.workdir(cell)
        if live:
            (replica,) = metrics["replicas"]
            lines.append(
                {
                    "day": day,
                    "pd_live": metrics["pd_live"]["relative"],
                    **{name: replica[name] for name in ("log_loss", "auc_loss")},
                    "live_log_loss": metrics["pd_live"]["accuracy"]["log_loss"],
                    "weight": weight,
                }
            )
        live = warm
    return lines


def table(lines: Sequence[Line]) -> str:
    """Means over the days, with intervals over the seeds."""
    rows = ["| way | PD to the live model | log loss | AUC loss |", "| --- | --- | --- | --- |"]
    for way in dict.fromkeys(line["way"] for line in lines):
        shown = []
        for name, form in {"pd_live": ".1%", "log_loss": ".4f", "auc_loss": ".4f"}.items():
            seeds = sorted({line["seed"] for line in lines})
            means = [
                statistics.mean(line[name] for line in lines if (line["way"], line["seed"]) == (way, seed))
                for seed in seeds
            ]
            low, high = prediction_difference.interval_over_seeds(means)
            shown.append(f"{statistics.mean(means):{form}} ({low:{form}} to {high:{form}})")
        rows.append(f"| {way} | {' | '.join(shown)} |")
    return "\n".join(rows)


def draw(lines: Sequence[Line], path: str) -> None:
    """PD to the live model and log loss, day by day, means over the seeds."""
    import matplotlib
    from matplotlib.figure import Figure

    from smooth_recs.reports.charts import SERIES, STYLE, percent_ticks

    days = sorted({line["day"] for line in lines})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.2), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("pd_live", "log_loss"), strict=True):
            for way in dict.fromkeys(line["way"] for line in lines):
                means = [
                    statistics.mean(line[name] for line in lines if (line["way"], line["day"]) == (way, day))
                    for day in days
                ]
                style = "--" if "ReLU" in way else "-"
                position = list(dict.fromkeys(each.split(",")[0] for each in WAYS)).index(way.split(",")[0])
                axes.plot(range(1, len(days) + 1), means, style, color=SERIES[position % len(SERIES)][0], label=way)
            axes.set_xlabel("day")
            axes.set_xticks(range(1, len(days) + 1))
        pd, loss = figure.axes
        pd.set_title("PD to the live model", loc="left")
        loss.set_title("Log loss on the day after", loc="left")
        pd.set_ylim(bottom=0)
        percent_ticks(pd.yaxis, 5)
        figure.legend(*pd.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path, dpi=150, facecolor="white", metadata={"Software": None})


def main() -> None:
    first, _, last = str(_SEEDS.value).partition("-")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise InputError(f"--seeds must be FIRST-LAST with at least two seeds, got {_SEEDS.value!r}")
    workdir = Path(str(_WORKDIR.value))
    log = workdir / "log"
    schema = write_log(log)
    lines: list[Line] = []
    for seed in range(int(first), int(last) + 1):
        for name, way in WAYS.items():
            here = workdir / f"seed_{seed}" / name.replace(", ", "_").replace(" ", "_")
            lines += [{"way": name, "seed": seed, **line} for line in retrained(way, seed, log, schema, here)]
    with (workdir / "days.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    draw(lines, str(workdir / "chain.png"))
    print(table(lines))


if __name__ == "__main__":
    _command.run(main)
