"""Sibling replicas: the same model trained several times side by side, so that its irreproducibility can be measured.

`SiblingModel` takes what a Keras `fit` takes (`data.sibling_orders` gives each replica an order of its own), and its
`optimizer` stands for those of all replicas, so that callbacks of Keras act on all.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs import fields, keras_generation
from smooth_recs.config import Differ
from smooth_recs.data import sibling_orders
from smooth_recs.data.shuffling import SiblingBatches
from smooth_recs.errors import InputError
from smooth_recs.models.averaging import WeightAverage, share_admission
from smooth_recs.models.execution import Executions
from smooth_recs.models.progressive import ProgressiveMetrics, new_rows
from smooth_recs.models.sibling_optimizer import SiblingOptimizer, copied
from smooth_recs.models.trackable import Checkpointed

WINDOW = 64


@keras_generation.serializable
class SiblingModel(Checkpointed, keras_generation.keras().Model):  # type: ignore[misc]
    """R replicas of one model in one `fit`: one training step trains them all.

    Args:
      build_fn: returns a new Keras model each time it is called, compiled unless `compile` is given what to compile it
        with. For predictions and PD its output is a probability of shape [batch] or [batch, 1].
      replicas: R, how many; 2 by default.
      differ: what differs between the replicas. `order`, the default: the examples' order, from the same
        initialisation; `init`: the initialisation, on the same batches; `both`; `nothing`: what still differs is due to
        the hardware. Whatever it is, all replicas drop the same units in dropout layers.
      window: where orders differ, the batches of a dataset, generator or Sequence that are read at a time, and whose
        rows are permuted for each replica; 64 by default. Arrays are permuted as a whole.

    `fit`, `evaluate` and `predict` take what those of a plain model take: arrays, tensors, datasets, Sequences,
    generators. Where orders differ, each replica gets the rows in an order of its own, a new one in every epoch. A
    dataset of `SiblingBatches` (`data.shuffling.shuffled`) has orders already, which a killed run can resume exactly.
    Callbacks act on all replicas, as docs/keras.md lists.

    The model maps a batch of inputs to the predictions of all replicas, float32 [batch, R]; of outputs of another
    shape, and of several outputs, the replicas are the last axis.

    Attributes:
      replicas: the models that are trained.
      weight_average: the average of their weights, once `keep_average` was called; None before.

    Raises:
      ValueError: fewer than one replica, an unknown `differ`, replicas of different shapes, or of equal initial values
        where these should differ.

    ```python
    def build():
        model = tf.keras.Sequential([
            tf.keras.layers.Dense(8, activation="smelu"), tf.keras.layers.Dense(1, activation="sigmoid")])
        model.compile(optimizer="adagrad", loss="binary_crossentropy")
        return model

    siblings = sr.models.SiblingModel(build, replicas=2, differ="init")
    siblings.compile()
    siblings.fit(dataset, callbacks=[sr.callbacks.PredictionDifference(validation)])  # the progress bar shows pd
    ```
    """

    train_function: Any
    steps_per_execution: Any

    def __init__(
        self,
        build_fn: Callable[[], Any],
        replicas: int = 2,
        differ: Differ = "order",
        window: int = WINDOW,
        **kwargs: Any,
    ) -> None:
        model_class = keras_generation.keras().Model
        if isinstance(build_fn, model_class) or not callable(build_fn):
            raise ValueError(
                f"build_fn must be a function that returns a new model each time, got a {type(build_fn).__name__}"
            )
        if not isinstance(replicas, int):
            raise ValueError(f"replicas must be a whole number, got {replicas!r}")
        if replicas < 1:
            raise ValueError(f"replicas must be at least 1, got {replicas!r}")
        if not isinstance(window, int) or window < 1:
            raise ValueError(f"window must be a number of batches of at least 1, got {window!r}")
        fields.check("differ", differ, Differ)
        super().__init__(**kwargs)
        self._compiling = self._init_checked = False
        built = [build_fn() for _ in range(replicas)]
        for replica in built:
            if not isinstance(replica, model_class):
                raise ValueError(f"build_fn must return a Keras model, got {type(replica).__name__}")
        self.replicas = built
        self.differ = differ
        self.window = window
        self.weight_average: WeightAverage | None = None
        self._build_fn = build_fn
        self._example: Callable[[], Any] = lambda: None
        self._executions: Executions | None = None
        self._steps_per_epoch: int | None = None
        self.progressive: ProgressiveMetrics | None = None
        self._replicas_built = False
        if all(replica.built and replica.variables for replica in self.replicas):
            self._make_alike()

    @property
    def orders_differ(self) -> bool:
        """True where each replica needs an order of its own."""
        return self.differ in ("order", "both") and len(self.replicas) > 1

    @property
    def optimizer(self) -> Any:
        """The optimizers of all replicas as one; None before the model is compiled."""
        optimizers = [getattr(replica, "optimizer", None) for replica in getattr(self, "replicas", ())]
        return SiblingOptimizer(self.replicas) if optimizers and None not in optimizers else None

    @optimizer.setter
    def optimizer(self, optimizer: Any) -> None:
        """Ignores what `tf.keras.Model.compile` sets, which no replica is trained with, and refuses any other."""
        if optimizer is not None and not self._compiling:
            raise InputError("siblings have an optimizer each: give compile another one, or replicas[k].compile")

    @property
    def metrics(self) -> list[Any]:
        """The metrics of all replicas; `fit` resets them at the beginning of an epoch."""
        return [metric for replica in self.replicas for metric in replica.metrics]

    @property
    def metrics_names(self) -> list[str]:
        """The metrics' names, each once: the mean over the replicas is reported."""
        return list(self.replicas[0].metrics_names)

    def compile(self, optimizer: Any = None, loss: Any = None, *, progressive: bool = False, **kwargs: Any) -> None:
        """Sets up the loop; compiles the replicas too where it is given what a model is compiled with.

        Args:
          optimizer, loss: those of `tf.keras.Model.compile`. Each replica is compiled with them, in place of what
            `build_fn` compiled it with, and with a copy of the optimizer.
          progressive: before each training step all replicas predict rows that none has trained on yet: `ahead` of
            `SiblingBatches`, or the batch itself where they share it. `progressive_pd`, `progressive_log_loss` and
            `progressive_auc_loss` in the logs are over all such rows since `callbacks.ProgressiveValidation` last reset
            them. `fit` does not reset them, so that a resumed run continues them.
          kwargs: `metrics`, `weighted_metrics` and `loss_weights`, which go to the replicas too, metrics as copies; and
            what concerns the loop (`steps_per_execution`, `run_eagerly`, `jit_compile`), which is that of the replicas
            where it is not given.

        Raises:
          InputError: Keras cannot copy the optimizer or a metric from its configuration.
        """
        of_model = {name: kwargs.pop(name, None) for name in ("metrics", "weighted_metrics", "loss_weights")}
        of_model = {"optimizer": optimizer, "loss": loss, **of_model}
        given = {name: value for name, value in of_model.items() if value is not None}
        for replica in self.replicas if given else ():
            replica.compile(**{name: copied(name, value) for name, value in given.items()})
        if _is_compiled(self.replicas[0]):
            for name in ("run_eagerly", "jit_compile", "steps_per_execution"):
                value = getattr(self.replicas[0], name)
                if value is not None:
                    kwargs.setdefault(name, value.numpy().item() if isinstance(value, tf.Variable) else value)
        if not keras_generation.is_legacy():  # it would scale the losses of an optimizer that trains nothing
            kwargs.setdefault("auto_scale_loss", False)
        self._compiling, self._executions = True, None
        super().compile(**kwargs)
        self._compiling = False
        self.progressive = ProgressiveMetrics(len(self.replicas)) if progressive else None

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Does what `tf.keras.Model.fit` does, with the same arguments, for all replicas.

        Raises:
          InputError: the replicas are not compiled; orders differ, and `x` is of an unknown kind, or `shuffle` is
            False.
        """
        if not all(map(_is_compiled, self.replicas)):
            raise InputError("build_fn must return a compiled model, or compile be given an optimizer and a loss")
        optimizers = [id(replica.optimizer) for replica in self.replicas if replica.optimizer is not None]
        if len(set(optimizers)) < len(optimizers):
            raise InputError("build_fn must compile each model with an optimizer of its own, got one for several")
        given = dict(inspect.signature(super().fit).bind(self._prepared(x), y, *args, **kwargs).arguments)
        self._check_init_differs()
        given.update(given.pop("kwargs", {}))
        if self.orders_differ:
            if self.progressive is not None and not sibling_orders.is_ordered(given["x"]):
                raise InputError(
                    "x must be what data.shuffling.shuffled(..., ahead=True) makes where progressive=True and "
                    f"differ={self.differ!r}, got data without rows that are new to all siblings"
                )
            given = sibling_orders.in_orders(given, len(self.replicas), self.window)
        if any(getattr(replica.optimizer, "use_ema", False) for replica in self.replicas):
            # Where Keras' own `fit` does it: after the last epoch, before the callbacks of the end.
            averages = keras_generation.keras().callbacks.LambdaCallback(
                on_train_end=lambda _: self.optimizer.finalize_variable_values(self.trainable_variables)
            )
            given["callbacks"] = [averages, *tf.nest.flatten(given.get("callbacks") or [])]
        if self.run_eagerly:
            keras_generation.share_randomness(self.replicas, eagerly=True)
        self._steps_per_epoch = given.get("steps_per_epoch")
        if isinstance(given["x"], tf.data.Dataset):
            given["shuffle"] = False  # of datasets it says nothing, but Keras 3 warns
        return super().fit(**given)

    def make_train_function(self, force: bool = False) -> Any:
        """Makes what `fit` calls for each execution of training steps."""
        if keras_generation.is_legacy():
            return super().make_train_function(force)
        if self._executions is None or force:
            # The first step would make the optimizers' variables in its graph, which fails on several devices.
            with self.distribute_strategy.scope():
                for replica in self.replicas:
                    if getattr(replica, "optimizer", None) is not None:
                        replica.optimizer.build(replica.trainable_variables)
            super().make_train_function(force=True)
            self._executions = Executions(self, self.train_function)
        self._executions.steps, self._executions.done = self._steps_per_epoch or 0, 0
        self.train_function = self._executions if self._steps_per_epoch else self._executions.otherwise
        return self.train_function

    def _maybe_symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing where the replicas have their variables: Keras 3 would look for these on one device only."""
        if not self._replicas_built:
            super()._maybe_symbolic_build(*args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """Does what `tf.keras.Model.evaluate` does: means over the replicas."""
        with self._one_step_a_call():
            logs = super().evaluate(self._prepared(x), *args, return_dict=True, **kwargs)
        return logs if return_dict else self._listed(logs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Does what `tf.keras.Model.predict` does: a column a replica."""
        with self._one_step_a_call():
            return super().predict(self._prepared(x), *args, **kwargs)

    @contextlib.contextmanager
    def _one_step_a_call(self) -> Iterator[None]:
        """Has Keras 3 (3.15) evaluate and predict one batch a call on several devices: of more it fails there."""
        if keras_generation.is_legacy() or self.distribute_strategy.num_replicas_in_sync == 1:
            yield
            return
        before, self.steps_per_execution = self.steps_per_execution, 1
        if getattr(self, "_eval_epoch_iterator", None) is not None:  # that of `fit` with validation data
            self._eval_epoch_iterator.steps_per_execution = 1
        try:
            yield
        finally:
            self.steps_per_execution = before

    def train_on_batch(self, x: Any, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """Does what `tf.keras.Model.train_on_batch` does; where orders differ, x is a `SiblingBatches`.

        Raises:
          InputError: orders differ, and x is one batch for all replicas.
        """
        if self.orders_differ and not isinstance(x, SiblingBatches):
            raise InputError(
                f"x must be a SiblingBatches, one batch a replica, where differ={self.differ!r}, got one batch for all"
            )
        logs = super().train_on_batch(self._prepared(x), *args, return_dict=True, **kwargs)
        return logs if return_dict else self._listed(logs)

    def test_on_batch(self, x: Any, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """Does what `tf.keras.Model.test_on_batch` does: means over the replicas."""
        logs = super().test_on_batch(self._prepared(x), *args, return_dict=True, **kwargs)
        return logs if return_dict else self._listed(logs)

    def predict_on_batch(self, x: Any) -> Any:
        """Does what `tf.keras.Model.predict_on_batch` does: a column a replica."""
        return super().predict_on_batch(self._prepared(x))

    def _listed(self, logs: dict[str, Any]) -> Any:
        """What Keras returns in place of logs: their values in the metrics' order, or the only one."""
        order = list(self.replicas[0].get_metrics_result())
        values = [logs[name] for name in sorted(logs, key=lambda n: order.index(n) if n in order else len(order))]
        return values[0] if len(values) == 1 else values

    def _prepared(self, x: Any) -> Any:
        """Makes the replicas' variables for what `fit` and the like are given; returns what is still to be read."""
        if self._replicas_built or x is None:
            return x
        if isinstance(x, SiblingBatches):
            self._build_on(_first_row(x.batches[0]))
        elif isinstance(x, tf.data.Dataset):
            if all(isinstance(spec, tf.TensorSpec) for spec in tf.nest.flatten(_batch_of(x.element_spec))):
                self.build_replicas(x.element_spec)
            else:
                self._build_on(_first_row(_batch_of(next(iter(x)))))
        elif sibling_orders.is_sequence(x):
            self._build_on(_first_row(x[0]))
        elif sibling_orders.is_generator(x):
            first = next(x)
            self._build_on(_first_row(first))
            return (batch for batch in itertools.chain([first], x))  # Keras 3 takes no other iterator
        elif sibling_orders.is_arrays(x):
            self._build_on((_first_row(x),))
        else:
            raise InputError(
                "x must be arrays, a tf.data.Dataset, a Sequence or a generator, or build_replicas be called before, "
                f"got a {type(x).__name__}"
            )
        return x

    def build_replicas(self, element_spec: Any) -> None:
        """Makes the replicas' variables for batches of this specification, with equal values unless `init` differs.

        `fit` does it before the first step; later calls do nothing.

        Raises:
          ValueError: the replicas' variables have different shapes; the replicas are the same where they should differ.
        """

        def one_row(spec: tf.TensorSpec) -> tf.Tensor:
            shape = [1, *(size or 1 for size in spec.shape[1:])]
            return tf.fill(shape, "") if spec.dtype == tf.string else tf.zeros(shape, spec.dtype)

        self._build_on(tf.nest.map_structure(one_row, _batch_of(element_spec)))

    def _build_on(self, batch: Any) -> None:
        """Makes the replicas' variables for batches like this one."""
        if self._replicas_built:
            return
        self._example = lambda: batch  # Keras would make a tuple a part of the model
        x, _, _ = keras_generation.keras().utils.unpack_x_y_sample_weight(batch)
        for replica in self.replicas:
            if replica.built and replica.variables:
                continue
            try:
                replica(x, training=False)
            except NotImplementedError:  # a tfrs.Model may have `compute_loss` alone
                replica.test_step(batch)
                for metric in replica.metrics:
                    metric.reset_state()
        self._make_alike()

    def _make_alike(self) -> None:
        """Gives replicas that have their variables equal values, unless `init` differs, and equal random numbers."""
        trained = [variable for replica in self.replicas for variable in replica.trainable_variables]
        if len({id(variable) for variable in trained}) < len(trained):
            raise InputError("build_fn must return a new model each time, got models that share what they train")
        first, *others = self.replicas
        for other in others if self.differ in ("order", "nothing") else ():
            if [v.shape for v in other.variables] != [v.shape for v in first.variables]:
                raise InputError("build_fn must return the same model each time, got variables of other shapes")
            for variable, value in zip(other.variables, first.variables, strict=True):
                variable.assign(value)
        keras_generation.share_randomness(self.replicas)
        self._replicas_built = self.built = True

    def _check_init_differs(self) -> None:
        """Raises InputError where the initialisation differs in word only; once, before the first step."""
        if self.differ in ("init", "both") and not self._init_checked:
            first, *others = ([tf.convert_to_tensor(v) for v in r.trainable_variables] for r in self.replicas)
            for other in others:
                if first and all(_equal(a, b) for a, b in zip(first, other, strict=True)):
                    raise InputError(
                        "build_fn must initialise each model anew, without seeds of its own, where "
                        f"differ={self.differ!r}, got equal values"
                    )
        self._init_checked = True

    def keep_average(
        self, half_life: float, build_fn: Callable[[], Any] | None = None, *, by_row: bool = False
    ) -> None:
        """Keeps an average of all weights of all replicas from now on, which is measured, exported and taught by.

        `callbacks.AverageWeights` brings it up to date while the siblings train; `models.averaging` has the formula.

        Args:
          half_life: in steps.
          build_fn: returns a new model of a replica's variables; None: what makes the replicas.
          by_row: embedding tables are kept by row instead of in passes; see `models.averaging.WeightAverage`.

        Raises:
          InputError: the half-life is not above 0.
          ValueError: the replicas have no variables yet, or the new models have different ones.
        """
        if not self._replicas_built:
            raise ValueError("replicas must have their variables before they are averaged: call build_replicas")
        averaged = SiblingModel(build_fn or self._build_fn, len(self.replicas), "init")
        for copy, replica in zip(averaged.replicas, self.replicas, strict=True):
            share_admission(copy, replica)
        averaged._build_on(self._example())
        self.weight_average = WeightAverage(self, averaged, half_life, by_row)

    def deployed_model(self) -> SiblingModel:
        """The siblings that are measured, exported and taught by: the averages where they are kept, else these."""
        return self if self.weight_average is None else self.weight_average.averaged

    def build(self, input_shape: Any = None) -> None:
        """Does nothing: a shape without types is not enough; `fit`, a call and `build_replicas` make the variables."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self._replicas_built:
            specs = tf.nest.map_structure(lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), inputs)
            with tf.init_scope():
                self.build_replicas((specs,))
        return tf.nest.map_structure(_columns, *(replica(inputs, training=training) for replica in self.replicas))

    def task_probabilities(self, features: Any, training: bool = False) -> tf.Tensor:
        """What all replicas, ranking models with `task_weights`, predict for all tasks, float32 [batch, tasks, R]."""
        return _columns(*(replica.task_probabilities(features, training) for replica in self.replicas))

    def _batches(self, data: Any) -> Sequence[Any]:
        """The batch of each replica."""
        if isinstance(data, tuple) and data and isinstance(data[0], SiblingBatches):  # train_on_batch packs it
            data = data[0]
        batches: Sequence[Any] = data.batches if isinstance(data, SiblingBatches) else [data] * len(self.replicas)
        if len(batches) != len(self.replicas):
            raise ValueError(f"there must be one batch a replica, got {len(batches)} for {len(self.replicas)} replicas")
        return batches

    def train_step(self, data: Any) -> dict[str, Any]:
        batches = self._batches(data)
        if self.orders_differ and batches[0] is batches[-1]:
            raise InputError(f"x must have an order for each sibling where differ={self.differ!r}, got one for all")
        progressive = {}
        if self.progressive is not None:  # before the step, or the rows would not be new
            new = new_rows(data)
            if new is not None:
                x, label, weight = new
                if label.shape.rank == 2 and label.shape[1] > 1:  # of several tasks the main one, which is predicted
                    label = label[:, 0]
                self.progressive.update(self.deployed_model().call(x, training=False), label, weight)
            progressive = self.progressive.result()
        logs = [step(batch) for step, batch in zip(self._steps(), batches, strict=True)]
        return {**_means(logs), **progressive}

    def _steps(self) -> list[Callable[[Any], dict[str, Any]]]:
        """The replicas' training steps.

        Those of one shared batch are graphs of their own: TensorFlow's optimizer of graphs would otherwise rewrite the
        sums of one replica and not the other's, and replicas that start alike would part by a rounding.
        """
        steps = [replica.train_step for replica in self.replicas]
        shared = len(steps) > 1 and not self.orders_differ
        if not shared or tf.executing_eagerly() or tf.distribute.has_strategy():
            return steps
        return [tf.function(step, experimental_attributes={"_noinline": True}) for step in steps]

    def test_step(self, data: Any) -> dict[str, Any]:
        batches = self._batches(data)
        return _means([replica.test_step(batch) for replica, batch in zip(self.replicas, batches, strict=True)])

    def get_metrics_result(self) -> dict[str, Any]:
        """The means over the replicas, which `fit` and `evaluate` report."""
        return _means([replica.get_metrics_result() for replica in self.replicas])

    def summary(self, *args: Any, **kwargs: Any) -> Any:
        """Prints the summary of one replica, and how many there are."""
        kwargs.get("print_fn", print)(f"{len(self.replicas)} siblings that differ in {self.differ}, each of them:")
        return self.replicas[0].summary(*args, **kwargs)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> Any:
        """Saves all replicas, with their optimizers, as `tf.keras.Model.save` saves one: a `.keras` file.

        These are the weights as trained. Averages of them (`keep_average`) are saved with
        `siblings.deployed_model().save(filepath)`.

        Raises:
          InputError: a file of another kind. To serve one replica save `siblings.replicas[k]`.
        """
        if not str(filepath).endswith(".keras"):
            raise InputError(f"filepath must end with .keras for siblings, got {str(filepath)!r}")
        return super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        serialize = keras_generation.keras().utils.serialize_keras_object
        return {
            "name": self.name,
            "replicas": [serialize(replica) for replica in self.replicas],
            "differ": self.differ,
            "window": self.window,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> SiblingModel:
        deserialize = keras_generation.keras().utils.deserialize_keras_object
        rest = {name: value for name, value in config.items() if name != "replicas"}
        configs = itertools.cycle(config["replicas"])
        return cls(lambda: deserialize(next(configs), custom_objects), len(config["replicas"]), **rest)

    def get_compile_config(self) -> dict[str, Any]:
        """The settings of the loop; the replicas have what they were compiled with."""
        return {"progressive": self.progressive is not None}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**config)


def _is_compiled(replica: Any) -> bool:
    return bool(getattr(replica, "_is_compiled" if keras_generation.is_legacy() else "compiled", True))


def _equal(a: tf.Tensor, b: tf.Tensor) -> bool:
    """Whether all numbers are equal; of tables that differ some rows tell."""
    return bool(tf.reduce_all(a[:100] == b[:100])) and bool(tf.reduce_all(a == b)) if a.shape.rank else bool(a == b)


def _batch_of(step: Any) -> Any:
    """A replica's batch (or its specification) of a step's."""
    return step.batches[0] if isinstance(step, SiblingBatches) else step


def _first_row(batch: Any) -> Any:
    """The first row of a batch, as tensors; the whole batch where it has tensors without rows that can be cut out."""
    tensors = sibling_orders.as_tensors(batch)
    cut = all(isinstance(leaf, tf.Tensor) for leaf in tf.nest.flatten(tensors) if leaf is not None)
    return tf.nest.map_structure(lambda leaf: leaf[:1] if leaf is not None and cut else leaf, tensors)


def _columns(*predictions: tf.Tensor) -> tf.Tensor:
    """One output of all replicas, float32: [batch, R] where each has [batch] or [batch, 1], else R as the last axis."""
    columns = [tf.cast(p, tf.float32) for p in predictions]
    if columns[0].shape.rank == 2 and columns[0].shape[1] == 1:
        columns = [tf.reshape(column, [-1]) for column in columns]
    return tf.stack(columns, axis=-1)


def _means(logs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of each value over the replicas' logs, by position: Keras numbers the names of further replicas."""

    def mean(*values: Any) -> tf.Tensor:
        return tf.add_n([tf.convert_to_tensor(value) for value in values]) / len(values)

    each = zip(*(log.values() for log in logs), strict=True)
    return {name: tf.nest.map_structure(mean, *values) for name, values in zip(logs[0], each, strict=True)}
