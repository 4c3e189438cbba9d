"""The report of a run, or of several beside each other, as one HTML file, and the picture of a README."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from smooth_recs._files import whole_file
from smooth_recs.measures import catalogue
from smooth_recs.measures.catalogue import Measure
from smooth_recs.reports import charts, formats, page, slice_tables, tables, verdict
from smooth_recs.workdir import finished_runs


def write(workdirs: Sequence[str], output: str) -> None:
    """Writes the report of one run, or a comparison of several, of which the first is the baseline.

    The page shows PD (eq. 2) with its interval, where the difference is and what it does to lists of recommendations,
    the accuracies, their course while training, and all that it takes to run it again. It follows the reader's light or
    dark mode. Equal workdirs give an equal file.

    Args:
      workdirs: of finished runs, each with `config.json`, `manifest.json` and `metrics.json`.
      output: path of the HTML file; its folder is made where it does not exist.

    Raises:
      InputError: no workdir is given, or one does not hold the files of a finished run.

    ```python
    report.write(["runs/demo/relu", "runs/demo/smelu"], "runs/demo/report.html")
    ```
    """
    page.write("report.html.j2", _contents(finished_runs.load(workdirs)), output)


def picture(workdirs: Sequence[str], output_png: str) -> None:
    """Draws PD with its interval, and the AUC of each replica beside it, a row a run, as a PNG on white.

    Args and Raises: as `write`.
    """
    loaded = finished_runs.load(workdirs)
    with whole_file(output_png) as beside:
        charts.picture(loaded, beside)


def _contents(loaded: Sequence[finished_runs.Run]) -> dict[str, Any]:
    return {
        "runs": loaded,
        "colours": [charts.colour_index(position, len(loaded)) for position in range(len(loaded))],
        "charts": _charts(loaded),
        "held_out_curves": _curves(loaded, catalogue.held_out()),
        "progressive_curves": _curves(loaded, catalogue.progressive(), catalogue.PROGRESSIVE),
        "cards": [
            (measure.label, formats.of(measure)(loaded[0].mean(measure.name)), measure.card)
            for measure in catalogue.of(*catalogue.ACCURACY)
            if measure.card
        ],
        "slice_charts": slice_tables.draw(loaded),
        "sentences": verdict.sentences(loaded),
        "where_sentences": verdict.where(loaded),
        "recommendation_sentences": verdict.recommendations(loaded),
        "caveat": verdict.caveat(loaded),
        "warnings": verdict.warnings(loaded),
    }


def _charts(loaded: Sequence[finished_runs.Run]) -> dict[str, str]:
    """The charts for which there is anything to draw; an empty text for the others."""
    drawn: dict[str, str] = collections.defaultdict(str)
    if len(loaded) > 1:
        drawn["pd"] = charts.pd_bars(loaded)
        drawn["auc"] = charts.auc_dots(loaded)
    if tables.histogram(loaded):
        drawn["histogram"] = charts.pd_histogram(loaded)
    return drawn


def _curves(
    loaded: Sequence[finished_runs.Run], measures: Sequence[Measure], prefix: str = ""
) -> list[tuple[str, str]]:
    """The course of each measure that has a chart and was taken: its label, and the chart."""
    drawn = []
    for measure in measures:
        key = prefix + measure.name
        charted = (measure.progressive if prefix else measure.held_out) == "chart"
        if charted and any(finished_runs.is_number(entry.get(key)) for run in loaded for entry in run.history):
            drawn.append((measure.short, charts.history(loaded, measure, prefix)))
    return drawn
