"""Trains siblings of one model, measures their prediction difference (PD) and accuracy, and exports each.

  python -m smooth_recs.bin.train --config=demo --workdir=runs/demo
  python -m smooth_recs.bin.train --config=movielens --workdir=runs/relu \\
      --config.data.path=ml-100k --config.model.activation=relu

The same command on the same workdir resumes a run that was killed. It leaves metrics.json, report.html, checkpoints/,
tensorboard/ and export/replica_K/VERSION/ there.
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command, _flags

_CONFIG = _flags.define()
_WORKDIR = _command.required_string("workdir", "folder that receives the results")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "print parameters, memory and bytes per step, train nothing")


def main() -> None:
    from smooth_recs import training

    if _DRY_RUN.value:
        print(training.plan(_CONFIG.value, str(_WORKDIR.value)))
        return
    training.train_and_evaluate(_CONFIG.value, str(_WORKDIR.value))


if __name__ == "__main__":
    _command.run(main)
