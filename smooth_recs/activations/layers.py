from __future__ import annotations

from typing import Any

from smooth_recs import keras_generation
from smooth_recs.activations import checks, functions


class _Layer(keras_generation.keras().layers.Layer):
    names: tuple[str, ...] = ()

    def call(self, inputs: Any) -> Any:
        return getattr(functions, type(self).__name__.lower())(inputs, **{n: getattr(self, n) for n in self.names})

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {n: getattr(self, n) for n in self.names}


@keras_generation.serializable
class SmeLU(_Layer):
    names = ("beta",)

    def __init__(self, beta: float = functions.DEFAULT_BETA, **kwargs: Any):
        super().__init__(**kwargs)
        checks.number("beta", beta, at_least=0)
        self.beta = beta


@keras_generation.serializable
class GSmeLU(_Layer):
    names = ("alpha", "beta", "g_minus", "g_plus", "t")

    def __init__(self, alpha=1.0, beta=1.0, g_minus=0.0, g_plus=1.0, t=0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.alpha, self.beta, self.g_minus, self.g_plus, self.t = alpha, beta, g_minus, g_plus, t


@keras_generation.serializable
class Softplus(_Layer):
    names = ("beta",)

    def __init__(self, beta: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        checks.number("beta", beta, above=0)
        self.beta = beta


@keras_generation.serializable
class Swish(Softplus):
    pass


@keras_generation.serializable
class GELU(Softplus):
    pass
