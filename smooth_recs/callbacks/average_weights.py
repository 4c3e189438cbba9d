"""The average of a model's weights, kept while it trains (`models.averaging` has the formula)."""

from __future__ import annotations

from typing import Any

from smooth_recs import keras_generation
from smooth_recs.callbacks.periodic import Periodic
from smooth_recs.errors import InputError
from smooth_recs.models.averaging import WeightAverage, check_half_life, steps_between_passes


class AverageWeights(Periodic):
    """Keeps a bias-corrected exponential moving average of all weights of the model that is trained, tables included.

    The average after t steps is sum_i 2^(-(t - i) / H) w_i / sum_i 2^(-(t - i) / H), with w_i the weights after step i
    and H the half-life. It lies in a copy of the model, `averaged`, which predicts, is measured and is saved like any
    model; what trains stays as it is. A pass over all weights every tenth of a half-life stands for the steps since the
    one before.

    Args:
      half_life: H, in training steps; about 3% of the run is a good choice.
      averaged: a built model of the same architecture, which receives the average; None makes a clone when `fit`
        begins, or at the first pass of a model that has no variables before. A `sr.models.SiblingModel` keeps the
        averages of its replicas itself.
      every: steps between two passes; None: a tenth of the half-life. With `steps_per_execution` above 1, a pass
        follows the execution that passes a multiple of it.

    Attributes:
      averaged: the model that holds the average; None as long as there is none.
      weight_average: the `models.averaging.WeightAverage`, None as long as there is none. Its `checkpoint`, saved
        beside the model and its optimizer, makes a resumed training exact.

    Put it before the callbacks that measure.

    Raises:
      InputError: the half-life is not above 0.
      ValueError: `every` is below 1, or `averaged` has other variables than the model.

    ```python
    x, y = np.random.rand(256, 4), np.random.randint(2, size=256)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="adagrad", loss="binary_crossentropy")
    average = sr.callbacks.AverageWeights(half_life=10)
    model.fit(x, y, epochs=5, callbacks=[average])
    average.averaged.predict(x)
    ```
    """

    def __init__(self, half_life: float, *, averaged: Any = None, every: int | None = None) -> None:
        check_half_life(half_life)
        super().__init__(steps_between_passes(half_life) if every is None else every, log_dir=None)
        self.half_life = half_life
        self.averaged = averaged
        self.weight_average: WeightAverage | None = None
        self.async_safe = True  # it reads no logs, and TensorFlow keeps the order of what is done to a variable

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        if getattr(self.model, "weight_average", None) is not None:
            self.weight_average, self.averaged = self.model.weight_average, self.model.deployed_model()
        elif self.weight_average is None and (self.model.built or hasattr(self.model, "keep_average")):
            self.build(self.model)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Does nothing: passes are made at the same steps, whatever epochs and parts of them training is cut into."""

    def report(self, logs: dict[str, Any] | None) -> None:
        """Makes a pass."""
        coordinator = getattr(self.model, "_cluster_coordinator", None)
        if coordinator is not None:
            coordinator.join()  # under parameter servers the steps so far are still on their way
        if self.weight_average is None:  # the model got its variables in the first step
            self.build(self.model)
        assert self.weight_average is not None
        self.weight_average.update(self.step)

    def build(self, model: Any) -> None:
        """Makes the average of a model that has its variables; to resume, call it before the checkpoint is restored.

        `fit` does it when it begins, or at the first pass where the model gets its variables in the first step.
        """
        if self.averaged is None and hasattr(model, "keep_average"):
            model.keep_average(self.half_life)
            self.weight_average, self.averaged = model.weight_average, model.deployed_model()
            return
        if self.averaged is None:
            try:
                self.averaged = keras_generation.keras().models.clone_model(model)
                if not self.averaged.built:
                    self.averaged.build(model.input_shape)
            except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(
                    f"averaged must be given, another model of the same variables, where Keras cannot copy the model: "
                    f"{reason}"
                ) from error
        self.weight_average = WeightAverage(model, self.averaged, self.half_life)
