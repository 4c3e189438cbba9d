"""Draws the paper's figures 1 to 3, and counts the local minima of random networks against beta.

  python -m smooth_recs.bin.figures --workdir=runs/figures
  python -m smooth_recs.bin.figures --workdir=runs/figures --only=minima --networks=200 --norm_values=0.7,1,1.4
  python -m smooth_recs.bin.figures --workdir=runs/landscape --runs=runs/demo/relu,runs/demo/smelu

Each figure is a PNG, an SVG and its data as CSV: activations (figure 1), curves (figure 2: the loss along one input of
random networks), surfaces (figure 3: over two inputs), minima. figures.html holds all that the command made. What the
paper states about its figures is fixed; what it leaves out are the flags.

With --runs, or --export_a, --export_b and --config, it looks at trained networks instead: the loss of held-out rows on
the line between siblings, where a barrier may lie, and in random directions. landscape.html holds what it found.
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command, _flags
from smooth_recs.errors import InputError
from smooth_recs.experiments.drawing_settings import NAMES, Plan, Settings

_WORKDIR = _command.required_string("workdir", "folder that receives the figures")
_ONLY = flags.DEFINE_list("only", ",".join(NAMES), "with commas: which figures")
_SETTINGS = _flags.define_settings(Settings)
_RUNS = flags.DEFINE_list("runs", [], "landscape: folders of finished runs, with commas")
_EXPORT_A = flags.DEFINE_string("export_a", None, "landscape: a SavedModel, or a folder of versions")
_EXPORT_B = flags.DEFINE_string("export_b", None, "landscape: another one of the same network")
_CONFIG = _flags.define(required=False)
_PLAN = _flags.define_settings(Plan)


def main() -> None:
    settings, plan = _SETTINGS(), _PLAN()
    if _CONFIG.present and not (_EXPORT_A.value or _EXPORT_B.value):
        raise InputError("--config must be given with --export_a and --export_b only: it tells their data")
    if _RUNS.value or _EXPORT_A.value or _EXPORT_B.value:
        print(_landscape(plan))
        return
    from smooth_recs.experiments.figures import figure_page  # here, so that wrong flags do not wait for TensorFlow

    names = figure_page.checked(_ONLY.value)
    folder = figure_page.opened(str(_WORKDIR.value))
    sections = figure_page.sections(names, settings, folder)
    print(f"page         {figure_page.write_page(sections, settings, folder)}")


def _landscape(plan: Plan) -> str:
    exports = [export for export in (_EXPORT_A.value, _EXPORT_B.value) if export]
    if exports and (_RUNS.value or len(exports) < 2 or not _CONFIG.present):
        raise InputError("--export_a, --export_b and the --config of their data must be given together, without --runs")
    from smooth_recs.experiments.landscape import landscape_runs

    if exports:
        return landscape_runs.at_exports(exports[0], exports[1], _CONFIG.value, str(_WORKDIR.value), plan)
    return landscape_runs.at_runs(_RUNS.value, str(_WORKDIR.value), plan)


if __name__ == "__main__":
    _command.run(main)
