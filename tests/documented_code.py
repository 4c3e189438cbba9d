"""Code that documentation shows: it runs as it stands, and a comment that says what came out is held against it.

    relative([0.125, 0.2], [0.375, 0.2])  # 0.5
    tower(x)                              # [32, 64], which may be a shape
    kl([1.0], [0.5])                      # 0.6931..., log 2

A comment that begins like a value must be one; any other is prose.
"""

from __future__ import annotations

import ast
import io
import linecache
import math
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```", re.DOTALL | re.MULTILINE)
VALUE = re.compile(r"-?[\d\[({\"']|(None|True|False)\b")


def run(source: str, names: dict[str, Any], place: str) -> None:
    """Runs `source`, statement by statement, in the namespace `names`; errors name `place`."""
    comments = _comments(source)
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    for node in ast.parse(source, place).body:
        if not isinstance(node, ast.Expr):
            exec(compile(ast.Module([node], []), place, "exec", dont_inherit=True), names)
            continue
        value = eval(compile(ast.Expression(node.value), place, "eval", dont_inherit=True), names)
        said = comments.get(node.end_lineno or 0, "")
        if VALUE.match(said):
            claim, tolerance = _claim(said, place)
            assert _agree(value, claim, tolerance), f"{place}: {ast.unparse(node)} is {value!r}, not {said}"


def _comments(source: str) -> dict[int, str]:
    """The comments by line number."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def _claim(said: str, place: str) -> tuple[Any, float]:
    """The value that a comment begins with, and how far from it a number may be.

    A number with four or more decimals, or with dots after it, was rounded or cut off.
    """
    text = re.sub(r"(\d)\.\.\.", r"\1", said)
    ends = [match.start() for match in re.finditer("[:;,]", text)]
    for end in [len(text), *reversed(ends)]:
        try:
            value = ast.literal_eval(text[:end].replace(", ...}", "}"))
        except (SyntaxError, ValueError):
            continue
        decimals = [len(part) for part in re.findall(r"\d\.(\d+)", text[:end])]
        rounded = text != said or max(decimals, default=0) >= 4
        return value, 10.0 ** -min(decimals) if rounded and decimals else 1e-6
    raise AssertionError(f"{place}: the comment begins like a value and is none: {said}")


def _agree(value: Any, claim: Any, tolerance: float) -> bool:
    if claim is Ellipsis:
        return True
    if claim is None or isinstance(claim, str | bool):
        return bool(value == claim)
    if isinstance(claim, Mapping):
        return claim.keys() <= value.keys() and all(_agree(value[key], claim[key], tolerance) for key in claim)
    if isinstance(claim, Sequence):
        is_shape = hasattr(value, "shape") and list(value.shape) == list(claim)
        value = value if isinstance(value, Sequence) else np.asarray(value).tolist()
        if claim and claim[-1] is Ellipsis:  # and so on
            claim, value = claim[:-1], value[: len(claim) - 1]
        return is_shape or (
            len(value) == len(claim) and all(_agree(*pair, tolerance) for pair in zip(value, claim, strict=True))
        )
    return math.isclose(float(value), claim, rel_tol=1e-6, abs_tol=tolerance)


def blocks(text: str, *languages: str) -> Iterable[str]:
    """The fenced blocks of these languages in a docstring."""
    return [match["text"] for match in FENCE.finditer(text) if match["language"] in languages]
