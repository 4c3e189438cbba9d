"""A run, or several beside each other, as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from smooth_recs.experiments import chart_style, charts, formats, origin, runs, tables, verdict


def write(workdirs: Sequence[str], output: str) -> None:
    """Writes the report of one run, or a comparison of several, of which the first is the baseline.

    The page shows PD (eq. 2) with its interval, the accuracies, their course while training, and all that it takes to
    run it again. It follows the reader's light or dark mode. Equal workdirs give an equal file.

    Args:
      workdirs: of finished runs, each with `config.json`, `manifest.json` and `metrics.json`.
      output: path of the HTML file; its folder is made where it does not exist.

    Raises:
      InputError: no workdir is given, or one does not hold the files of a finished run.

    ```python
    report.write(["runs/demo/relu", "runs/demo/smelu"], "runs/demo/report.html")
    ```
    """
    page = _environment().get_template("report.html.j2").render(_contents(runs.load(workdirs)))
    _make_folder(output)
    Path(output).write_text(page.strip() + "\n", encoding="utf-8")


def picture(workdirs: Sequence[str], output_png: str) -> None:
    """Draws PD with its interval, and the AUC of each replica beside it, a row a run, as a PNG on white.

    Args and Raises: as `write`.
    """
    loaded = runs.load(workdirs)
    _make_folder(output_png)
    charts.picture(loaded, output_png)


def _contents(loaded: Sequence[runs.Run]) -> dict[str, Any]:
    return {
        "runs": loaded,
        "series": chart_style.SERIES,
        "colours": [chart_style.colour_index(position, len(loaded)) for position in range(len(loaded))],
        "charts": _charts(loaded),
        "sentences": verdict.sentences(loaded),
        "caveat": verdict.caveat(loaded),
        "warnings": verdict.warnings(loaded),
        "tables": tables,
        "origin": origin,
    }


def _charts(loaded: Sequence[runs.Run]) -> dict[str, str]:
    """The charts for which there is anything to draw, in the order in which they come up."""
    drawn = {}
    if len(loaded) > 1:
        drawn["pd"] = charts.pd_bars(loaded)
        drawn["auc"] = charts.auc_dots(loaded)
    if tables.histogram(loaded):
        drawn["histogram"] = charts.pd_histogram(loaded)
    for metric, title in (("pd", "PD"), ("auc", "AUC")):
        if any(runs.is_number(entry.get(metric)) for run in loaded for entry in run.history):
            drawn[f"history_{metric}"] = charts.history(loaded, metric, title)
    return drawn


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=formats.percent, decimal=formats.decimal, count=formats.count)
    return environment


def _make_folder(path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
