"""Exact accuracy of many rows: seconds a measure takes, and how far it is from scikit-learn's.

    python benchmarks/ranking_losses.py --rows=10000000

Predictions have ties, weights are exponential, requests hold ten rows. Times are processor seconds of one core; the
comparison is on fewer rows, 1,000,000 by default, where scikit-learn has the measure.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import sklearn.metrics

from smooth_recs.measures import accuracy, recommendations
from smooth_recs.measures.increases import increase


class Rows(NamedTuple):
    label: Any
    a: Any
    b: Any
    weight: Any
    query: Any


OURS: dict[str, Callable[[Rows], Any]] = {
    "log loss": lambda rows: accuracy.log_loss(rows.label, rows.a, rows.weight),
    "normalised entropy": lambda rows: accuracy.normalized_entropy(rows.label, rows.a, rows.weight),
    "calibration": lambda rows: accuracy.calibration(rows.label, rows.a, rows.weight),
    "AUC loss": lambda rows: accuracy.auc_loss(rows.label, rows.a, rows.weight),
    "AUC loss per query": lambda rows: accuracy.per_query_auc_loss(rows.label, rows.a, rows.query, rows.weight).value,
    "swap rate at 3": lambda rows: recommendations.swap_rate(rows.a, rows.b, rows.query),
    "Kendall distance": lambda rows: recommendations.kendall_distance(rows.a, rows.b, rows.query),
    "increase of AUC loss": lambda rows: increase("auc_loss", *rows[:4], query_id=rows.query),
}
THEIRS: dict[str, Callable[[Rows], float]] = {
    "log loss": lambda rows: sklearn.metrics.log_loss(rows.label, rows.a, sample_weight=rows.weight),
    "AUC loss": lambda rows: 1 - sklearn.metrics.roc_auc_score(rows.label, rows.a, sample_weight=rows.weight),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10**7)
    parser.add_argument("--compared", type=int, default=10**6)
    arguments = parser.parse_args()
    many, compared = simulated(arguments.rows), simulated(arguments.compared)
    print(f"| measure | seconds, {arguments.rows:,} rows | from scikit-learn's, {arguments.compared:,} rows |")
    print("| --- | --- | --- |")
    for name, measure in OURS.items():
        start = time.process_time()
        measure(many)
        seconds = time.process_time() - start
        apart = f"{abs(measure(compared) - THEIRS[name](compared)):.0e}" if name in THEIRS else ""
        print(f"| {name} | {seconds:.1f} | {apart} |", flush=True)


def simulated(rows: int) -> Rows:
    rng = np.random.default_rng(0)
    probability = rng.beta(1, 20, rows)
    a, b = (np.round(probability * np.exp(rng.normal(0, 0.1, rows)), 5).clip(0, 1) for _ in range(2))
    label = (rng.uniform(size=rows) < probability).astype(np.float64)
    return Rows(label, a, b, rng.exponential(size=rows), rng.integers(0, max(1, rows // 10), rows))


if __name__ == "__main__":
    main()
