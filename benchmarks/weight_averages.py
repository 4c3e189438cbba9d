"""What averaging the weights costs: processor time of a step with either form, relative to the same step without.

    python benchmarks/weight_averages.py --rounds=7

A model on the demo's shape and on Criteo's (`throughput_contenders/work.py`), each without an average, with one in
passes and with one whose tables are kept by row. Passes need calls of fewer steps; `short calls` is a model without an
average that makes the same calls. All are in one process and take turns, since the clock of a shared machine jumps;
medians of the turns' ratios are printed. The half-life is 3% of a run: 117 steps of the demo's
1,000,000 rows, 660 of Criteo's 45,000,000.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from throughput_contenders import ours
from throughput_contenders.fitting import by_name, dataset
from throughput_contenders.work import WORKS, Work

from smooth_recs.callbacks import AverageWeights
from smooth_recs.models import SiblingModel, averaging

HALF_LIVES = {"small": 117, "criteo": 660}
FORMS = ("none", "short calls", "pass", "by row")
WITHOUT = FORMS[:2]
GOALS = {"pass": 1.02, "by row": 1.06}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(HALF_LIVES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="a turn; default: some passes")
    arguments = parser.parse_args()
    print("| shape | form | steps between passes | a step, ms | of a step without | goal | memory |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in arguments.works:
        for line in lines(name, WORKS[name], arguments):
            print(line, flush=True)


def lines(name: str, work: Work, arguments: argparse.Namespace) -> list[str]:
    """The table's lines of one shape."""
    half_life, data = HALF_LIVES[name], dataset(work, by_name(work))
    every = averaging.steps_between_passes(half_life)
    executed = min(every, work.per_execution)
    every = averaging.steps_between_passes(half_life, executed)
    steps = arguments.steps or max(every, every * (work.steps // every))
    models = {
        form: model(work, data, form, half_life, work.per_execution if form == "none" else executed) for form in FORMS
    }
    turns: dict[str, list[float]] = {form: [] for form in FORMS}
    for round_number in range(arguments.rounds + 1):
        for form in FORMS if round_number % 2 else FORMS[::-1]:
            callbacks = [] if form in WITHOUT else [AverageWeights(half_life, every=every)]
            begun = time.process_time()
            models[form].fit(data, steps_per_epoch=steps, verbose=0, callbacks=callbacks)
            if round_number:  # the first one traces
                turns[form].append((time.process_time() - begun) / steps)
    found = []
    for form in FORMS:
        ratio = statistics.median(one / none for one, none in zip(turns[form], turns["none"], strict=True))
        average = models[form].weight_average
        variables = [] if average is None else average.variables
        size = sum(variable.shape.num_elements() * variable.dtype.size for variable in variables)
        cells = [name, form, "" if form in WITHOUT else str(every), f"{1e3 * statistics.median(turns[form]):.2f}"]
        cells += [f"{ratio:.3f}", str(GOALS.get(form, "")), f"{size / 2**20:.0f} MiB"]
        found.append("| " + " | ".join(cells) + " |")
    return found


def model(work: Work, data: Any, form: str, half_life: float, executed: int) -> SiblingModel:
    """A model, with an average of this form."""
    made = SiblingModel(lambda: ours.compiled(work, **ours.RECIPE), replicas=1, differ="init")
    made.compile(steps_per_execution=executed)
    made.build_replicas(data.element_spec)
    if form not in WITHOUT:
        made.keep_average(half_life, by_row=form == "by row")
    return made


if __name__ == "__main__":
    main()
