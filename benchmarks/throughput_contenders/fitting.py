"""What all contenders on TensorFlow share: batches that lie in memory, and Keras' `fit` over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from smooth_recs.data.files import untuned
from throughput_contenders.work import Rows, Turn, Work, rows


def dataset(work: Work, features: Callable[[Rows], Any], seed: int = 1) -> Any:
    """The batches of `work`, again and again, as (features, label); nobody waits for their end (`untuned`)."""
    found = rows(work, seed)
    return untuned(tf.data.Dataset.from_tensor_slices((features(found), found.label)).repeat().prefetch(2))


def by_name(work: Work) -> Callable[[Rows], dict[str, Any]]:
    """A tensor a categorical feature, and one for all numbers."""

    def features(found: Rows) -> dict[str, Any]:
        numeric = {"numeric": found.numeric} if work.numeric else {}
        return dict(zip(work.names, found.ids, strict=True)) | numeric

    return features


def fitted(work: Work, model: Any, data: Any, callbacks: Sequence[Any] = ()) -> Turn:
    """A turn is an epoch."""

    def turn(steps: int) -> int:
        model.fit(data, steps_per_epoch=steps, verbose=0, callbacks=list(callbacks))
        return steps * work.batch_size

    return turn
