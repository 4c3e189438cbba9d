"""Statistics of the features in the training rows: vocabularies, means and standard deviations.

`collect` builds them in one pass over the training rows alone, `Statistics` keeps them as JSON, and `Vocabulary` looks
values up in TensorFlow operations without state. `rescaled` is the scale on which a numeric feature is standardised,
the same here, in the input pipeline and in exports.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs.data.raw_rows import Distinct
from smooth_recs.errors import InputError
from smooth_recs.schema import Numeric, Schema

LARGEST = 1e12  # the square of a unit's input is still finite, and so is a layer normalisation's variance


def finite(values: Any) -> Any:
    """Clips `values` to [-1e12, 1e12], infinite ones too; NaN stays NaN."""
    return tf.clip_by_value(values, -LARGEST, LARGEST)


def rescaled(feature: Numeric, values: Any) -> Any:
    """Finite values, or sign(x) log(1 + |x|) of them where the feature's transform starts with a logarithm."""
    values = finite(values)
    if feature.transform.startswith("log"):
        return tf.sign(values) * tf.math.log1p(tf.abs(values))
    return values


_BUCKETS = 2**63 - 1


class Vocabulary:
    """Looks values up by binary search: texts by a hash of 63 bits, and the text found is compared.

    A hash table of TensorFlow takes a third of the 100 nanoseconds per value, but is a resource of one process, which
    the data service of a cluster cannot serialise (TensorFlow 2.21).

    Args:
      values: the known ones, each once, in the order of their ranks.
      dtype: `string` or `int64`.

    Raises:
      InputError: two texts have the same hash; for a million texts the chance is 1 in 18 million.
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
        """The rank of every value, int64 of the same shape; `size` for an unknown one."""
        if not self.size:
            return tf.zeros_like(values, tf.int64)
        flat = tf.reshape(values, [-1])
        # Beyond the last key: compare with the last value, which is different, rather than gather out of bounds.
        place = tf.minimum(tf.searchsorted(self._keys, _key(flat)), self.size - 1)
        known = tf.equal(tf.gather(self._values, place), flat)
        return tf.reshape(tf.where(known, tf.gather(self._rank, place), self.size), tf.shape(values))


def _key(values: Any) -> Any:
    return tf.strings.to_hash_bucket_fast(values, _BUCKETS) if values.dtype == tf.string else values


Value = bytes | int


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Statistics of the training rows that the encoder must know; empty for a schema that needs nothing.

    Attributes:
      vocabularies: by feature name, the most frequent value first, equally frequent ones in ascending order.
      moments: by feature name, mean and standard deviation of the `rescaled` values.
      outside: by feature name, the share of the values that are not in the vocabulary; of version 0.1 none.
    """

    vocabularies: Mapping[str, tuple[Value, ...]] = dataclasses.field(default_factory=dict)
    moments: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    outside: Mapping[str, float] = dataclasses.field(default_factory=dict, compare=False)

    def to_json(self) -> str:
        """The statistics as JSON: texts that are UTF-8 stay readable, and others come back without loss."""
        # JSON has no bytes: a byte that is not UTF-8 becomes a lone surrogate, which `from_json` turns back.
        vocabularies = {
            name: [each.decode("utf-8", "surrogateescape") if isinstance(each, bytes) else each for each in values]
            for name, values in self.vocabularies.items()
        }
        moments = {name: list(moment) for name, moment in self.moments.items()}
        return json.dumps({"vocabularies": vocabularies, "moments": moments, "outside": dict(self.outside)})

    @classmethod
    def from_json(cls, text: str) -> Statistics:
        """The statistics that `to_json` gave."""
        content = json.loads(text)
        vocabularies = {
            name: tuple(each.encode("utf-8", "surrogateescape") if isinstance(each, str) else each for each in values)
            for name, values in content["vocabularies"].items()
        }
        moments = {name: (mean, std) for name, (mean, std) in content["moments"].items()}
        return cls(vocabularies, moments, content.get("outside", {}))


def needed(schema: Schema) -> bool:
    """True where encoding needs a pass over the training rows first."""
    return any(f.encoding == "vocabulary" for f in schema.categorical) or any(
        f.needs_statistics for f in schema.numeric
    )


class Moments:
    """Mean and standard deviation of a stream of chunks in float64; NaN and infinities do not count."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Merges a chunk."""
        values = values[np.isfinite(values)].astype(np.float64)
        if not values.size:
            return
        # The update of Chan, Golub and LeVeque: it keeps squared deviations, so that no large sums of squares cancel.
        mean, total = float(values.mean()), self.count + values.size
        shift = mean - self.mean
        self._squares += float(np.square(values - mean).sum()) + shift**2 * self.count * values.size / total
        self.mean += shift * values.size / total
        self.count = total

    @property
    def std(self) -> float:
        """The population's standard deviation; 1 for a constant or empty column, which then standardises to 0."""
        return float(np.sqrt(self._squares / self.count)) or 1.0 if self.count else 1.0


def collect(schema: Schema, chunks: Iterable[Mapping[str, Any]]) -> Statistics:
    """Statistics of chunks of raw features {name: tensor or `Distinct`}: exactly the rows that are passed in."""
    vocabulary = [feature for feature in schema.categorical if feature.encoding == "vocabulary"]
    counters: dict[str, collections.Counter[Value]] = {f.name: collections.Counter() for f in vocabulary}

    def counting() -> Iterator[Mapping[str, Any]]:
        for raw in chunks:
            for feature in vocabulary:
                values = raw[feature.name]
                if isinstance(values, Distinct):
                    counters[feature.name].update(dict(zip(values.values.tolist(), values.count.tolist(), strict=True)))
                else:
                    counters[feature.name].update(np.asarray(values).ravel().tolist())
            yield raw

    return collected(schema, counters, counting())


def collected(
    schema: Schema, counts: Mapping[str, Mapping[Value, int]], chunks: Iterable[Mapping[str, Any]]
) -> Statistics:
    """Statistics of training rows.

    Args:
      schema: the features.
      counts: by name of a feature with a vocabulary, how often each value occurs; complete once `chunks` are read.
      chunks: {name: values} of the numeric features.
    """
    numeric = [feature for feature in schema.numeric if feature.needs_statistics]
    moments = {feature.name: Moments() for feature in numeric}
    for raw in chunks:
        for number in numeric:
            values = np.asarray(raw[number.name])
            # Infinite values go before `rescaled`, which would make finite ones of them.
            finite_values = tf.constant(values[np.isfinite(values)])
            moments[number.name].add(np.asarray(rescaled(number, finite_values)))
    vocabularies, outside = {}, {}
    for feature in (each for each in schema.categorical if each.encoding == "vocabulary"):
        missing: Value = b"" if feature.dtype == "string" else -1
        counted = counts[feature.name]
        frequent = [(value, n) for value, n in counted.items() if n >= feature.min_count and value != missing]
        frequent.sort(key=lambda item: (-item[1], item[0]))  # a tie is broken by value: the order of rows never counts
        known = frequent[: feature.size or None]
        vocabularies[feature.name] = tuple(value for value, _ in known)
        total = sum(counted.values()) - counted.get(missing, 0)
        outside[feature.name] = 1.0 - sum(count for _, count in known) / total if total else 0.0
    return Statistics(vocabularies, {name: (each.mean, each.std) for name, each in moments.items()}, outside)
