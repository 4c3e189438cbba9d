"""The plan of a sweep: variants of one configuration, each with several pairs of siblings, and what is wanted of them.

Loads no TensorFlow, as the flags of bin/sweep need it.

```python
from smooth_recs import config
from smooth_recs.experiments import sweeps


def get_sweep():
    variants = [*sweeps.activation("relu"), *sweeps.activation("smelu", 0.1, 0.2, 0.4)]
    return sweeps.Sweep(config.Config(), variants, baseline="relu", pairs=3)
```

A goal asks for the best of one measure within bounds on others:

    min pd subject to per_query_auc_loss <= relu           as reproducible as possible, no less accurate than ReLU
    min per_query_auc_loss subject to pd <= 0.08           as accurate as possible at a PD of 8%
    min per_query_auc_loss subject to pd <= relu           as accurate as possible, no less reproducible than ReLU
    min pd subject to per_query_auc_loss <= relu + 0.5% and examples_per_second >= relu - 10%
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import math
import re
import runpy
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.workdir.finished_runs import activation_label

_NAME = re.compile(r"[^\s@]+")
_GOAL = re.compile(r"(min|max)\s+(\S+)(?:\s+subject\s+to\s+(.+))?", re.DOTALL)
_BOUND = re.compile(r"(\S+?)\s*(<=|>=)\s*(.+)", re.DOTALL)
_PERCENT = re.compile(r"(.+?)\s*([+-])\s*([\d.]+)\s*%", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Variant:
    """Values for some fields of a configuration.

    Attributes:
      name: by which commands and files name it, and other variants: the field value "@NAME", or ("@NAME",) where a
        field holds several, is the workdir of that variant's run with the same seed, which is trained first.
      label: by which a reader knows it.
      fields: values by the fields' paths, such as `model.beta`.
      line: what it has in common with the variants from which it differs in its width alone; empty = nothing.
      width: where it stands on that line: the activation's own beta.
    """

    name: str
    label: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    line: str = ""
    width: float | None = None


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What `get_sweep()` of a file in `configs/sweeps/` returns.

    Attributes:
      config: what all variants have in common; its seed is the first one.
      variants: any number.
      baseline: name of the variant that the others are compared with.
      pairs: how many seeds, counted on from `config.seed`; 2 or more for intervals.
      choose: the goal for the best variant, such as `min pd subject to per_query_auc_loss <= relu`; empty = none.
      allow_collapsed: whether runs with a sibling that is constant, or worse than always predicting the click rate,
        count as measured.
      tune: values by the fields' paths, such as learning rates: every variant that does not set one of these fields
        itself takes the combination that is best for its activation on validation rows (`tuning.py`).
      tuned: what was tried, in place of `tune`, once it has been; see `tuning.tuned`.

    Raises:
      InputError: no variants, a name or a label twice, a name with spaces or @, a baseline that is none of the
        variants, no pairs, a single sibling, or nothing to choose from in `tune`.
    """

    config: Config
    variants: Sequence[Variant]
    baseline: str
    pairs: int = 3
    choose: str = ""
    allow_collapsed: bool = False
    tune: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    tuned: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if not names:
            raise InputError("variants must be one or more, got none")
        for name, times in collections.Counter(names).items():
            if not _NAME.fullmatch(name):
                raise InputError(f"the name of a variant must have neither spaces nor @, got {name!r}")
            if times > 1:
                raise InputError(f"the names of variants must differ, got {name!r} {times} times")
        for label, times in collections.Counter(variant.label for variant in self.variants).items():
            # The rows of a report's tables are found by their labels.
            if times > 1:
                raise InputError(f"the labels of variants must differ, got {label!r} {times} times")
        if self.baseline not in names:
            raise InputError(f"baseline must be one of {', '.join(names)}, got {self.baseline!r}")
        if self.pairs < 1:
            raise InputError(f"pairs must be at least 1, got {self.pairs}")
        if self.config.siblings.replicas < 2:
            raise InputError(f"siblings.replicas must be at least 2, got {self.config.siblings.replicas}")
        if "seed" in self.tune:
            raise InputError("tune must leave the seed to the pairs, got values of it")
        if self.tune and math.prod(map(len, self.tune.values())) < 2:
            raise InputError(f"tune must have two or more values to choose from, got {dict(self.tune)}")

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.pairs)


