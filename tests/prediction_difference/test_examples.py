"""The examples in the docstrings run and give what their comments say."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest

from smooth_recs import prediction_difference as pd


def flat(value: Any) -> list[float]:
    return [one for part in value for one in flat(part)] if hasattr(value, "__iter__") else [float(value)]


@pytest.mark.parametrize("name", pd.__all__)
def test_example(name: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(getattr(pd, name)), re.DOTALL)
    *setup, last = code.strip().splitlines()
    expression, comment = last.split("  # ")
    names: dict[str, Any] = {"np": np, **vars(pd)}
    exec("\n".join(setup), names)
    # Digits before the first word; "..." stands for more of them.
    expected = [float(number) for number in re.findall(r"\d+\.?\d*", re.split("[a-z]", comment)[0])]
    value = flat(eval(expression, names))
    near = re.fullmatch(r"both ends near (\d.*)", comment)
    assert value == pytest.approx([float(near[1])] * 2 if near else expected, rel=0.01, abs=1e-12)
