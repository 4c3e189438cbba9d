"""The signatures of an export: raw features by name, tf.Examples, and what TensorFlow Serving's other calls take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from smooth_recs.data.encoding import Encoder
from smooth_recs.data.schema import Categorical, Numeric, Schema
from smooth_recs.serving.declared import CLASSIFY, EXAMPLES, LOGITS, OF_EXAMPLES, RAW, REGRESS

CLASSES = ("0", "1")  # labels; the score of the second is the probability of engagement

_METHODS = {CLASSIFY: "tensorflow/serving/classify", REGRESS: "tensorflow/serving/regress"}

Predict = Callable[[Mapping[str, Any]], Any]


def functions(encoder: Encoder, probability: Predict, logit: Predict | None) -> dict[str, Any]:
    """One traced function a signature.

    | signature          | inputs                                    | outputs                               |
    | ------------------ | ----------------------------------------- | ------------------------------------- |
    | `serving_default`  | the raw features (`raw_signature`)        | `probability`, float32 [batch]        |
    | `logits`           | the raw features                          | `logit`, float32 [batch]              |
    | `serving_examples` | `examples`: tf.Examples, string [batch]   | `probability`                         |
    | `classify`         | `inputs`: tf.Examples                     | `classes`, `scores`, [batch, 2]       |
    | `regress`          | `inputs`: tf.Examples                     | `outputs`, float32 [batch]            |

    All refuse inputs of another shape than they declare, which TensorFlow's runtime does not do by itself. In a
    tf.Example a feature that is absent or empty is missing; a single-valued one with several values is refused.

    Args:
      encoder: maps raw features to encoded ones.
      probability: maps encoded features to probabilities [batch].
      logit: maps them to log-odds [batch]; None leaves the signature `logits` out.
    """
    raw = {name: tf.TensorSpec(s.shape, s.dtype, name=name) for name, s in encoder.raw_signature().items()}

    def of_raw(output: str, predict: Predict) -> Any:
        return _traced(lambda **given: {output: predict(encoder(_ensured(given, raw)))}, raw)

    default = of_raw("probability", probability)

    def of_examples(signature: str, outputs: Callable[[Any], dict[str, Any]]) -> Any:
        name = OF_EXAMPLES[signature]
        spec = {name: tf.TensorSpec([None], tf.string, name=name)}

        def answer(**given: Any) -> dict[str, Any]:
            features = parsed(encoder.schema, _ensured(given, spec)[name])
            return outputs(default(**features)["probability"])  # one trace of the network less

        return _traced(answer, spec)

    return {
        RAW: default,
        EXAMPLES: of_examples(EXAMPLES, lambda p: {"probability": p}),
        CLASSIFY: of_examples(CLASSIFY, _classified),
        REGRESS: of_examples(REGRESS, lambda p: {"outputs": p}),
        **({} if logit is None else {LOGITS: of_raw("logit", logit)}),
    }


def set_methods(path: str) -> None:
    """Tells TensorFlow Serving which signatures are for its calls Classify and Regress.

    `tf.saved_model.save` calls every method `predict`; this writes `saved_model.pb` once more.
    """
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(path)
    for signature, method in _METHODS.items():
        updater.replace_method_name(signature, method, tags="serve")
    updater.save()


def parsed(schema: Schema, examples: Any) -> dict[str, Any]:
    """The raw features of serialized tf.Examples [batch], with the marks of what is missing."""
    specs = {f.name: _example_spec(f) for f in schema.features}
    columns = tf.io.parse_example(examples, specs)
    return {
        f.name: columns[f.name] if _multi_valued(f) else _one_value(columns[f.name], specs[f.name].default_value)
        for f in schema.features
    }


def _example_spec(feature: Numeric | Categorical) -> Any:
    if isinstance(feature, Numeric):
        return tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True, default_value=float("nan"))
    missing = "" if feature.dtype == "string" else -1
    return tf.io.FixedLenSequenceFeature([], tf.as_dtype(feature.dtype), allow_missing=True, default_value=missing)


def _one_value(column: Any, missing: Any) -> Any:
    """[batch, 0 or 1] to [batch]; more columns are an error."""
    width = tf.maximum(tf.shape(column)[1], 1)
    widened = tf.pad(column, [[0, 0], [0, 1]], constant_values=tf.constant(missing, column.dtype))[:, :width]
    return tf.ensure_shape(widened, [None, 1])[:, 0]


def _multi_valued(feature: Numeric | Categorical) -> bool:
    return isinstance(feature, Categorical) and feature.multi_valued


def _ensured(given: Mapping[str, Any], specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    return {name: tf.ensure_shape(given[name], spec.shape) for name, spec in specs.items()}


def _classified(probability: Any) -> dict[str, Any]:
    classes = tf.repeat(tf.constant([CLASSES]), tf.shape(probability)[0], axis=0)
    return {"classes": classes, "scores": tf.stack([1 - probability, probability], axis=1)}


def _traced(function: Callable[..., dict[str, Any]], specs: Mapping[str, tf.TensorSpec]) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(**specs)
