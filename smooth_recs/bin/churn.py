"""Trains the most accurate model whose prediction difference (PD) to the live one keeps a budget.

  python -m smooth_recs.bin.churn --config=demo --config.evaluation.live=models/ranker \\
      --max_pd_live=0.05 --workdir=runs/next

A limit on the difference from the live model is distillation from that model with some weight (Jiang et al. 2022,
arXiv 2106.02654). The command searches the weight: runs with 0 and 1 first, then a bisection on a log scale. Of those
that keep the budget, the run of the lowest log loss is the answer. Its best sibling that keeps the budget becomes the
next version under WORKDIR/export/. Every run is one of its own under WORKDIR/cells/, so the command can be killed at
any time and started again.

Leaves churn.json, churn.md, report.html and churn.png, which draw PD to the live model and log loss against the weight.
Where no weight keeps the budget, the exit status is 3, and one line has the best PD reached.
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command, _flags

_CONFIG = _flags.define()
_WORKDIR = _command.required_string("workdir", "folder that receives the runs, the results and the export")
_MAX_PD_LIVE = flags.DEFINE_float("max_pd_live", None, "the budget: the most that PD to evaluation.live may be")
_RUNS = flags.DEFINE_integer("runs", 6, "how many runs at most: the two ends, and steps of the bisection")


def main() -> None:
    from smooth_recs.errors import InputError
    from smooth_recs.experiments import churn_budget

    if _MAX_PD_LIVE.value is None:
        raise InputError("--max_pd_live must be given: it is the budget")
    print(churn_budget.run(churn_budget.Plan(_CONFIG.value, _MAX_PD_LIVE.value, _RUNS.value), str(_WORKDIR.value)))


if __name__ == "__main__":
    _command.run(main, trains=True)
