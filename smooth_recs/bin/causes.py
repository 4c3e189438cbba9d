"""Trains pairs of siblings that differ in one cause each, and attributes the prediction difference (PD) to the causes.

  python -m smooth_recs.bin.causes --config=demo --workdir=runs/causes
  python -m smooth_recs.bin.causes --config=demo --workdir=runs/causes --pairs=5 \\
      --activations=relu,smelu:0.1,smelu:0.2 --dry_run

The causes: initialisation, the order of the examples (in windows of the configuration's size, of a tenth of it, and
over the whole log), and hardware chance with and without deterministic ops. Every pair is a run of its own under
WORKDIR/cells/, so the command can be killed at any time and started again, and several may share a workdir. A command
that is killed leaves its last training to end by itself. Leaves causes.json, causes.md, causes.html and causes.png.
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command, _flags

_CONFIG = _flags.define()
_WORKDIR = _command.required_string("workdir", "folder that receives the runs and the results")
_PAIRS = flags.DEFINE_integer("pairs", 3, "pairs of siblings for each cause and activation, a seed each", lower_bound=1)
_ACTIVATIONS = flags.DEFINE_string(
    "activations",
    "relu,smelu",
    "with commas: names, name:beta (0.3rms: relative) or dictionaries of a layer; the first is the baseline",
)
_JOBS = _command.jobs()
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "list the runs and the time they would take, train nothing")


def main() -> None:
    from smooth_recs.experiments import attribution, cells, variants

    plan = attribution.Plan(_CONFIG.value, variants.listed(str(_ACTIVATIONS.value)), _PAIRS.value)
    folder = cells.Folder(str(_WORKDIR.value), _JOBS.value)
    if _DRY_RUN.value:
        print(folder.outline(plan.cells()))
        return
    folder.run(plan.cells())
    print(attribution.write(attribution.table(plan, folder), str(_WORKDIR.value)))


if __name__ == "__main__":
    _command.run(main, trains=True)
