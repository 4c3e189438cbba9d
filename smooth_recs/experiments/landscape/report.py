"""What a look at the landscape leaves: JSON and CSV, pictures, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smooth_recs._files import write_json
from smooth_recs.experiments.figures import section
from smooth_recs.experiments.landscape import charts, tables
from smooth_recs.reports import chart_style, page

Found = Sequence[Mapping[str, Any]]


def write(content: Mapping[str, Any], folder: Path) -> str:
    """Writes `landscape.json`, `.html`, and `landscape_{lines,directions,surfaces}` as .csv, .png and .svg.

    Args:
      content: `networks` (of `measuring.measure`), `settings`, `versions`, `command`.
      folder: exists.

    Returns:
      What to print.
    """
    networks = content["networks"]
    write_json(str(folder / "landscape.json"), content)
    files = charts.files(networks, folder)
    for kind, columns in (
        ("lines", _line_columns(networks)),
        ("directions", _direction_columns(networks)),
        ("surfaces", _surface_columns(networks)),
    ):
        if columns["network"]:
            files.append(section.write_csv(folder / f"landscape_{kind}.csv", columns))
    page.write("landscape.html.j2", _contents(content), str(folder / "landscape.html"))
    said = tables.sentences(networks, content["settings"]["dense_only"])
    return "\n".join([*said, f"files    {' '.join(files)}", f"page     {folder / 'landscape.html'}"])


def _contents(content: Mapping[str, Any]) -> dict[str, Any]:
    networks = content["networks"]
    has = {key: any(network[key] for network in networks) for key in ("lines", "directions", "surface")}
    return {
        "labels": [network["label"] for network in networks],
        "colours": [chart_style.colour_index(k, len(networks)) for k in range(len(networks))],
        "rows": networks[0]["rows"],
        "sentences": tables.sentences(networks, content["settings"]["dense_only"]),
        "lines": tables.lines(networks) if has["lines"] else None,
        "directions": tables.directions(networks) if has["directions"] else None,
        "line_chart": charts.inline_lines(networks) if has["lines"] else "",
        "difference_chart": charts.inline_differences(networks) if has["lines"] else "",
        "direction_chart": charts.inline_directions(networks) if has["directions"] else "",
        "surfaces": [charts.inline_surface(networks, k) for k in range(len(networks))] if has["surface"] else [],
        "settings": tables.values("Setting", content["settings"]),
        "versions": tables.values("Version", content["versions"]),
        "command": content["command"],
    }


def _line_columns(networks: Found) -> dict[str, list[Any]]:
    rows = [
        (network["label"], *(network["siblings"][k] for k in line["siblings"]), *values)
        for network in networks
        for line in network["lines"]
        for values in zip(line["at"], line["loss"], line["pd_to_a"], line["pd_to_b"], strict=True)
    ]
    return _columns(("network", "a", "b", "at", "loss", "pd_to_a", "pd_to_b"), rows)


def _direction_columns(networks: Found) -> dict[str, list[Any]]:
    rows = [
        (network["label"], number, *values)
        for network in networks
        for number, direction in enumerate(network["directions"], start=1)
        for values in zip(direction["at"], direction["loss"], strict=True)
    ]
    return _columns(("network", "direction", "at", "loss"), rows)


def _surface_columns(networks: Found) -> dict[str, list[Any]]:
    rows = [
        (network["label"], x, y, loss)
        for network in networks
        if network["surface"]
        for y, losses in zip(network["surface"]["at"], network["surface"]["loss"], strict=True)
        for x, loss in zip(network["surface"]["at"], losses, strict=True)
    ]
    return _columns(("network", "x", "y", "loss"), rows)


def _columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}
