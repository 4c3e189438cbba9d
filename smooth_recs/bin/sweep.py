"""Trains several pairs of siblings for each variant of a configuration, and shows what each trades for what.

  python -m smooth_recs.bin.sweep --config=sweeps/figure4 --workdir=runs/figure4
  python -m smooth_recs.bin.sweep --config=demo --workdir=runs/sweep --pairs=5 \
      --activations=relu,smelu:0.1:0.2:0.4,swish:10:5 --grid=model.norm_value=1.0,1.4 --dry_run

The first variant is the baseline, which for figure 4 is ReLU. Every pair is a run of its own under WORKDIR/cells/, so
the command can be killed at any time and started again, and several may share a workdir. A command that is killed
leaves its last training to end by itself.

--choose picks a variant, and says on pairs that did not choose it how sure it is that it is better; --confirm does so
with fresh seeds. Leaves results.json, results.csv, tensorboard/, results.md, report.html, figure4.png and figure4.svg,
and with a goal choice.json and chosen.py, a configuration for --config.
"""

from __future__ import annotations

import dataclasses

from absl import flags

from smooth_recs.bin import _command, _flags

_CONFIG = _flags.define(read=_flags.load_sweep)
_WORKDIR = _command.required_string("workdir", "folder that receives the runs and the results")
_ACTIVATIONS = flags.DEFINE_string(
    "activations",
    "",
    "with commas: names, name:beta:beta:... (0.3rms: relative) or dictionaries of a layer; the first is the baseline",
)
_GRID = flags.DEFINE_multi_string("grid", [], "FIELD=VALUE,VALUE,... of --config; once for each field that is varied")
_TUNE = flags.DEFINE_multi_string(
    "tune",
    [],
    "FIELD=VALUE,VALUE,... of --config, such as learning rates: each activation trains with the values that are best "
    "for it on validation rows; once for each field",
)
_PAIRS = flags.DEFINE_integer(
    "pairs", None, "pairs of siblings for each variant, a seed each (default: 3, or what the file says)", lower_bound=1
)
_CHOOSE = flags.DEFINE_string(
    "choose",
    None,
    "what is wanted: 'min pd subject to per_query_auc_loss <= relu', 'min per_query_auc_loss subject to pd <= 0.08'; "
    "bounds name a number or a variant (relu, relu + 0.5%), several are joined by and (default: what the file says)",
)
_CONFIRM = flags.DEFINE_integer(
    "confirm",
    0,
    "pairs with fresh seeds, of the chosen variant and the baseline, that tell whether it is really better",
)
_HALVING = flags.DEFINE_boolean(
    "halving", False, "a cheap search: one pair of all variants, a second one of the half nearest the front, and so on"
)
_ALLOW_COLLAPSED = flags.DEFINE_boolean(
    "allow_collapsed",
    None,
    "count runs as measured whose model is constant, or worse than always predicting the click rate "
    "(default: what the file says)",
)
_JOBS = _command.jobs()
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "list the variants with their cost, the runs and their time, train nothing"
)


def main() -> None:
    from smooth_recs.experiments.sweeps import choice, sweep_runs, workflow

    sweep = _flags.read_sweep(_CONFIG.value, str(_ACTIVATIONS.value), _GRID.value, _PAIRS.value, _TUNE.value)
    sweep = dataclasses.replace(sweep, choose=sweep.choose if _CHOOSE.value is None else _CHOOSE.value)
    if _ALLOW_COLLAPSED.value is not None:
        sweep = dataclasses.replace(sweep, allow_collapsed=bool(_ALLOW_COLLAPSED.value))
    workdir, confirm, halving = str(_WORKDIR.value), int(_CONFIRM.value), bool(_HALVING.value)
    if not _DRY_RUN.value:
        print(workflow.run(sweep, workdir, confirm=confirm, halving=halving, jobs=_JOBS.value))
        return
    workflow.goal_of(sweep, confirm)
    print(sweep_runs.outline(sweep, workdir))
    if halving:
        rounds = choice.round_sizes(len(sweep.variants), len(sweep.seeds))
        print(f"--halving trains {' + '.join(map(str, rounds))} cells of these")
    if confirm:
        print(f"--confirm trains {confirm} more of the chosen variant and of each that it is compared with")


if __name__ == "__main__":
    _command.run(main, trains=True)
