"""The results of a sweep for people: on the terminal, as Markdown, as a page, as figure 4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smooth_recs._files import whole_file
from smooth_recs.experiments.sweeps import pareto, sweep_charts, sweep_tables, sweep_words
from smooth_recs.experiments.sweeps.paired import Paired
from smooth_recs.measures.registry import BY_NAME
from smooth_recs.reports import page
from smooth_recs.reports.table import markdown

PICTURES = ("figure4.png", "figure4.svg")


def write(results: Mapping[str, Any], folder: str, choice: Mapping[str, Any] | None = None) -> str:
    """Writes `report.html`, `results.md`, `figure4.png` and `figure4.svg` into `folder`; returns what to print.

    Args:
      results: the content of `results.json`.
      folder: exists.
      choice: of `choice.choose` or `choice.confirmed`, and `config_file`, where it was written; None for none.

    ```python
    print(sweep_report.write(workdir.read_json("runs/sweep/results.json"), "runs/sweep"))
    ```
    """
    contents = _contents(results, choice)
    page.write("sweep.html.j2", contents, str(Path(folder, "report.html")))
    plane = contents.pop("plane")
    if plane is not None:
        sweep_charts.pictures(plane, [str(Path(folder, name)) for name in PICTURES])
    said = _said(contents)
    with whole_file(str(Path(folder, "results.md"))) as beside:
        Path(beside).write_text(_markdown(contents), encoding="utf-8")
    return f"{said}\n\nreport   {Path(folder, 'report.html')}"


def _contents(results: Mapping[str, Any], choice: Mapping[str, Any] | None) -> dict[str, Any]:
    paired = Paired(results)
    axes, variants = paired.axes, results["variants"]
    front = pareto.front(paired, axes)
    plane = sweep_charts.plane(results, axes)
    drawn = len(plane.points) > 1
    fresh = (choice or {}).get("confirmation")
    return {
        "title": f"{_others(paired)} against {paired.label(paired.baseline)}",
        "variants": len(variants),
        "pairs": len(results["seeds"]),
        "baseline": paired.label(paired.baseline),
        "loss": BY_NAME[axes[1]].inside,
        "warnings": sweep_words.warnings(results),
        "lines": plane.lines,
        "colours": [sweep_charts.line_colour(plane, line) for line in plane.lines],
        "plane": plane if drawn else None,
        "chart": sweep_charts.whole(plane) if drawn else "",
        "closer": sweep_charts.closer(plane) if drawn else "",
        "choice": choice,
        "choice_sentences": sweep_words.of_choice(choice, claims=False) if choice else [],
        "claims": sweep_tables.claims(choice) if choice else None,
        "confirmation": sweep_tables.trade_offs(fresh["variants"], axes, None) if fresh else None,
        "config_file": (choice or {}).get("config_file"),
        "sentences": sweep_words.sentences(results, front),
        "caveat": sweep_words.caveat(results),
        "trade_offs": sweep_tables.trade_offs(variants, axes, front),
        "every_pair": sweep_tables.every_pair(variants, results["seeds"], axes),
        "by_line": sweep_tables.lines(plane) if drawn else None,
        "others": sweep_tables.others(variants, axes),
        "costs": sweep_tables.costs(variants),
        "fields": sweep_tables.fields(variants),
        "data": sweep_tables.settings(results["data"]),
        "settings": sweep_tables.settings(results["config"]),
        "versions": sweep_tables.settings(results["versions"]),
        "command": results["command"],
    }


def _others(paired: Paired) -> str:
    others = [name for name in paired.names if name != paired.baseline]
    return paired.label(others[0]) if len(others) == 1 else f"{len(others)} variants"


def _said(contents: Mapping[str, Any]) -> str:
    """What fits a terminal: the table, and what it says."""
    said = [markdown(contents["trade_offs"]), ""]
    said += [f"- {sentence}" for sentence in (*contents["warnings"], *contents["sentences"])]
    if contents["choice"]:
        said += ["", f"Goal: {contents['choice']['goal']}", ""]
        said += [f"- {sentence}" for sentence in sweep_words.of_choice(contents["choice"])]
        if contents["config_file"]:
            said += ["", f"config   {contents['config_file']}"]
    return "\n".join(said)


def _markdown(contents: Mapping[str, Any]) -> str:
    tables = [contents[name] for name in ("claims", "confirmation", "by_line", "others", "costs")]
    parts = [_said(contents), *(markdown(table) for table in tables if table and table.rows)]
    return "\n\n".join([*parts, contents["caveat"]]).strip() + "\n"
