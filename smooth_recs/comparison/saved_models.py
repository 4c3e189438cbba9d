"""SavedModels, ours and others', through their serving signature: no Keras and no custom object is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from smooth_recs.comparison.inputs import Columns, Input
from smooth_recs.errors import InputError

SIGNATURE, OUTPUT = "serving_default", "probability"


class SavedModel:
    """A `Model` from a folder with `saved_model.pb`.

    Args:
      flag: begins error messages.
      path: the folder.

    Raises:
      InputError: it cannot be loaded, or which signature or output is meant cannot be told.
    """

    def __init__(self, flag: str, path: str) -> None:
        try:
            self._loaded = tf.saved_model.load(path)  # kept: the variables live as long as it does
        except Exception as error:  # of many types, depending on what is damaged
            raise InputError(f"{flag}: {path} is no whole SavedModel: {' '.join(str(error).split())[:200]}") from error
        signatures = self._loaded.signatures
        name = _only(f"{flag}: the SavedModel {path} must have a signature", SIGNATURE, list(signatures))
        self._serve = signatures[name]
        specs = self._serve.structured_input_signature[1]
        self.inputs: dict[str, Input] | None = {
            name: Input(spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()
        }
        outputs = list(self._serve.structured_outputs)
        self._output = _only(f"{flag}: the signature of {path} must have an output", OUTPUT, outputs)

    @property
    def variables(self) -> list[Any]:
        """Those that the signature reads, in an order that models of one program share."""
        return list(self._serve.variables)

    def __call__(self, features: Mapping[str, Any]) -> Any:
        """Of tensors in the inputs' own types and shapes, the output; in a graph too."""
        return self._serve(**features)[self._output]

    def predict(self, features: Columns) -> npt.NDArray[Any]:
        return self({name: tf.constant(values) for name, values in features.items()}).numpy()

    def close(self) -> None:
        del self._serve, self._loaded


def _only(what: str, wanted: str, names: list[str]) -> str:
    """The wanted name where it is there, else the only one."""
    if wanted in names:
        return wanted
    if len(names) == 1:
        return names[0]
    raise InputError(f"{what} {wanted!r} or only one, got {', '.join(sorted(names)) or 'none'}")
