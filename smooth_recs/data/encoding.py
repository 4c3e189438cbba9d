"""From raw rows to what the model takes: the same code in the input pipeline and inside every export.

What the rows of a run's embedding tables stand for, in a file beside its checkpoints, so that its data may go.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from smooth_recs._files import whole_file
from smooth_recs.data.feature_statistics import Statistics, Vocabulary, finite, rescaled
from smooth_recs.errors import InputError
from smooth_recs.fields import from_dict
from smooth_recs.schema import Categorical, Numeric, Schema

PADDING = -1


class Encoder(tf.Module):
    """Encodes raw features {name: tensor} as ids and floats, in any graph and at any batch size, 0 included.

    A categorical feature with k known values takes the rows 0 to k - 1 of its embedding table for them, row k for a
    value out of vocabulary (or outside [0, size)), row k + 1 for a missing one. A multi-valued feature keeps -1 for
    padding and missing values, so that its combiner can mask them. A numeric feature becomes float32 [n, width].

    Args:
      schema: the features; string or int64 [n], or [n, max_values] for multi-valued ones, or float32 [n].
      statistics: what `statistics.collect` found in the training rows; needed for vocabularies and standardisation.

    Raises:
      InputError: the statistics lack a feature that needs them.

    ```python
    import tensorflow as tf
    from smooth_recs.data.encoding import Encoder
    from smooth_recs.schema import Categorical, Numeric, Schema

    schema = Schema((Numeric("price", transform="log"), Categorical("shop", "identity", size=10, dtype="int64")))
    encoded = Encoder(schema)({"price": tf.constant([0.0]), "shop": tf.constant([99], tf.int64)})
    assert encoded["price"].shape == (1, 1) and int(encoded["shop"][0]) == 10
    ```
    """

    def __init__(self, schema: Schema, statistics: Statistics = Statistics()) -> None:  # noqa: B008 (it is frozen)
        super().__init__(name="encoder")
        schema.validate()
        self.schema = schema
        self.statistics = statistics
        self._check_statistics()
        self._vocabularies = {
            f.name: Vocabulary(statistics.vocabularies[f.name], f.dtype)
            for f in schema.categorical
            if f.encoding == "vocabulary"
        }

    @tf.autograph.experimental.do_not_convert
    def __call__(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The encoded features; raises InputError where one is not in `raw`."""
        lacking = [feature.name for feature in self.schema.features if feature.name not in raw]
        if lacking:
            raise InputError(f"encoder: the raw features lack {', '.join(map(repr, lacking))}")
        return {feature.name: self._encode(feature, raw[feature.name]) for feature in self.schema.features}

    def known_values(self, feature: Categorical) -> int:
        """How many values have a row of their own."""
        return len(self.statistics.vocabularies[feature.name]) if feature.encoding == "vocabulary" else feature.size

    def table_rows(self, feature: Categorical) -> int:
        """Rows of the feature's embedding table: known values, out of vocabulary, missing."""
        return self.known_values(feature) + 2

    def raw_signature(self) -> dict[str, tf.TensorSpec]:
        """The export's inputs: [None], or [None, None] for multi-valued features (`max_values` of them are used)."""
        return {feature.name: _raw_spec(feature) for feature in self.schema.features}

    def _check_statistics(self) -> None:
        for feature in self.schema.features:
            needs_moments = isinstance(feature, Numeric) and feature.needs_statistics
            needs_vocabulary = isinstance(feature, Categorical) and feature.encoding == "vocabulary"
            if (needs_moments and feature.name not in self.statistics.moments) or (
                needs_vocabulary and feature.name not in self.statistics.vocabularies
            ):
                raise InputError(f"encoder: statistics must hold the feature {feature.name!r}, got none for it")

    def _encode(self, feature: Numeric | Categorical, values: Any) -> Any:
        return self._number(feature, values) if isinstance(feature, Numeric) else self._ids(feature, values)

    def _ids(self, feature: Categorical, values: Any) -> Any:
        values = tf.convert_to_tensor(values, tf.as_dtype(feature.dtype))
        known = self.known_values(feature)
        if feature.encoding == "identity":
            ids = tf.where((values >= 0) & (values < known), values, known)
        elif feature.encoding == "vocabulary":
            ids = self._vocabularies[feature.name].rank(values)
        else:  # hashing the text of an integer: the same id whether a log stores it as a number or as text
            text = values if feature.dtype == "string" else tf.strings.as_string(values)
            ids = tf.strings.to_hash_bucket_fast(text, known)
        missing = tf.equal(values, _missing(feature))
        if feature.multi_valued:
            return tf.where(missing, tf.constant(PADDING, tf.int64), ids)[:, : feature.max_values]
        return tf.where(missing, tf.constant(known + 1, tf.int64), ids)

    def _number(self, feature: Numeric, values: Any) -> Any:
        values = tf.convert_to_tensor(values, tf.float32)
        missing = tf.math.is_nan(values)
        mean, std = self.statistics.moments.get(feature.name, (0.0, 1.0))
        values, center = rescaled(feature, values), mean
        if feature.transform.endswith("standardize"):
            values, center = finite((values - mean) / std), 0.0
        values = tf.where(missing, center if feature.missing == "mean" else 0.0, values)
        columns = [values, tf.cast(missing, tf.float32)] if feature.missing == "indicator" else [values]
        return tf.stack(columns, axis=-1)


def _missing(feature: Categorical) -> str | int:
    return "" if feature.dtype == "string" else -1


def _raw_spec(feature: Numeric | Categorical) -> tf.TensorSpec:
    if isinstance(feature, Numeric):
        return tf.TensorSpec([None], tf.float32, name=feature.name)
    shape = [None, None] if feature.multi_valued else [None]
    return tf.TensorSpec(shape, tf.as_dtype(feature.dtype), name=feature.name)


NAME = "encoder.json"


class Encoding(NamedTuple):
    """What an encoder knows, without the lookup tables, which would be placed in a cluster."""

    schema: Schema
    statistics: Statistics

    @classmethod
    def of(cls, encoder: Encoder) -> Encoding:
        return cls(encoder.schema, encoder.statistics)

    def known_values(self, feature: Categorical) -> int:
        """As `Encoder.known_values`."""
        return len(self.statistics.vocabularies[feature.name]) if feature.encoding == "vocabulary" else feature.size

    def table_rows(self, feature: Categorical) -> int:
        """As `Encoder.table_rows`."""
        return self.known_values(feature) + 2


def save(encoder: Encoder, path: str) -> None:
    """Writes schema and statistics, whole or not at all."""
    content = {"schema": dataclasses.asdict(encoder.schema), "statistics": json.loads(encoder.statistics.to_json())}
    with whole_file(path) as beside, open(beside, "w", encoding="utf-8") as stream:
        json.dump(content, stream)


def load(path: str) -> Encoding:
    """What `save` wrote; raises InputError where the file does not hold it."""
    try:
        with open(path, encoding="utf-8") as stream:
            content = json.load(stream)
        schema: Schema = from_dict(Schema, content["schema"], "schema")
        schema.validate()
        statistics = Statistics.from_json(json.dumps(content["statistics"]))
        lacking = [f.name for f in schema.categorical if f.encoding == "vocabulary"]
        if not set(lacking) <= set(statistics.vocabularies):
            raise InputError(f"no vocabulary for {', '.join(lacking)}")
        return Encoding(schema, statistics)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise InputError(f"{path} must hold the encoder of a run: {error}") from error
