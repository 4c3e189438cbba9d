"""The most accurate model whose PD to the live one keeps a budget: a search for the weight of distillation.

To train under a limit on the difference from the live model is to distil from that model with some weight (Jiang et al.
2022, arXiv 2106.02654): the least label loss with d(live, new) at most a budget is the least of

    label loss + l d(live, new), which is (1 - w) label loss + w teacher loss, with w = l / (1 + l).

Which weight keeps which budget is measured. The ends, w = 0 and 1, are trained first; then log l is bisected between
those of 1 / 16 and 16, as long as runs are left. Of all runs that keep the budget, the one of the lowest log loss is
the answer. Every run is a cell (`experiments.cells`); what is trained next depends on finished cells alone, so that
a search can be killed and started again, or shared.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs import _files, extras
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import EXPORT, SAVED_MODEL, next_version
from smooth_recs.config import Config, Distillation
from smooth_recs.errors import Diverged, GateNotMet, InputError
from smooth_recs.experiments.cells import Cell, Folder
from smooth_recs.experiments.sweeps.sweep_tables import with_interval
from smooth_recs.experiments.variants import with_fields
from smooth_recs.measures import catalogue
from smooth_recs.reports import formats, page
from smooth_recs.reports.charts import INK, MUTED, SERIES, STYLE, percent_ticks, svg
from smooth_recs.reports.formats import Table, decimal, markdown, number, percent, short
from smooth_recs.reports.headline import Card
from smooth_recs.training import live_model
from smooth_recs.workdir.manifest import command

with extras.needed("report"):
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Base-2 logarithms of l at the ends of what is bisected.
_LEAST, _GREATEST = -4.0, 4.0
_PD_LIVE, _LOSS = catalogue.BY_NAME["pd_live"], catalogue.BY_NAME["log_loss"]
_SHOWN = [*catalogue.swept("live"), *catalogue.leading()]
_WEIGHT = "Weight of the live model's predictions"

Point = Mapping[str, Any]
"""What was measured with one weight: `weight`, `keeps` (the budget), `interval` of `pd_live`, measures, `cell`, and
whether the model has `collapsed`: learned nothing, and so keeps no budget, wherever the live model is."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is searched for.

    Attributes:
      config: of every run. `evaluation.live` is the teacher; `distillation` may say how it teaches.
      budget: the most that `pd_live` may be, above 0 and at most 2.
      runs: how many at most, 3 or more.

    Raises:
      InputError: a rule above is broken.
    """

    config: Config
    budget: float
    runs: int = 6

    def __post_init__(self) -> None:
        if not 0 < self.budget <= 2:
            raise InputError(f"--max_pd_live must be above 0 and at most 2, got {self.budget:g}")
        if self.runs < 3:
            raise InputError(f"--runs must be at least 3, for both ends and one between, got {self.runs}")
        live, teachers = self.config.evaluation.live, self.config.distillation.teachers
        if not live:
            raise InputError("evaluation.live must name the live model, from which runs learn, got ''")
        if teachers not in ((), (live,)):
            raise InputError(f"distillation.teachers must be none, or evaluation.live alone, got {', '.join(teachers)}")

    def cell(self, weight: float) -> Cell:
        """The run with a weight of distillation; with 0 there is no teacher."""
        # The version itself: where another one is live the next time, these are other runs.
        live = exports.identify(live_model.FIELD, self.config.evaluation.live).path
        taught = dataclasses.replace(self.config.distillation, teachers=(live,), weight=weight)
        fields = {"evaluation.live": live}
        config = dataclasses.replace(self.config, distillation=taught if weight else Distillation())
        return Cell(f"weight {weight:.3g}", with_fields(config, fields))


def run(plan: Plan, workdir: str) -> str:
    """Searches, exports the answer as the next version under `workdir/export`, and reports; returns what to print.

    Leaves `churn.json`, `churn.md`, `report.html` and `churn.png`.

    Args:
      plan: what is searched for.
      workdir: receives the runs and the files; runs that are finished there are not trained again.

    Raises:
      InputError: the live model is nothing to learn from, or the data or the folder are wrong.
      Diverged: a training diverged.
      GateNotMet: no weight keeps the budget; the files are written all the same, and the line has the best one reached.

    ```python
    config = dataclasses.replace(config, evaluation=Evaluation(live="models/ranker"))
    print(run(Plan(config, budget=0.05), "runs/next"))
    ```
    """
    live = plan.config.evaluation.live
    if exports.identify(live_model.FIELD, live).kind != EXPORT:
        raise InputError(f"evaluation.live must be an export, or a workdir with one, to be learnt from, got {live}")
    folder = Folder(workdir)
    points = _search(plan, folder)
    kept = [point for point in points if point["keeps"]]
    chosen = min(kept, key=lambda point: point[_LOSS.name]) if kept else None
    found: dict[str, Any] = {
        "budget": plan.budget,
        "chosen": chosen and chosen["weight"],
        "points": points,
        "live": folder.metrics(plan.cell(0.0))["pd_live"]["accuracy"],
        "config": plan.config.to_dict(),
        "command": command(),
    }
    if chosen:
        found |= _export(plan, folder, chosen, workdir)
    said = write(found, workdir)
    if not chosen:
        best = _closest(points)
        raise GateNotMet(
            f"gate not met: --max_pd_live={plan.budget:g}: no weight of distillation keeps it; the best reached is "
            f"{best['pd_live']:.6g} with weight {best['weight']:.3g}, see {workdir}/report.html"
        )
    return said


def _search(plan: Plan, folder: Folder) -> list[Point]:
    """What was measured with each weight that was tried, the lowest weight first."""
    found: list[Point] = []

    def keeps(weight: float) -> bool:
        cell = plan.cell(weight)
        folder.run([cell])
        metrics = folder.metrics(cell)
        if metrics.get("diverged"):
            raise Diverged(f"{cell.label} diverged, see {folder.workdir(cell)}: lower the learning rates")
        live = metrics["pd_live"]
        found.append(
            {
                "weight": weight,
                "keeps": live["relative"] <= plan.budget and not metrics.get("collapsed"),
                "collapsed": bool(metrics.get("collapsed")),
                "interval": live["interval"] or [live["relative"]] * 2,
                "of_replicas": live["of_replicas"],
                **{measure.name: measure.read(metrics) for measure in _SHOWN},
                "cell": cell.key,
            }
        )
        return bool(found[-1]["keeps"])

    without, alone = keeps(0.0), keeps(1.0)
    low, high = _LEAST, _GREATEST
    # One between the ends shows where no weight keeps the budget that this is no accident of an end.
    for _ in range(0 if without else plan.runs - 2 if alone else 1):
        middle = (low + high) / 2
        if keeps(2**middle / (1 + 2**middle)):
            high = middle
        else:
            low = middle
    return sorted(found, key=lambda point: point["weight"])


def _export(plan: Plan, folder: Folder, chosen: Point, workdir: str) -> dict[str, Any]:
    """Copies the export of the best sibling that keeps the budget, whole, to be the next version; once for a choice."""
    cell = plan.cell(chosen["weight"])
    metrics = folder.metrics(cell)
    losses = [replica[_LOSS.name] for replica in metrics["replicas"]]
    within = [k for k, relative in enumerate(chosen["of_replicas"]) if relative <= plan.budget]
    replica = min(within, key=lambda k: losses[k])
    source = os.path.join(folder.workdir(cell), metrics["exports"][replica])
    earlier = os.path.join(workdir, "churn.json")
    if _files.exists(earlier):
        before = _files.read_json(earlier)
        if before.get("exported") == source and _files.isdir(before["export"]):
            return {"replica": replica, "exported": source, "export": before["export"]}
    base = os.path.join(workdir, "export")
    _files.makedirs(base)
    with _files.hidden_folder(base) as hidden:
        copied = _files.copy(source, os.path.join(hidden, "copy"))
        target = next_version(base)
        _files.place(copied, target, SAVED_MODEL)
    return {"replica": replica, "exported": source, "export": target}


def write(found: Mapping[str, Any], workdir: str) -> str:
    """Writes the result as JSON, Markdown, HTML and a picture into `workdir`; returns what to print.

    Args:
      found: the content of `churn.json`: see `run`.
      workdir: exists.
    """
    json_path, markdown_path, png_path = (os.path.join(workdir, f"churn.{ending}") for ending in ("json", "md", "png"))
    html_path = os.path.join(workdir, "report.html")
    table, said = points_table(found), sentences(found)
    text = "\n".join([markdown(table), "", *(f"- {sentence}" for sentence in said)])
    _files.write_json(json_path, found)
    _files.write_text(markdown_path, f"{text}\n")
    panels = {_PD_LIVE.label: _draw_difference, _LOSS.label: _draw_loss}
    contents = {
        "verdict": verdict(found),
        "cards": cards(found),
        "chosen": found["chosen"] is not None,
        "budget": percent(found["budget"]),
        "charts": [
            (svg(f"churn {title}", title, (6.4, 3.2), functools.partial(draw, found=found)), title)
            for title, draw in panels.items()
        ],
        "sentences": said,
        "table": table,
        "settings": formats.settings_table(found["config"]),
        "command": found["command"],
    }
    page.write("churn.html.j2", contents, html_path)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        for axes, (title, draw) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            draw(axes, found)
            axes.set_title(title, loc="left")
        figure.savefig(png_path, dpi=200, facecolor="white", metadata={"Software": None})
    files = [f"report   {html_path}", f"picture  {png_path}"]
    files += [f"export   {found['export']}"] if "export" in found else []
    return "\n".join([text, "", *files])


def points_table(found: Mapping[str, Any]) -> Table:
    """A row for each weight: PD to the live model with its interval, the other measures, whether the budget is kept."""
    rows = {
        short(point["weight"]): [
            with_interval(point["pd_live"], point["interval"], percent),
            *(number(point[measure.name], formats.of(measure)) for measure in _SHOWN[1:]),
        ]
        for point in found["points"]
    }
    notes = {
        short(point["weight"]): "chosen" if point["weight"] == found["chosen"] else "keeps the budget"
        for point in found["points"]
        if point["keeps"]
    }
    heads = [measure.short for measure in _SHOWN]
    return Table(("Weight", *heads), rows, notes=notes)


def verdict(found: Mapping[str, Any]) -> str:
    """The title of the page: what is chosen, what it costs, or how near the budget the best model came."""
    budget = percent(found["budget"])
    if found["chosen"] is None:
        best = percent(_closest(found["points"])["pd_live"])
        return f"No model keeps the budget of {budget}: the best reached is {best}"
    chosen, free = _chosen(found), found["points"][0]
    change = chosen[_LOSS.name] - free[_LOSS.name]
    cost = f"log loss {formats.signed_decimal(change)}" if chosen is not free else "without distillation"
    return f"PD to the live model {percent(chosen['pd_live'])}, within the budget of {budget}; {cost}"


def cards(found: Mapping[str, Any]) -> list[Card]:
    """PD to the live model and the other measures: without distillation, then of the choice or the nearest model."""
    free = found["points"][0]
    other = _closest(found["points"]) if found["chosen"] is None else _chosen(found)
    listed = []
    for measure in _SHOWN:
        text = formats.of(measure)
        values = [text(point[measure.name]) for point in (free, other)]
        notes = [f"budget: {percent(found['budget'])}"] if measure is _PD_LIVE else []
        listed.append(Card(measure.short, " → ".join(values if other is not free else values[:1]), notes))
    return listed


def _chosen(found: Mapping[str, Any]) -> Point:
    return next(point for point in found["points"] if point["weight"] == found["chosen"])


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What was found, and what it costs in accuracy."""
    points: Sequence[Point] = found["points"]
    free, budget = points[0], percent(found["budget"])
    begin = (
        f"Without distillation PD to the live model is {percent(free['pd_live'])}, log loss {decimal(free[_LOSS.name])}"
    )
    if found["live"].get(_LOSS.name) is not None:
        begin += f"; the live model's own log loss is {decimal(found['live'][_LOSS.name])}"
    said = [f"{begin}."]
    if found["chosen"] is None:
        best = _closest(points)
        said.append(
            f"No weight keeps the budget of {budget}: the best reached is {percent(best['pd_live'])} with weight "
            f"{short(best['weight'])}. What is left has other causes than the labels."
        )
        said += [
            f"The model with weight {short(point['weight'])} has learned nothing: it counts for no budget."
            for point in points
            if point.get("collapsed")  # results of an earlier version do not say
        ]
        return said
    chosen = _chosen(found)
    change = formats.signed_decimal(chosen[_LOSS.name] - free[_LOSS.name])
    said.append(
        f"Of the weights that keep the budget of {budget}, {short(chosen['weight'])} has the lowest log loss: "
        f"{decimal(chosen[_LOSS.name])} ({change}) with a PD to the live model of {percent(chosen['pd_live'])}."
    )
    if len(points) == 2:
        said.append("The budget is kept without distillation, so no weight between was tried.")
    return said


