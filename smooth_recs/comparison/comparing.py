"""The way in: compares, writes, prints a summary, and holds the result against the gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from smooth_recs._files import check_output, write_json
from smooth_recs.comparison import artifacts, gathering, measuring, shards
from smooth_recs.comparison.matching import match
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.errors import GateNotMet
from smooth_recs.measures import gates, registry
from smooth_recs.measures.gates import Gate
from smooth_recs.reports import comparison_report


def compare(settings: Settings) -> dict[str, Any]:
    """Compares two models over the same rows; writes JSON, HTML beside it, and prints a summary.

    Where `settings.shard` is given, only predicts that part and leaves it beside the output: {} comes back.

    Returns:
      The content of the JSON file.

    Raises:
      InputError: the flags, the files or the models are not what they must be.
      GateNotMet: a gate is not met; the files are written all the same.

    ```python
    from smooth_recs.comparison.comparing import compare
    from smooth_recs.comparison.settings import Settings

    comparison = compare(Settings("baseline.csv", "new.csv", "comparison.json"))
    comparison["pd"]["relative"]
    ```
    """
    check_output("--output", settings.output)
    both = [artifacts.identify("--a", settings.a), artifacts.identify("--b", settings.b)]
    if settings.merge:
        a, b, data = shards.load(settings, both)
        gathering.check(settings, {*a.columns, *b.columns})
    else:
        a, b, data = gathering.gather(settings, both, settings.shard or Shard())
    if settings.shard:
        print(f"shard        {shards.save(settings, settings.shard, a, b, data)}")
        return {}
    comparison = measuring.measure(settings, a, b, match(a, b), data)
    write_json(settings.output, comparison)
    comparison_report.write(comparison, settings.html)
    print(f"{summary(comparison)}\nresults      {settings.output}\nreport       {settings.html}")
    _hold(comparison)
    return comparison


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
    lines += [_loss(registry.BY_NAME[name], comparison) for name, each in comparison["increase"].items() if each]
    if lists:
        low, high = lists["swap_rate_interval"]
        lines.append(f"swap rate    {lists['swap_rate']:.2%} of the top {lists['k']} ({low:.2%} to {high:.2%})")
    lines += [f"gate         {gate}{', met' * gate.met}" for gate in _gates(comparison)]
    return "\n".join(lines)


def _loss(measure: registry.Measure, comparison: Mapping[str, Any]) -> str:
    a, b = (replica[measure.name] for replica in comparison["replicas"])
    increase = comparison["increase"][measure.name]
    low, high = increase["interval"]
    name = measure.terminal or measure.inside
    return f"{name:11}  {a:.4f} to {b:.4f}: {increase['value']:+.4f} ({low:+.4f} to {high:+.4f})"


def _hold(comparison: Mapping[str, Any]) -> None:
    failure = gates.failure(_gates(comparison))
    if failure:
        raise GateNotMet(failure)


def _gates(comparison: Mapping[str, Any]) -> list[Gate]:
    return [Gate(gate["name"], gate["limit"], gate["value"]) for gate in comparison["gates"]]
