"""Report of one run, or of several side by side, as one HTML file; and a picture of them for a README."""

from __future__ import annotations

from collections.abc import Sequence

from smooth_recs import _files
from smooth_recs.measures import catalogue
from smooth_recs.measures.measure import PROGRESSIVE, Measure
from smooth_recs.reports import charts, headline, links, page, slice_charts, tables, verdict
from smooth_recs.workdir import finished_runs
from smooth_recs.workdir.finished_runs import Run


def write(workdirs: Sequence[str], output: str) -> None:
    """Writes the report of one run, or a comparison of several with the first as the baseline.

    The page shows PD (eq. 2) with its interval, where the difference is and how it changes lists of recommendations,
    the accuracies, their course while training, and everything that is needed to run it again. It follows the reader's
    light or dark mode. Equal workdirs give an equal file.

    Args:
      workdirs: finished runs, each with `config.json`, `manifest.json` and `metrics.json`.
      output: path of the HTML file; its folder is made where it does not exist.

    Raises:
      InputError: no workdir is given, or one does not hold the files of a finished run.

    ```python
    run_report.write(["runs/demo/relu", "runs/demo/smelu"], "runs/demo/report.html")
    ```
    """
    runs = finished_runs.load(workdirs)
    several = len(runs) > 1
    contents = {
        "runs": runs,
        "colours": [charts.colour_index(position, len(runs)) for position in range(len(runs))],
        # One run's numbers are on cards; a chart of a single bar says nothing.
        "pd_bars": charts.pd_bars(runs) if several else "",
        "auc_dots": charts.auc_dots(runs) if several else "",
        "histogram": charts.pd_histogram(runs) if tables.histogram(runs) else "",
        "held_out_curves": _curves(runs, catalogue.held_out()),
        "progressive_curves": _curves(runs, catalogue.progressive(), PROGRESSIVE),
        "verdict": headline.title(runs),
        "certainty": headline.certainty(runs),
        "lowest": headline.lowest(runs) if several else runs[0],
        "measured_on": headline.measured_on(runs[0]),
        "cards": headline.cards(runs),
        "links": links.of_runs(runs, output),
        "slice_charts": slice_charts.draw(runs),
        "sentences": verdict.sentences(runs),
        "where_sentences": verdict.where(runs),
        "recommendation_sentences": verdict.recommendations(runs),
        "caveat": verdict.caveat(runs),
        "warnings": verdict.warnings(runs),
        "live": tables.against_live(runs),
        "live_sentences": verdict.live(runs),
    }
    page.write("report.html.j2", contents, output)


def _curves(runs: Sequence[Run], measures: Sequence[Measure], prefix: str = "") -> list[tuple[str, str]]:
    """The course of each measure that has a chart and was taken: its label and the chart."""
    drawn = []
    for measure in measures:
        key = prefix + measure.name
        charted = (measure.progressive if prefix else measure.held_out) == "chart"
        if charted and any(finished_runs.is_number(entry.get(key)) for run in runs for entry in run.history):
            drawn.append((measure.short, charts.history(runs, measure, prefix)))
    return drawn


def picture(workdirs: Sequence[str], output_png: str) -> None:
    """Draws PD with its interval, and the AUC of each replica beside it, one row for each run, as a PNG on white.

    Args and Raises: as `write`.
    """
    runs = finished_runs.load(workdirs)
    with _files.whole_file(output_png) as beside:
        charts.picture(runs, beside)
