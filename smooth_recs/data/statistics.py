"""Vocabularies and numeric moments, built from training rows only, kept in one JSON file."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.data.schema import Categorical, Numeric, Schema
from smooth_recs.data.transforms import rescaled

Value = bytes | int


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What the encoder must know of the training rows; empty for a schema that needs nothing.

    Attributes:
      vocabularies: by feature name, the most frequent value first, equally frequent ones in ascending order.
      moments: by feature name, mean and standard deviation after `transforms.rescaled`.
    """

    vocabularies: Mapping[str, tuple[Value, ...]] = dataclasses.field(default_factory=dict)
    moments: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """Bytes become text in which an undecodable byte is a lone surrogate: lossless, and readable if it is UTF-8."""
        vocabularies = {name: [_to_text(value) for value in values] for name, values in self.vocabularies.items()}
        return json.dumps({"vocabularies": vocabularies, "moments": {k: list(v) for k, v in self.moments.items()}})

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        content = json.loads(text)
        vocabularies = {name: tuple(map(_from_text, values)) for name, values in content["vocabularies"].items()}
        return cls(vocabularies, {name: (mean, std) for name, (mean, std) in content["moments"].items()})


def _to_text(value: Value) -> str | int:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _from_text(value: str | int) -> Value:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def needed(schema: Schema) -> bool:
    """Whether encoding needs a look at the training rows first."""
    return any(f.encoding == "vocabulary" for f in schema.categorical) or any(
        f.needs_statistics for f in schema.numeric
    )


class Moments:
    """Mean and standard deviation of a stream of chunks in float64; NaN and infinities do not count."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Merges a chunk (Chan, Golub and LeVeque's update: no sum of squares to cancel)."""
        values = values[np.isfinite(values)].astype(np.float64)
        if not values.size:
            return
        mean, total = float(values.mean()), self.count + values.size
        shift = mean - self.mean
        self._squares += float(np.square(values - mean).sum()) + shift**2 * self.count * values.size / total
        self.mean += shift * values.size / total
        self.count = total

    @property
    def std(self) -> float:
        """Of the population; 1 for a constant or empty column, which then standardises to 0."""
        return float(np.sqrt(self._squares / self.count)) or 1.0 if self.count else 1.0


def collect(schema: Schema, chunks: Iterable[Mapping[str, Any]]) -> Statistics:
    """Statistics of chunks of raw features {name: tensor}: exactly the rows that are passed in."""
    vocabulary = [feature for feature in schema.categorical if feature.encoding == "vocabulary"]
    numeric = [feature for feature in schema.numeric if feature.needs_statistics]
    counters: dict[str, collections.Counter[Value]] = {f.name: collections.Counter() for f in vocabulary}
    moments = {feature.name: Moments() for feature in numeric}
    for raw in chunks:
        for feature in vocabulary:
            counters[feature.name].update(np.asarray(raw[feature.name]).ravel().tolist())
        for number in numeric:
            values = np.asarray(raw[number.name])
            moments[number.name].add(_rescaled(number, values[np.isfinite(values)]))
    return Statistics(
        {feature.name: _most_frequent(feature, counters[feature.name]) for feature in vocabulary},
        {name: (moment.mean, moment.std) for name, moment in moments.items()},
    )


def _rescaled(feature: Numeric, values: np.ndarray) -> np.ndarray:
    return np.asarray(rescaled(feature, tf.constant(values)))


def _most_frequent(feature: Categorical, counter: collections.Counter[Value]) -> tuple[Value, ...]:
    missing: Value = b"" if feature.dtype == "string" else -1
    counted = [(value, n) for value, n in counter.items() if n >= feature.min_count and value != missing]
    counted.sort(key=lambda item: (-item[1], item[0]))
    return tuple(value for value, _ in counted[: feature.size or None])