def activation(name: str, *betas: float, relative: Sequence[float] = ()) -> list[Variant]:
    """A variant for each width of an activation, in order, or one of an activation that has none.

    Args:
      name: of the activation.
      *betas: its widths; none: the activation has no width, or keeps its default.
      relative: further widths, as shares of the pre-activations' root mean square.

    >>> [variant.name for variant in activation("smelu", 0.1, 0.2)]
    ['smelu:0.1', 'smelu:0.2']
    >>> [variant.label for variant in activation("smelu", relative=(0.3,))]
    ['SmeLU 0.3 rms']
    >>> activation("relu")[0].label
    'ReLU'
    """
    from smooth_recs.activations import registry  # here, since it loads TensorFlow

    label = activation_label({"model": {"activation": name}})
    if not betas and not relative:
        return [Variant(name, label, {"model.activation": name})]
    widths = [("beta", beta, "", "") for beta in betas]
    widths += [("relative_beta", share, registry.RELATIVE, f" {registry.RELATIVE}") for share in relative]
    return [
        Variant(
            f"{name}:{width:g}{suffix}",
            f"{label} {width:g}{unit}",
            {"model.activation": name, f"model.{field}": float(width)},
            line=f"{label}{unit}",
            width=float(width),
        )
        for field, width, suffix, unit in widths
    ]


def config_of(path: Path) -> Config:
    """What `get_config()` of another configuration file, at `path`, returns.

    ```python
    config = sweeps.config_of(Path(__file__).parents[1] / "demo.py")
    ```
    """
    config: Config = runpy.run_path(str(path))["get_config"]()
    return config


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
    """What is wanted of the best variant: with `sign` 1 the least of `measure`, with -1 the most, within bounds."""

    text: str
    sign: int
    measure: str
    bounds: tuple[Bound, ...] = ()

    @property
    def measures(self) -> list[str]:
        """Every measure that decides, each once."""
        return list(dict.fromkeys([self.measure, *(bound.measure for bound in self.bounds)]))


def parse_goal(text: str, measures: Collection[str], variants: Collection[str]) -> Goal:
    """A goal from `min|max MEASURE [subject to MEASURE <=|>= LIMIT [and ...]]`.

    Args:
      text: see the module's docstring; a limit is a number, a percentage, or a variant's name, plus or minus a
        percentage of that variant's measure.
      measures, variants: the names that there are.

    Raises:
      InputError: the text has another form, or a name is unknown.

    >>> parse_goal("min pd subject to auc_loss <= relu + 0.5%", ["pd", "auc_loss"], ["relu"]).bounds[0].limit
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
    measure, comparison, limit = found[1], found[2], found[3].strip()
    # A plain number is tried first, then the name of a variant, which may itself end like `smelu:0.1 -2%`.
    number, than = _number(limit), ""
    if number is None:
        number, than = 1.0, limit
        slack = None if limit in variants else _PERCENT.fullmatch(limit)
        percent = _number(slack[3]) if slack else None
        if slack and percent is not None:
            number, than = 1 + (percent if slack[2] == "+" else -percent) / 100, slack[1]
        than = _known(than, variants, "a number, or a variant")
    sign = 1 if comparison == "<=" else -1
    return Bound(" ".join(text.split()), _known(measure, measures, "a measure"), sign, number, than)


def _number(text: str) -> float | None:
    """The number that a text is, where it ends in % a hundredth of it; None for another text, infinities and NaN."""
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
