"""Trains several pairs of siblings for each variant of a configuration, and shows what each trades for what.

  python -m smooth_recs.bin.sweep --config=configs/sweeps/figure4.py --workdir=runs/figure4
  python -m smooth_recs.bin.sweep --config=configs/demo.py --workdir=runs/sweep --pairs=5 \
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
from collections.abc import Sequence
from typing import Any

from absl import flags

from smooth_recs import fields
from smooth_recs.bin import _command, _flags
from smooth_recs.bin._flags import FieldParser
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.sweeps import Sweep

_DEFAULT_PAIRS = 3
_of_file: list[Sweep] = []  # the sweep of the file of --config, if that has one


def read(path: str) -> Config:
    """The configuration that all variants of a sweep's file have in common, or the configuration of another file."""
    if not path.endswith(".json"):
        module = _flags.execute(path)
        if hasattr(module, "get_sweep"):
            _of_file[:] = [_flags.call(module, "get_sweep", Sweep)]
            return _of_file[0].config
    return _flags.load(path)


def read_sweep(config: Config, activations: str, grid: Sequence[str], pairs: int | None) -> Sweep:
    """The sweep of the file, with overrides in `config`; of a configuration, that of the two flags.

    Raises:
      InputError: flags that contradict the file, name what there is not, or are missing.
    """
    from smooth_recs.experiments import variants  # here, so that --help does not wait for TensorFlow

    if _of_file:
        if activations or grid:
            raise InputError(
                "--activations and --grid must not be given where get_sweep() of --config has the variants"
            )
        (found,) = _of_file
        return dataclasses.replace(found, config=config, pairs=pairs or found.pairs)
    if not activations and not grid:
        raise InputError("--activations or --grid must be given where the file of --config has no get_sweep()")
    texts = variants.listed(activations)
    if activations and not texts:
        raise InputError(f"--activations must be one or more, got {activations!r}")
    values = dict(_values(text) for text in grid)
    if len(values) < len(grid):
        raise InputError(f"--grid must be given once a field, got {', '.join(grid)}")
    found_variants = variants.crossed(config, texts, values)
    return Sweep(config, found_variants, found_variants[0].name, pairs or _DEFAULT_PAIRS)


def _values(text: str) -> tuple[str, list[Any]]:
    """`model.norm_value=1.0,1.4` as the field and its values."""
    from smooth_recs.experiments import variants

    path, equals, values = text.partition("=")
    if not equals or not variants.listed(values):
        raise InputError(f"--grid must be FIELD=VALUE,VALUE,..., got {text!r}")
    _flags.check_field(path)
    (kind,) = (kind for name, kind, _ in fields.walk(Config()) if name == path)
    try:
        return path, [FieldParser(kind).parse(value) for value in variants.listed(values)]
    except ValueError as error:
        raise InputError(f"--grid: every value of {path} {error}, got {values!r}") from error


_CONFIG = _flags.define(read=read)
_WORKDIR = _command.required_string("workdir", "folder that receives the runs and the results")
_ACTIVATIONS = flags.DEFINE_string(
    "activations", "", "with commas: names, name:beta:beta:... or dictionaries of a layer; the first is the baseline"
)
_GRID = flags.DEFINE_multi_string("grid", [], "FIELD=VALUE,VALUE,... of --config; once for each field that is varied")
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
_DRY_RUN = flags.DEFINE_boolean(
    "dry_run", False, "list the variants with their cost, the runs and their time, train nothing"
)


def main() -> None:
    from smooth_recs.experiments.sweeps import choice, sweep_runs, workflow

    sweep = read_sweep(_CONFIG.value, str(_ACTIVATIONS.value), _GRID.value, _PAIRS.value)
    sweep = dataclasses.replace(sweep, choose=sweep.choose if _CHOOSE.value is None else _CHOOSE.value)
    workdir, confirm, halving = str(_WORKDIR.value), int(_CONFIRM.value), bool(_HALVING.value)
    if not _DRY_RUN.value:
        print(workflow.run(sweep, workdir, confirm=confirm, halving=halving))
        return
    workflow.goal_of(sweep, confirm)
    print(sweep_runs.outline(sweep, workdir))
    if halving:
        rounds = choice.round_sizes(len(sweep.variants), len(sweep.seeds))
        print(f"--halving trains {' + '.join(map(str, rounds))} cells of these")
    if confirm:
        print(f"--confirm trains {confirm} more of the chosen variant and of each that it is compared with")


if __name__ == "__main__":
    _command.run(main)