def _closest(points: Sequence[Point]) -> Point:
    """The model of the least PD to the live one, of those that have learned something if there are any."""
    return min(points, key=lambda point: (bool(point.get("collapsed")), point["pd_live"]))


def _draw_difference(axes: Axes, found: Mapping[str, Any]) -> None:
    """PD to the live model against the weight, with the budget as a line."""
    points = found["points"]
    colour = SERIES[1][0]
    axes.plot(*zip(*((point["weight"], point["pd_live"]) for point in points), strict=True), color=colour)
    for point in points:
        axes.plot([point["weight"]] * 2, point["interval"], color=INK, linewidth=1.1)
    axes.axhline(found["budget"], color=MUTED, linestyle="--", linewidth=1)
    axes.annotate("budget", (1.0, found["budget"]), (0, 3), textcoords="offset points", ha="right", color=MUTED)
    axes.set_ylim(0, 1.12 * max(found["budget"], *(point["interval"][1] for point in points)))
    percent_ticks(axes.yaxis, 6)
    _mark(axes, found, "pd_live", colour)


def _draw_loss(axes: Axes, found: Mapping[str, Any]) -> None:
    """Log loss against the weight, with that of the live model as a line."""
    points, colour = found["points"], SERIES[2][0]
    axes.plot(*zip(*((point["weight"], point[_LOSS.name]) for point in points), strict=True), color=colour)
    if (live := found["live"].get(_LOSS.name)) is not None:
        axes.axhline(live, color=MUTED, linestyle="--", linewidth=1)
        axes.annotate("live model", (1.0, live), (0, 3), textcoords="offset points", ha="right", color=MUTED)
    _mark(axes, found, _LOSS.name, colour)


def _mark(axes: Axes, found: Mapping[str, Any], name: str, colour: str) -> None:
    """Marks every weight, full where the budget is kept, and the chosen one by a ring."""
    for point in found["points"]:
        place = point["weight"], point[name]
        axes.plot(*place, "o", color=colour, markersize=6, markerfacecolor=colour if point["keeps"] else "none")
        if point["weight"] == found["chosen"]:
            axes.plot(*place, "o", color=INK, markersize=12, markerfacecolor="none")
    axes.set_xlabel(_WEIGHT)
    axes.set_xlim(-0.03, 1.03)
    axes.grid(axis="y")
