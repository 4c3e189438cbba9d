"""Estimates of PD across runs: whether what was fitted on one run holds for the models of other runs.

`training.pd_estimate` makes the estimates: from the outputs of a model's units, from summaries of its layers, which do
not depend on the order of the units, and from the prediction alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from smooth_recs import config
from smooth_recs.errors import InputError
from smooth_recs.statistics.bootstrap import spearman
from smooth_recs.training import evaluation, pd_estimate, results
from smooth_recs.training.pd_estimate import Estimator, Examples, Index

Correlations = dict[str, dict[str, Any] | None]

HEADINGS = {
    "units": "units",
    "summaries": "summaries",
    "prediction_only": "prediction only",
    "measured": "PD of the first",
}


def across(workdirs: Sequence[str]) -> dict[str, Any]:
    """Fits on the first of some finished runs, and tests there and on each other run's own model and PD.

    Only rows that were not fitted on are tested on; the runs must have the same held-out rows. `measured`, in the other
    runs, is the rank correlation of the first run's measured PD with the run's own: what two pairs have in common.

    Returns:
      `fitted_on`, `rows_fitted`, `rows_tested`, `method`, and in `runs` for each workdir `pd`, the mean over the tested
      rows, and `rank_correlation` by inputs: `value` and `interval`, or None where it is not defined.

    Raises:
      InputError: no workdir, one without a finished run of two or more siblings, or runs with other held-out rows.
    """
    if not workdirs:
        raise InputError("workdirs must name at least one finished run, got none")
    first, columns = _observed(workdirs[0])
    fitting, testing = pd_estimate.halves(first.request)
    estimators = [pd_estimate.fit(inputs, first, fitting) for inputs in pd_estimate.INPUTS]
    runs = [_tested(workdirs[0], estimators, first, first, testing)]
    for workdir in workdirs[1:]:
        examples, others = _observed(workdir)
        # All columns, not only the number of rows: rows of two data sets, or in another order, cannot be compared.
        if any(not np.array_equal(columns[name], others.get(name, ())) for name in columns if name != "prediction"):
            raise InputError(f"workdirs must hold runs with the same held-out rows, got {workdirs[0]} and {workdir}")
        runs.append(_tested(workdir, estimators, first, examples, testing))
    return {
        "fitted_on": workdirs[0],
        "rows_fitted": len(fitting),
        "rows_tested": len(testing),
        "method": pd_estimate.method(estimators),
        "runs": runs,
    }


def table(found: dict[str, Any]) -> str:
    """The rank correlations as text, a line a run."""
    width = max(len("run"), *(len(run["workdir"]) for run in found["runs"]))
    lines = [
        f"fitted on {found['fitted_on']} ({found['rows_fitted']:,} rows), tested on {found['rows_tested']:,} others: "
        "rank correlation with the measured PD, 95% over requests",
        f"{'run':{width}}  {'PD':>7}" + "".join(f"  {heading:25}" for heading in HEADINGS.values()),
    ]
    for run in found["runs"]:
        cells = []
        for name in HEADINGS:
            correlation = run["rank_correlation"].get(name)
            ends = correlation and correlation["interval"]
            between = f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
            cells.append(f"{correlation['value']:.3f}{between}" if correlation else "-")
        lines.append(f"{run['workdir']:{width}}  {run['pd']:7.2%}" + "".join(f"  {cell:25}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _observed(workdir: str) -> tuple[Examples, evaluation.Columns]:
    """What a finished run's first model and its siblings say about the held-out rows."""
    run = results.load(workdir)
    columns = evaluation.collect(run.siblings, run.source, config.Evaluation(slices=())).columns
    rows, replicas = columns["prediction"].shape
    if replicas < 2 or rows < pd_estimate.FEWEST_ROWS:
        raise InputError(
            f"workdir {workdir} must have at least 2 siblings and {pd_estimate.FEWEST_ROWS} held-out rows, "
            f"got {replicas} and {rows}"
        )
    return pd_estimate.observe(run.siblings.replicas[0], run.source.holdout(), columns), columns


def _tested(
    workdir: str, estimators: Sequence[Estimator], first: Examples, examples: Examples, rows: Index
) -> dict[str, Any]:
    fitted, now = first.strengths, examples.strengths
    found: Correlations = {}
    for estimator in estimators:
        # A network with another number of units, or of layers, lacks the inputs that were fitted on.
        lacks_inputs = (estimator.inputs == "units" and fitted.units.shape != now.units.shape) or (
            estimator.inputs == "summaries" and fitted.summaries.shape != now.summaries.shape
        )
        found[estimator.inputs] = None if lacks_inputs else pd_estimate.rank_correlation(estimator, examples, rows)
    if examples is not first:
        found["measured"] = spearman(first.pd[rows], examples.pd[rows], query_id=examples.request[rows])
    return {"workdir": workdir, "pd": float(examples.pd[rows].mean()), "rank_correlation": found}
