"""The curve of progressive validation: PD and losses of predictions made before training on the rows."""

from __future__ import annotations

import os
from typing import Any

from smooth_recs.callbacks.periodic import Periodic


class ProgressiveValidation(Periodic):
    """Reads and resets the progressive metrics of a `SiblingModel` every so many steps: a point is of a window of rows.

    Each row of the log is predicted by all replicas before any of them trains on it (section 2, [8]); that needs no
    held-out rows, and every row counts once: `sr.models.SiblingModel.compile(progressive=True)` with
    `data.windows.shuffled(..., ahead=True)`. Rows of the first shuffle window are not predicted, and from the second
    epoch on, where no row is new, nothing is recorded.

    Args:
      every: a number of training steps, or "epoch"; see `Periodic`. A window also ends where an epoch does.
      log_dir: where to write the same values for TensorBoard, by training step; None: nowhere.

    Attributes:
      history: dicts with `step`, where the window ended, `progressive_pd` (with two or more replicas),
        `progressive_log_loss` and `progressive_auc_loss`, in order; none for a window without a new row, whose values
        are taken out of `logs` too.

    The metrics are saved and restored with the model: a run that is resumed within a window completes it.

    Raises:
      ValueError: the model was compiled without `progressive=True`.

    ```python
    siblings.compile(progressive=True)
    validation = sr.callbacks.ProgressiveValidation(every=100)
    siblings.fit(shuffled(open_rows, window=1000, batch_size=50, seeds=[1, 2], ahead=True), callbacks=[validation])
    validation.history  # [{"step": 100, "progressive_pd": ..., ...}, ...]
    ```
    """

    def __init__(self, every: str | int = "epoch", log_dir: str | os.PathLike[str] | None = None) -> None:
        super().__init__(every, log_dir)
        self.history: list[dict[str, float]] = []
        self._rows_are_new = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if getattr(self.model, "progressive", None) is None:
            raise ValueError(
                "ProgressiveValidation needs a SiblingModel compiled with progressive=True, "
                f"got a {type(self.model).__name__} without"
            )
        super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._rows_are_new = epoch == 0

    def report(self, logs: dict[str, Any] | None) -> None:
        metrics = self.model.progressive
        values = {name: float(value) for name, value in metrics.result().items()}
        if self._rows_are_new and metrics.rows > 0:
            self.history.append({"step": self.step, **values})
            self.write(values)
        if logs is not None and not (self.history and self.history[-1]["step"] == self.step):
            for name in values:  # of no row, or of rows that were trained on
                logs.pop(name, None)
        metrics.reset()
