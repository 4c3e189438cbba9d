"""Gates: limits on how different, and how much worse, a new model may be for a release.

Point estimates decide, not their intervals. All values are fractions: `max_pd=0.1` is 10%. A value that equals its
limit meets the gate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from smooth_recs.errors import InputError
from smooth_recs.measures import catalogue
from smooth_recs.measures.measure import Measure

_WORDS = {"label": "labels", "query_id": "query ids"}


def limited(name: str) -> tuple[Measure, bool]:
    """The measure that a field of `Limits` is a limit on, and whether on its increase; KeyError for another name."""
    return catalogue.BY_NAME[name.removeprefix("max_").removesuffix("_increase")], name.endswith("_increase")


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of a comparison, each optional; None is no gate.

    A field is called `max_MEASURE` or `max_MEASURE_increase`, by the name of a row of `measures.catalogue`.

    Attributes:
      max_pd: the highest relative PD of baseline and new model (eq. 2), from 0 to 2.
      max_auc_loss_increase: the highest increase of the AUC loss (eq. 1) from the baseline to the new model, from -1 to
        1; below 0, the new model must be better by that much.
      max_swap_rate: the highest share of requests whose ordered top-k list changes, from 0 to 1.
    """

    max_pd: float | None = None
    max_auc_loss_increase: float | None = None
    max_swap_rate: float | None = None

    def given(self) -> dict[str, float]:
        """The limits that are not None, by name."""
        return {name: limit for name, limit in dataclasses.asdict(self).items() if limit is not None}

    def check(self, known: Collection[str]) -> None:
        """Refuses limits that are out of bounds, or that cannot be measured.

        Args:
          known: the columns that the rows have, `label` and `query_id` among them.

        Raises:
          InputError: see above.
        """
        for name, limit in self.given().items():
            measure, increase = limited(name)
            assert measure.bounds is not None
            low, high = measure.bounds
            if increase:
                # The difference of two values that both lie within the bounds.
                low, high = low - high, high - low
            if isinstance(limit, str):
                raise InputError(f"{name} must be a fraction from {low} to {high}, got {limit!r}")
            # NaN is refused too: it compares as False with everything.
            if not low <= limit <= high:
                raise InputError(f"{name} must be a fraction from {low} to {high}, got {limit:g}")
            for column in measure.needs:
                if column not in known:
                    raise InputError(f"{name}={limit:g} cannot be measured: the rows have no {_WORDS[column]}")


class Gate(NamedTuple):
    """A limit with the measured value.

    Attributes:
      name: the field of `Limits`.
      limit: the value of that field.
      value: the measured value.
    """

    name: str
    limit: float
    value: float

    @property
    def met(self) -> bool:
        """Whether the value is at most the limit."""
        return self.value <= self.limit

    def as_dict(self) -> dict[str, Any]:
        """A dictionary for JSON: `name`, `limit`, `value`, `met`."""
        return {**self._asdict(), "met": self.met}

    def __str__(self) -> str:
        measured = f"{self.name.removeprefix('max_')} is {self.value:.6g}"
        return f"{self.name}={self.limit:g}: {measured}" + (
            "" if self.met else f", {self.value - self.limit:.3g} above"
        )


def judge(limits: Limits, measured: Mapping[str, float | None]) -> list[Gate]:
    """Compares every limit that is given with its measured value, in the order of the fields of `Limits`.

    Args:
      limits: see `Limits`.
      measured: `pd`, `auc_loss_increase` and `swap_rate`, as far as there are limits on them.

    Raises:
      InputError: a value is None, which is the AUC loss of rows whose labels are all alike.

    ```python
    judge(Limits(max_pd=0.1), {"pd": 0.125})[0].met  # False
    ```
    """
    gates = []
    for name, limit in limits.given().items():
        value = measured[name.removeprefix("max_")]
        if value is None:
            raise InputError(f"{name}={limit:g} cannot be measured: the labels are all alike")
        gates.append(Gate(name, limit, value))
    return gates


def measured(metrics: Mapping[str, Any], increase: Mapping[str, Any]) -> dict[str, float | None]:
    """The values that `judge` needs, from the measures of two models; None where the rows do not determine one.

    Args:
      metrics: the result of `held_out.metrics`.
      increase: the results of `increases.increase`, by measure.
    """
    found: dict[str, float | None] = {}
    for field in dataclasses.fields(Limits):
        measure, of_increase = limited(field.name)
        value = (increase[measure.name] or {}).get("value") if of_increase else measure.read(metrics)
        found[field.name.removeprefix("max_")] = value
    return found


def failure(gates: Sequence[Gate], prefix: str = "", collapsed: str | None = None) -> str | None:
    """One line that names every gate that is not met, with limit, value and distance; None where all are met.

    Args:
      gates: the result of `judge`.
      prefix: before the name of each gate: `--` where flags have set the limits.
      collapsed: why the new model has learned nothing (`held_out.collapse`), which no gate lets pass.

    ```python
    failure([Gate("max_pd", 0.1, 0.125)])  # "gate not met: max_pd=0.1: pd is 0.125, 0.025 above"
    ```
    """
    missed = [f"{prefix}{gate}" for gate in gates if not gate.met]
    if collapsed:
        missed.append(f"the new model {collapsed} ({prefix}allow_collapsed accepts it)")
    return f"gate{'s' * (len(missed) > 1)} not met: {'; '.join(missed)}" if missed else None
