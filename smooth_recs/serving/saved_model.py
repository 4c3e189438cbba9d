"""Exports: SavedModels that take the raw features by name, written once a run has trained or while it trains."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import Any

import tensorflow as tf

from smooth_recs import _files, activations
from smooth_recs.artifacts import exports
from smooth_recs.callbacks.checkpoints import writing
from smooth_recs.callbacks.periodic import Periodic
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.models.ranking import Features, Ranker
from smooth_recs.models.trackable import predicting_variables
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import folding
from smooth_recs.serving.saved_signatures import CLASSIFY, EXAMPLES, LOGITS, OF_EXAMPLES, RAW, REGRESS

CLASSES = ("0", "1")  # labels; the score of the second is the probability of engagement

Predict = Callable[[Mapping[str, Any]], Any]


class ServingModule(tf.Module):
    """What is saved: variables, vocabularies and a function a signature (`signature_functions`), nothing of Keras.

    The signature `logits` is there for the ranking models of this package.
    """

    def __init__(self, model: Any, encoder: Encoder) -> None:
        super().__init__(name="smooth_recs_export")
        self.encoder = encoder
        served = folding.folded(model)
        several = isinstance(served, Ranker) and bool(served.task_weights)

        def probability(features: Features) -> tf.Tensor:
            predict = served.task_probabilities if several else served
            return tf.cast(predict(features, training=False), tf.float32)

        def logit(features: Features) -> tf.Tensor:
            return served.logits(features) if several else tf.squeeze(served.logits(features), axis=1)

        has_logit = isinstance(served, Ranker) and (served.outputs == 1 or several)
        tasks = encoder.schema.labels[1:] if several else ()
        with activations.frozen(model):
            self.functions = signature_functions(encoder, probability, logit if has_logit else None, tasks)
        # tf.saved_model.save finds variables through attributes, and the model itself, of Keras, is none (TF 2.21).
        # Without the metrics': nobody serves them, and to save them several processes would have to sum them up.
        self.model_variables = predicting_variables(served)


def save(model: Any, encoder: Encoder, base: str, complete: Callable[[str], None] = lambda _: None) -> str:
    """Writes a SavedModel as the next version under `base`, whole or not at all.

    Args:
      model: a Keras model that maps encoded features to probabilities; learned activations become constants. Of a
        model that has one, its `deployed_model()` is saved: of an ensemble whose first component predicts, that alone.
      encoder: maps raw features to encoded ones.
      base: folder of versions: the export is `base/VERSION`, with VERSION one above the highest that is there.
      complete: adds files to the export, whose path it is given, before that is a version.

    Returns:
      The path of the export.
    """
    _files.makedirs(base)
    target = exports.next_version(base)
    with _files.hidden_folder(base) as hidden:
        beside = os.path.join(hidden, "export")
        deployed = getattr(model, "deployed_model", lambda: model)()
        module = ServingModule(deployed, encoder)
        with writing(f"an export in {base}"):
            tf.saved_model.save(module, beside, signatures=dict(module.functions))
        # tf.saved_model.save (TF 2.21) calls every method `predict`, and TensorFlow Serving answers Classify and
        # Regress only through signatures that name these calls: so saved_model.pb is written once more.
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(beside)
        updater.replace_method_name(CLASSIFY, tf.saved_model.CLASSIFY_METHOD_NAME, tags="serve")
        updater.replace_method_name(REGRESS, tf.saved_model.REGRESS_METHOD_NAME, tags="serve")
        updater.save()
        complete(beside)
        _files.place(beside, target, exports.SAVED_MODEL)
    return target


def signature_functions(
    encoder: Encoder, probability: Predict, logit: Predict | None, tasks: Sequence[str] = ()
) -> dict[str, Any]:
    """The signatures of an export, a traced function for each.

    | signature          | inputs                                    | outputs                               |
    | ------------------ | ----------------------------------------- | ------------------------------------- |
    | `serving_default`  | the raw features (`raw_signature`)        | `probability`, float32 [batch]        |
    | `logits`           | the raw features                          | `logit`, float32 [batch]              |
    | `serving_examples` | `examples`: tf.Examples, string [batch]   | `probability`                         |
    | `classify`         | `inputs`: tf.Examples                     | `classes`, `scores`, [batch, 2]       |
    | `regress`          | `inputs`: tf.Examples                     | `outputs`, float32 [batch]            |

    Of a model of several tasks, the outputs of the first three have those for the other tasks beside, by the names of
    their labels; `classify` and `regress` answer for the first one.

    All refuse inputs of another shape than they declare, which TensorFlow's runtime (2.21) does not do by itself. In a
    tf.Example a feature that is absent or empty is missing; a single-valued one with several values is refused.

    Args:
      encoder: maps raw features to encoded ones.
      probability: maps encoded features to probabilities [batch], or [batch, 1 + tasks] where there are `tasks`.
      logit: maps them to log-odds of the same shape; None leaves the signature `logits` out.
      tasks: the names of the labels after the first one.
    """
    raw = {name: tf.TensorSpec(s.shape, s.dtype, name=name) for name, s in encoder.raw_signature().items()}

    def of_raw(output: str, predict: Predict) -> Any:
        def outputs(**given: Any) -> dict[str, Any]:
            found = predict(encoder(given))
            return dict(zip((output, *tasks), tf.unstack(found, axis=1), strict=True)) if tasks else {output: found}

        return _traced(outputs, raw)

    default = of_raw("probability", probability)

    def of_examples(signature: str, outputs: Callable[[Any], dict[str, Any]]) -> Any:
        name = OF_EXAMPLES[signature]
        spec = {name: tf.TensorSpec([None], tf.string, name=name)}

        def answer(**given: Any) -> dict[str, Any]:
            features = parse_examples(encoder.schema, given[name])
            return outputs(default(**features))  # one trace of the network less

        return _traced(answer, spec)

    def classified(outputs: Mapping[str, Any]) -> dict[str, Any]:
        probability = outputs["probability"]
        classes = tf.repeat(tf.constant([CLASSES]), tf.shape(probability)[0], axis=0)
        return {"classes": classes, "scores": tf.stack([1 - probability, probability], axis=1)}

    return {
        RAW: default,
        EXAMPLES: of_examples(EXAMPLES, dict),
        CLASSIFY: of_examples(CLASSIFY, classified),
        REGRESS: of_examples(REGRESS, lambda found: {"outputs": found["probability"]}),
        **({} if logit is None else {LOGITS: of_raw("logit", logit)}),
    }


def parse_examples(schema: Schema, examples: Any) -> dict[str, Any]:
    """The raw features of serialized tf.Examples [batch], with the marks of what is missing."""

    def spec(feature: Numeric | Categorical) -> Any:
        # A FixedLenFeature refuses a feature that is there and empty (TF 2.21), which here is missing like an absent
        # one; a sequence takes it, and one value too many is refused below.
        if isinstance(feature, Numeric):
            return tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True, default_value=float("nan"))
        missing = "" if feature.dtype == "string" else -1
        return tf.io.FixedLenSequenceFeature([], tf.as_dtype(feature.dtype), allow_missing=True, default_value=missing)

    def one_value(column: Any, missing: Any) -> Any:
        """[batch, 0 or 1] to [batch]; more columns are an error."""
        width = tf.maximum(tf.shape(column)[1], 1)
        widened = tf.pad(column, [[0, 0], [0, 1]], constant_values=tf.constant(missing, column.dtype))[:, :width]
        return tf.ensure_shape(widened, [None, 1])[:, 0]

    specs = {feature.name: spec(feature) for feature in schema.features}
    columns = tf.io.parse_example(examples, specs)
    several = {feature.name for feature in schema.categorical if feature.multi_valued}
    return {
        name: column if name in several else one_value(column, specs[name].default_value)
        for name, column in ((feature.name, columns[feature.name]) for feature in schema.features)
    }


def _traced(function: Callable[..., dict[str, Any]], specs: Mapping[str, tf.TensorSpec]) -> Any:
    """One graph of `function`, whose inputs must have the shapes of `specs`."""

    def checked(**given: Any) -> dict[str, Any]:
        # Asserted: a session (TensorFlow 2.21) takes inputs of any shape, whatever a signature declares.
        return function(**{name: tf.ensure_shape(given[name], spec.shape) for name, spec in specs.items()})

    # Without AutoGraph: nothing here branches on tensors, and it cannot read the source of a lambda.
    return tf.function(checked, autograph=False).get_concrete_function(**specs)


class PeriodicExports(Periodic):
    """Exports every sibling each so many steps, as the next version under `base/replica_K`, and keeps the newest ones.

    For a log that does not end. Versions of the same number are of the same step. Where a process was killed between
    one sibling's export and the next one's, the beginning of the next `fit` takes back those that lack a counterpart:
    the newest of a sibling, if it is one above another sibling's.

    Args:
      encoder: maps raw features to encoded ones.
      base: folder of the exports: `base/replica_K/VERSION/saved_model.pb`.
      every: a number of training steps; with `steps_per_execution` above 1, after the execution that passes a multiple.
      keep: how many versions of a sibling are kept, those included that were there before; 0 = all.
      complete: adds files to each export, whose path it is given, before that is a version.

    Raises:
      ValueError: every below 1, keep below 0.
      InputError: training on parameter servers, whose tables cannot be exported from the cluster.

    ```python
    siblings.fit(batches, callbacks=[PeriodicExports(source.encoder, "runs/stream/export", every=10_000, keep=3)])
    ```
    """

    def __init__(
        self,
        encoder: Encoder,
        base: str,
        every: int,
        keep: int = 3,
        complete: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not isinstance(every, int):
            raise ValueError(f"every must be a number of steps, got {every!r}")
        if keep < 0:
            raise ValueError(f"keep must be at least 0, got {keep!r}")
        super().__init__(every, log_dir=None)
        self._encoder, self._base, self._keep, self._complete = encoder, base, keep, complete

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # The attribute that Keras gives to a model that was compiled under ParameterServerStrategy (tf_keras 2.21).
        if getattr(self.model, "_cluster_coordinator", None) is not None:
            raise InputError("train.export_steps must be 0 under parameter_server, which exports at the end only")
        super().on_train_begin(logs)
        take_back(self._folders())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Does nothing: an epoch may end at any step, and versions of one number must be of the same step."""

    def report(self, logs: dict[str, Any] | None) -> None:
        """Exports every sibling, and removes the versions that are not kept."""

        def export() -> None:
            for replica, folder in zip(self.model.deployed_model().replicas, self._folders(), strict=True):
                save(replica, self._encoder, folder, self._complete)
                for version in exports.versions(folder)[: -self._keep] if self._keep else ():
                    _remove(folder, version)

        # In a thread of its own: Keras runs callbacks inside the strategy's scope, which is a thread's, and a variable
        # made in it (the folded kernels) would be one of all processes (tf_keras 2.21).
        average = self.model.weight_average
        with (
            futures.ThreadPoolExecutor(1) as thread,
            contextlib.nullcontext() if average is None else average.settled(),
        ):
            thread.submit(export).result()

    def _folders(self) -> Sequence[str]:
        return [os.path.join(self._base, f"replica_{k}") for k in range(len(self.model.replicas))]


def take_back(folders: Sequence[str]) -> None:
    """Removes the newest version in each of `folders`, of siblings, that is one above that of another.

    Where a process was killed between one sibling's export and the next one's, versions of one number are of the same
    step again.
    """
    newest = {folder: max(exports.versions(folder), default=0) for folder in folders}
    for folder, version in newest.items():
        if version == 1 + min(newest.values()):
            _remove(folder, version)


def _remove(folder: str, version: int) -> None:
    """Removes a version at once for whoever looks for versions, as a server of models does."""
    _files.remove_folder(os.path.join(folder, str(version)), exports.SAVED_MODEL)
