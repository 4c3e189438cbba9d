"""Trains ReLU and SmeLU on the synthetic click log, two pairs of siblings, and shows them side by side.

  python -m smooth_recs.bin.demo
  python -m smooth_recs.bin.demo --config.data.examples=200000 --config.seed=7

Leaves two ordinary runs, WORKDIR/relu and WORKDIR/smelu, and WORKDIR/report.html over both. It takes two minutes.
"""

from __future__ import annotations

import os

from absl import flags

from smooth_recs.bin import _command, _configurations, _flags
from smooth_recs.errors import InputError

_READY = "demo"
_CONFIG = _flags.define(default=_READY)
_WORKDIR = flags.DEFINE_string("workdir", "runs/demo", "folder that receives the runs and the report")


def main() -> None:
    from smooth_recs._files import write_json
    from smooth_recs.experiments import demonstration

    if "model.activation" in _flags.overridden():
        raise InputError(
            f"--config.model.activation must not be given: the demo trains {' and '.join(demonstration.ACTIVATIONS)}"
        )
    folder, config = str(_WORKDIR.value), _READY
    if _CONFIG.value != _configurations.load(_READY):
        config = os.path.join(folder, "config.json")
        write_json(config, _CONFIG.value.to_dict())
    demonstration.run(config, folder, _command.called_as)


if __name__ == "__main__":
    _command.run(main)
