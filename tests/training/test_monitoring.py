"""What chooses while a run trains: validation rows, for a single model as well, over an interruption too."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest

from smooth_recs import training
from smooth_recs.config import Config, Data, Evaluation, Model, Siblings, Train
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Schema
from smooth_recs.training import loop

SCHEMA = Schema((Categorical("user", "vocabulary"), Categorical("item", "vocabulary")))


def write_log(path: pathlib.Path, seed: int, rows: int = 600) -> None:
    """Users and items whose sum decides half of the label; the rest is chance, so that a network overfits."""
    random = np.random.default_rng(seed)
    users, items = random.integers(0, 40, rows), random.integers(0, 30, rows)
    label = (random.random(rows) < 0.2 + 0.6 * ((users + items) % 2)).astype(int)
    lines = [f"u{user},i{item},{y}" for user, item, y in zip(users, items, label, strict=True)]
    path.write_text("\n".join(["user,item,label", *lines]) + "\n")


def settings(folder: pathlib.Path, replicas: int = 1, **train: Any) -> Config:
    for seed, name in enumerate(("train", "validation", "test")):
        write_log(folder / f"{name}.csv", seed)
    return Config(
        data=Data(
            source="csv",
            schema=SCHEMA,
            path=f"{folder}/train.csv",
            eval_path=f"{folder}/test.csv",
            validation_path=f"{folder}/validation.csv",
        ),
        model=Model(hidden_units=(16, 8), embedding_dim=4, normalization="none", embedding_l2=1e-4),
        siblings=Siblings(replicas=replicas),
        train=Train(
            batch_size=50,
            epochs=40,
            evaluations=0,
            steps_per_execution=6,
            dense_optimizer="adam",
            embedding_optimizer="adam",
            dense_learning_rate=0.01,
            embedding_learning_rate=0.01,
            **train,
        ),
        evaluation=Evaluation(slices=(), estimate=False),
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, Config, dict[str, Any]]:
    """A single model on three files, its rates cut before it stops: the workdir, what it was told, its metrics."""
    folder = tmp_path_factory.mktemp("alone")
    run = settings(folder, patience=5, plateau=2, plateau_factor=0.5)
    return folder, run, training.train_and_evaluate(run, str(folder / "run"))


def test_a_single_model_is_chosen_on_all_validation_rows_and_reported_on_all_others(alone: Any) -> None:
    folder, _, metrics = alone
    history = metrics["history"]
    assert [entry["step"] for entry in history] == [12 * epoch for epoch in range(1, len(history) + 1)]
    assert set(history[0]) == {"step", "auc", "log_loss"}
    losses = [entry["log_loss"] for entry in history]
    best = int(np.argmin(losses))
    assert best == len(history) - 6 < 34  # and five that were no better
    assert metrics["eval_examples"] == 600  # no held-out row chose
    assert metrics["pd"] is None
    assert json.loads((folder / "run/manifest.json").read_text())["data"]["validation_rows"] == 600
    # The rows that chose, predicted by what was kept, have the loss that was the best.
    trained = training.results.load(str(folder / "run"))
    predicted, label = [], []
    for rows in trained.source.validation():
        predicted.append(trained.siblings(rows["features"]).numpy()[:, 0])
        label.append(rows["label"].numpy())
    p, y = np.concatenate(predicted).astype(np.float64), np.concatenate(label)
    assert -np.mean(np.where(y == 1, np.log(p), np.log(1 - p))) == pytest.approx(losses[best], rel=1e-6)
    again = loop.build(loop.Batches(trained.config, str(folder / "run"), trained.source))
    assert loop.restore_newest(again, loop.checkpoint_reader.folder(str(folder / "run")), "the run")
    rates = [float(one.learning_rate) for one in again.replicas[0].optimizer.optimizers]
    assert rates == pytest.approx([0.01 * 0.5 ** cuts(losses)] * 2)


def cuts(losses: list[float]) -> int:
    """How often two measurements in a row, and two more, were no better, a loop over them says."""
    waited = found = 0
    for number, loss in enumerate(losses):
        waited = 0 if number == 0 or loss < min(losses[:number]) else waited + 1
        found += waited in (2, 4)
    assert found >= 2
    return found


class Interrupted(Exception):
    pass


def test_an_interrupted_run_chooses_and_cuts_as_if_nothing_had_happened(alone: Any, tmp_path: Any) -> None:
    """Twice interrupted, each time in the middle of an epoch."""
    _, run, metrics = alone
    for stop in (30, 54):

        def on_train_batch_end(self: Any, batch: int, logs: Any = None, stop: int = stop) -> None:
            self._done = self._begun + batch + 1
            if self._done == stop:
                self.save()
                raise Interrupted

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop.Checkpoints, "on_train_batch_end", on_train_batch_end)
            with pytest.raises(Interrupted):
                training.train_and_evaluate(run, str(tmp_path / "run"))
    again = training.train_and_evaluate(run, str(tmp_path / "run"))
    for name in ("history", "replicas", "examples"):
        assert again[name] == metrics[name]


def test_an_adam_of_rows_or_a_penalty_that_a_strategy_cannot_run_is_one_line(tmp_path: pathlib.Path) -> None:
    class Servers:
        strategy_name, coordinates = "parameter_server", True

    run = settings(tmp_path)
    for change, said in (
        (lambda: None, "train.embedding_optimizer must be adagrad or sgd under parameter_server"),
        (
            lambda: setattr(run.train, "embedding_optimizer", "sgd"),
            "model.embedding_l2 must be 0 under parameter_server",
        ),
    ):
        change()
        with pytest.raises(InputError, match=f"^{said}"):
            loop.check(run, None, Servers())  # type: ignore[arg-type]
