"""What a user wants of a sweep, in one line: the best of one measure within bounds on others.

min pd subject to per_query_auc_loss <= relu           as reproducible as may be, no less accurate than ReLU
min per_query_auc_loss subject to pd <= 0.08           as accurate as may be at a PD of 8%
min per_query_auc_loss subject to pd <= relu           as accurate as may be, no less reproducible than ReLU
min pd subject to per_query_auc_loss <= relu + 0.5% and examples_per_second >= relu - 10%
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Collection

from smooth_recs.errors import InputError

_GOAL = re.compile(r"(min|max)\s+(\S+)(?:\s+subject\s+to\s+(.+))?", re.DOTALL)
_BOUND = re.compile(r"(\S+?)\s*(<=|>=)\s*(.+)", re.DOTALL)
_PERCENT = re.compile(r"(.+?)\s*([+-])\s*([\d.]+)\s*%", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Bound:
    """A limit on a measure.

    Attributes:
      text: as the user wrote it.
      measure: what is limited.
      sign: 1 for at most, -1 for at least.
      limit: the number, or the share of the measure of the variant `than`.
      than: a variant's name, or empty for a number.
    """

    text: str
    measure: str
    sign: int
    limit: float
    than: str = ""


@dataclasses.dataclass(frozen=True)
class Goal:
    """`sign` 1 asks for the least of `measure`, -1 for the most."""

    text: str
    sign: int
    measure: str
    bounds: tuple[Bound, ...] = ()

    @property
    def measures(self) -> list[str]:
        """Every measure that decides, each once."""
        return list(dict.fromkeys([self.measure, *(bound.measure for bound in self.bounds)]))


def parse(text: str, measures: Collection[str], variants: Collection[str]) -> Goal:
    """A goal from `min|max MEASURE [subject to MEASURE <=|>= LIMIT [and ...]]`.

    Args:
      text: see the file's docstring; a limit is a number, a percentage, or a variant's name plus or minus a percentage.
      measures, variants: the names that there are.

    Raises:
      InputError: not of this form, or a name that is none.

    >>> parse("min pd subject to auc_loss <= relu + 0.5%", ["pd", "auc_loss"], ["relu"]).bounds[0].limit
    1.005
    """
    found = _GOAL.fullmatch(text.strip())
    if not found:
        raise InputError(
            f"choose must be 'min MEASURE' or 'max MEASURE', then 'subject to MEASURE <= LIMIT', got {text!r}"
        )
    direction, measure, bounds = found.groups()
    return Goal(
        text=" ".join(text.split()),
        sign=1 if direction == "min" else -1,
        measure=_known(measure, measures, "a measure"),
        bounds=tuple(_bound(each, measures, variants) for each in re.split(r"\s+and\s+", bounds or "") if each),
    )


def _bound(text: str, measures: Collection[str], variants: Collection[str]) -> Bound:
    found = _BOUND.fullmatch(text.strip())
    if not found:
        raise InputError(f"choose: a bound must be 'MEASURE <= LIMIT' or 'MEASURE >= LIMIT', got {text!r}")
    measure, sign, limit = found.groups()
    number, than = _limit(limit.strip(), variants)
    return Bound(
        " ".join(text.split()), _known(measure, measures, "a measure"), 1 if sign == "<=" else -1, number, than
    )


def _limit(text: str, variants: Collection[str]) -> tuple[float, str]:
    """A number and no name, or a share and the name of the variant that it is of."""
    number = _number(text)
    if number is not None:
        return number, ""
    if text in variants:
        return 1.0, text
    found = _PERCENT.fullmatch(text)
    if found and (percent := _number(found[3])) is not None:
        sign = 1 if found[2] == "+" else -1
        return 1 + sign * percent / 100, _known(found[1], variants, "a number, or a variant")
    return 1.0, _known(text, variants, "a number, or a variant")


def _number(text: str) -> float | None:
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _known(name: str, names: Collection[str], kind: str) -> str:
    if name not in names:
        near = difflib.get_close_matches(name, names) or list(names)
        raise InputError(f"choose must name {kind} of the sweep ({', '.join(near)}), got {name!r}")
    return name
