"""The way in: compares, writes, and holds the result against the gates."""

from __future__ import annotations

from typing import Any

from smooth_recs import gates, workdir
from smooth_recs.comparison import artifacts, gathering, measuring, shards
from smooth_recs.comparison.matching import match
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.comparison.summary import summary
from smooth_recs.errors import GateNotMet
from smooth_recs.experiments import comparison_report


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
    settings.make_folder()
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
    workdir.write_json(settings.output, comparison)
    comparison_report.write(comparison, settings.html)
    print(f"{summary(comparison)}\nresults      {settings.output}\nreport       {settings.html}")
    _hold(comparison)
    return comparison


def _hold(comparison: dict[str, Any]) -> None:
    judged = [gates.Gate(gate["name"], gate["limit"], gate["value"]) for gate in comparison["gates"]]
    failure = gates.failure(judged)
    if failure:
        raise GateNotMet(failure)
