"""The numbers of landscapes, for a page, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs.reports import formats
from smooth_recs.reports.table import Cell, Table, interval, number

Found = Sequence[Mapping[str, Any]]

_PLACES = (-1.0, -0.5, 0.0, 0.5, 1.0)


def lines(networks: Found) -> Table:
    """A row a pair of siblings."""
    rows = {}
    for network in networks:
        for line in network["lines"]:
            barrier = line["barrier"]
            rows[f"{network['label']}, {_pair(network, line)}"] = [
                number(barrier["height"], small),
                interval(barrier["interval"], small),
                number(barrier["middle"], signed_small),
                number(line["minima"], formats.count),
                number(line["minima_of_a_row"], two_decimals),
                number(_difference(line), formats.percent),
            ]
    names = ("Barrier", "95% interval", "Loss halfway", "Minima of the loss", "Minima of a row's loss", "PD")
    return Table(("Between siblings", *names), rows)


def directions(networks: Found) -> Table:
    """A row a random direction."""
    rows = {
        f"{network['label']}, direction {k + 1}": [
            *(number(_nearest(direction, place), formats.decimal) for place in _PLACES),
            number(direction["minima"], formats.count),
            number(direction["minima_of_a_row"], two_decimals),
        ]
        for network in networks
        for k, direction in enumerate(network["directions"])
    }
    at = [f"Loss at {place:g}".replace("-", "\N{MINUS SIGN}") for place in _PLACES]
    return Table(("Random directions", *at, "Minima of the loss", "Minima of a row's loss"), rows)


def values(title: str, settings: Mapping[str, Any]) -> Table:
    """Settings or versions."""
    rows = {name: [Cell((formats.setting(value),))] for name, value in settings.items()}
    return Table((title, "Value"), rows, numeric=False)


def sentences(networks: Found, dense_only: bool) -> list[str]:
    """What the lines between siblings show, in words."""
    said = [_of_network(network) for network in networks if network["lines"]]
    if said and dense_only:
        said.append(
            "Only the dense layers move on the line; all embeddings are those of the first of the two siblings."
        )
    elif said:
        said.append("The embeddings move on the line together with the dense layers.")
    return said or ["With one sibling there is no line between siblings."]


def _of_network(network: Mapping[str, Any]) -> str:
    barrier, pairs = network["barrier"], len(network["lines"])
    low, high = barrier["interval"] or (None, None)
    over = f" (mean of {pairs} pairs; 95% over siblings {small(low)} to {small(high)})" if low is not None else ""
    middle = sum(line["barrier"]["middle"] for line in network["lines"]) / pairs
    return (
        f"{network['label']}: the barrier between two siblings is {small(barrier['value'])}{over}. Halfway the loss is "
        f"{small(abs(middle))} {'above' if middle > 0 else 'below'} the mean of the two. On the way the loss of a "
        f"single row has {two_decimals(_mean(network, 'minima_of_a_row'))} local minima."
    )


def _mean(network: Mapping[str, Any], key: str) -> float:
    return float(sum(line[key] for line in network["lines"]) / len(network["lines"]))


def _pair(network: Mapping[str, Any], line: Mapping[str, Any]) -> str:
    return " to ".join(network["siblings"][k] for k in line["siblings"])


def _difference(line: Mapping[str, Any]) -> float:
    """PD between the ends."""
    return float(line["pd_to_a"][line["at"].index(1.0)])


def _nearest(direction: Mapping[str, Any], place: float) -> float:
    k = min(range(len(direction["at"])), key=lambda k: abs(direction["at"][k] - place))
    return float(direction["loss"][k])


def small(value: Any) -> str:
    """A difference of losses with six decimals."""
    return f"{value:.6f}" if abs(value) >= 5e-7 else "0"


def signed_small(value: Any) -> str:
    return formats.signed(small(abs(value)), value)


def two_decimals(value: Any) -> str:
    return f"{value:.2f}"
