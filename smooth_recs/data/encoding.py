"""Encoding of raw rows as what the model takes: the same code in the input pipeline and inside every export.

`Encoder` does it in TensorFlow operations. `Encoding` is what it knows: `save` keeps it beside the checkpoints of a
run, so that the meaning of every embedding row is known when the data are gone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from smooth_recs import _files
from smooth_recs.data.feature_statistics import Statistics, Vocabulary, finite, rescaled
from smooth_recs.errors import InputError
from smooth_recs.fields import from_dict
from smooth_recs.schema import Categorical, Numeric, Schema

PADDING = -1


class Encoding(NamedTuple):
    """Knowledge of an encoder without its lookup tables, which are tensors that a cluster would place on a device."""

    schema: Schema
    statistics: Statistics

    @classmethod
    def of(cls, encoder: Encoder) -> Encoding:
        """The knowledge of that encoder."""
        return cls(encoder.schema, encoder.statistics)

    def known_values(self, feature: Categorical) -> int:
        """The number of values that have a row of their own."""
        return len(self.statistics.vocabularies[feature.name]) if feature.encoding == "vocabulary" else feature.size

    def table_rows(self, feature: Categorical) -> int:
        """Rows of the feature's embedding table: known values, out of vocabulary, missing."""
        return self.known_values(feature) + 2


class Encoder(tf.Module):
    """Encodes raw features {name: tensor} as ids and floats, in any graph and at any batch size, 0 included.

    A categorical feature with k known values takes the rows 0 to k - 1 of its embedding table for them, row k for a
    value out of vocabulary (or outside [0, size)), row k + 1 for a missing one. A multi-valued feature keeps -1 for
    padding and missing values, so that its combiner can mask them. A numeric feature becomes float32 [n, width].

    Args:
      schema: the features; string or int64 [n], or [n, max_values] for multi-valued ones, or float32 [n].
      statistics: what `feature_statistics.collect` found in the training rows; needed for vocabularies and
        standardisation.

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
        vocabularies = {feature.name for feature in schema.categorical if feature.encoding == "vocabulary"}
        moments = {feature.name for feature in schema.numeric if feature.needs_statistics}
        for feature in schema.features:
            if feature.name in (vocabularies - set(statistics.vocabularies)) | (moments - set(statistics.moments)):
                raise InputError(f"encoder: statistics must hold the feature {feature.name!r}, got none for it")
        self._vocabularies = {
            f.name: Vocabulary(statistics.vocabularies[f.name], f.dtype)
            for f in schema.categorical
            if f.name in vocabularies
        }

    # AutoGraph would go through all that is called from here, and find nothing to convert: a run starts sooner so.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """The encoded features; raises InputError where one is not in `raw`."""
        lacking = [feature.name for feature in self.schema.features if feature.name not in raw]
        if lacking:
            raise InputError(f"encoder: the raw features lack {', '.join(map(repr, lacking))}")
        return {
            f.name: self._number(f, raw[f.name]) if isinstance(f, Numeric) else self.ids(f, raw[f.name])
            for f in self.schema.features
        }

    def known_values(self, feature: Categorical) -> int:
        """The number of values that have a row of their own."""
        return Encoding.of(self).known_values(feature)

    def table_rows(self, feature: Categorical) -> int:
        """Rows of the feature's embedding table: known values, out of vocabulary, missing."""
        return Encoding.of(self).table_rows(feature)

    def raw_signature(self) -> dict[str, tf.TensorSpec]:
        """The export's inputs: [None], or [None, None] for multi-valued features (`max_values` of them are used)."""
        several = {feature.name for feature in self.schema.categorical if feature.multi_valued}
        return {
            feature.name: tf.TensorSpec(
                [None, None] if feature.name in several else [None],
                tf.float32 if isinstance(feature, Numeric) else tf.as_dtype(feature.dtype),
                name=feature.name,
            )
            for feature in self.schema.features
        }

    def ids(self, feature: Categorical, values: Any) -> Any:
        """The ids of the values of a categorical feature, int64: [n], or [n, max_values] if it is multi-valued."""
        values = tf.convert_to_tensor(values, tf.as_dtype(feature.dtype))
        known = self.known_values(feature)
        if feature.encoding == "identity":
            ids = tf.where((values >= 0) & (values < known), values, known)
        elif feature.encoding == "vocabulary":
            ids = self._vocabularies[feature.name].rank(values)
        else:  # hashing the text of an integer: the same id whether a log stores it as a number or as text
            text = values if feature.dtype == "string" else tf.strings.as_string(values)
            ids = tf.strings.to_hash_bucket_fast(text, known)
        missing = tf.equal(values, "" if feature.dtype == "string" else -1)
        if feature.multi_valued:
            return tf.where(missing, tf.constant(PADDING, tf.int64), ids)[:, : feature.max_values]
        return tf.where(missing, tf.constant(known + 1, tf.int64), ids)

    def _number(self, feature: Numeric, values: Any) -> Any:
        values = tf.convert_to_tensor(values, tf.float32)
        missing = tf.math.is_nan(values)
        mean, std = self.statistics.moments.get(feature.name, (0.0, 1.0))
        values, center = rescaled(feature, values), mean
        if feature.transform.endswith("standardize"):
            values, center = finite((values - mean) / std), 0.0  # a tiny deviation makes a large value infinite
        values = tf.where(missing, center if feature.missing == "mean" else 0.0, values)
        columns = [values, tf.cast(missing, tf.float32)] if feature.missing == "indicator" else [values]
        return tf.stack(columns, axis=-1)


NAME = "encoder.json"


def save(encoder: Encoder, path: str) -> None:
    """Writes schema and statistics, whole or not at all."""
    content = {"schema": dataclasses.asdict(encoder.schema), "statistics": json.loads(encoder.statistics.to_json())}
    _files.write_text(path, json.dumps(content))


def load(path: str) -> Encoding:
    """Reads what `save` wrote; raises InputError where the file does not hold it."""
    try:
        content = json.loads(_files.read_text(path))
        schema: Schema = from_dict(Schema, content["schema"], "schema")
        schema.validate()
        statistics = Statistics.from_json(json.dumps(content["statistics"]))
        vocabularies = [f.name for f in schema.categorical if f.encoding == "vocabulary"]
        if not set(vocabularies) <= set(statistics.vocabularies):
            raise InputError(f"no vocabulary for {', '.join(vocabularies)}")
        return Encoding(schema, statistics)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        why = f"{type(error).__name__}: {error}"
        raise InputError(f"{path} must hold the encoder of a run ({why}): take another run or workdir") from error
