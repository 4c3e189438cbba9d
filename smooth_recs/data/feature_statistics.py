"""The scale on which a numeric feature is standardised: one definition for statistics, pipeline and export.

From values to their ranks, in ops that keep no state: a dataset that holds them can be sent to other processes.

Vocabularies and numeric moments, built from training rows only, kept in one JSON file.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

LARGEST = 1e12  # the square of a unit's input is still finite, and so is a layer normalisation's variance


def finite(values: Any) -> Any:
    """Clips `values` to [-1e12, 1e12], infinite ones too; NaN stays NaN."""
    return tf.clip_by_value(values, -LARGEST, LARGEST)


def rescaled(feature: Numeric, values: Any) -> Any:
    """`values`, or sign(x) log(1 + |x|) of them where the feature's transform starts with a logarithm."""
    values = finite(values)
    if feature.transform.startswith("log"):
        return tf.sign(values) * tf.math.log1p(tf.abs(values))
    return values


_BUCKETS = 2**63 - 1


class Vocabulary:
    """Looks values up by binary search: texts by a hash of 63 bits, and the text found is compared.

    (A hash table of TensorFlow takes a third of the 100 nanoseconds a value, but is a resource of one process, which
    the data service of a cluster cannot serialise.)

    Args:
      values: the known ones, each once, in the order of their ranks.
      dtype: `string` or `int64`.

    Raises:
      InputError: two texts have the same hash; of a million texts once in 18 million times.
    """

    def __init__(self, values: Sequence[bytes | int], dtype: str) -> None:
        self.size = len(values)
        with tf.init_scope():  # also where a dataset is made in a graph
            known = tf.constant(list(values), tf.as_dtype(dtype), shape=[self.size])
            keys = _key(known).numpy()
            order = np.argsort(keys, kind="stable")
            equal = np.flatnonzero(np.diff(keys[order]) == 0)
            if equal.size:
                one, other = (known[order[equal[0] + k]].numpy() for k in (0, 1))
                raise InputError(f"a vocabulary must hold values of different hashes, got {one!r} and {other!r}")
            self._keys, self._rank = tf.constant(keys[order]), tf.constant(order.astype(np.int64))
            self._values = tf.gather(known, order)

    def rank(self, values: Any) -> Any:
        """int64 of the same shape: the rank of every value, `size` for an unknown one."""
        if not self.size:
            return tf.zeros_like(values, tf.int64)
        flat = tf.reshape(values, [-1])
        place = tf.minimum(tf.searchsorted(self._keys, _key(flat)), self.size - 1)
        known = tf.equal(tf.gather(self._values, place), flat)
        return tf.reshape(tf.where(known, tf.gather(self._rank, place), self.size), tf.shape(values))


def _key(values: Any) -> Any:
    return tf.strings.to_hash_bucket_fast(values, _BUCKETS) if values.dtype == tf.string else values


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
