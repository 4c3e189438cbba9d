"""What a person wants to know of a comparison, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smooth_recs.gates import Gate

_LOSSES = {"auc_loss": "AUC loss", "per_query_auc_loss": "per query", "log_loss": "log loss"}


def summary(comparison: Mapping[str, Any]) -> str:
    """The lines that `smooth_recs.bin.compare` prints."""
    difference, lists = comparison["pd"], comparison["recommendations"]
    over = "requests" if lists else "rows"
    low, high = difference["interval"]
    lines = [
        f"rows         {comparison['rows']:,} matched, {comparison['only_in_a']:,} only in a, "
        f"{comparison['only_in_b']:,} only in b",
        f"relative PD  {difference['relative']:.2%} (95% over {over}: {low:.2%} to {high:.2%})",
    ]
    lines += [_loss(name, words, comparison) for name, words in _LOSSES.items() if comparison["increase"][name]]
    if lists:
        low, high = lists["swap_rate_interval"]
        lines.append(f"swap rate    {lists['swap_rate']:.2%} of the top {lists['k']} ({low:.2%} to {high:.2%})")
    for gate in comparison["gates"]:
        lines.append(f"gate         {Gate(gate['name'], gate['limit'], gate['value'])}{', met' * gate['met']}")
    return "\n".join(lines)


def _loss(name: str, words: str, comparison: Mapping[str, Any]) -> str:
    a, b = (replica[name] for replica in comparison["replicas"])
    increase = comparison["increase"][name]
    low, high = increase["interval"]
    return f"{words:11}  {a:.4f} to {b:.4f}: {increase['value']:+.4f} ({low:+.4f} to {high:+.4f})"
