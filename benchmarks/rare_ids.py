"""Whether a network overfits rare ids: a made-up log of ids alone, trained as tables of CTR models train.

    python benchmarks/rare_ids.py --workdir=runs/rare_ids

Ten id columns with 5,000 ids in all, most of them rare; every pair of a user and an item comes about three times, each
time in a new context, and training, validation and test rows share pairs, not rows. A network of 400-400-400 takes the
weights of its best epoch on the validation rows (`train.patience`). A second run of the same seed measures the test
rows after each epoch, so that the chosen epoch can be compared with the best one. Prints a line a variant.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os

import numpy as np

from smooth_recs import training
from smooth_recs.config import Config, Data, Evaluation, Model, Siblings, Train
from smooth_recs.schema import Categorical, Schema

SIZES = {"user": 900, "item": 3_800} | {f"context_{n}": size for n, size in enumerate((7, 7, 2, 3, 2, 9, 80, 190))}
PASSES = 3
PARTS = {"train": 0.7, "validation": 0.2, "test": 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--rows", type=int, default=200_000, help="training rows")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--activation", default="relu")
    arguments = parser.parse_args()
    os.makedirs(arguments.workdir, exist_ok=True)
    bayes = write_log(arguments.workdir, arguments.rows, arguments.seed)
    print(f"log loss of the true probabilities on the test rows: {bayes:.4f}")
    for variant in arguments.variants:
        run = config(arguments.workdir, variant, arguments.activation, arguments.seed, arguments.epochs)
        chosen = training.train_and_evaluate(run, os.path.join(arguments.workdir, f"{variant}-chosen"))
        run.data.validation_path, run.train.patience = run.data.eval_path, arguments.epochs
        followed = training.train_and_evaluate(run, os.path.join(arguments.workdir, f"{variant}-followed"))
        print(line(variant, chosen, [entry["log_loss"] for entry in followed["history"]]))


def write_log(folder: str, rows: int, seed: int) -> float:
    """Writes train.csv, validation.csv and test.csv; returns the log loss of the true probabilities on the last.

    The log-odds are -2 + 2.5 <u, v> + b + c: vectors of four normal numbers for users and items, biases b of items
    and c of contexts.
    """
    random = np.random.default_rng(seed)
    total = round(rows / PARTS["train"])
    pairs = {name: zipf(random, SIZES[name], -(-total // PASSES)) for name in ("user", "item")}
    ids = {name: np.tile(column, PASSES)[:total] for name, column in pairs.items()}
    contexts = [name for name in SIZES if name not in ids]
    ids |= {name: zipf(random, SIZES[name], total) for name in contexts}
    vectors = {name: random.normal(size=(SIZES[name], 4)) for name in pairs}
    logit = -2 + 2.5 * np.sum(vectors["user"][ids["user"]] * vectors["item"][ids["item"]], axis=1)
    for name, scale in (("item", 1.5), *((name, 0.4) for name in contexts)):
        logit += scale * random.normal(size=SIZES[name])[ids[name]]
    probability = 1 / (1 + np.exp(-logit))
    label = (random.random(total) < probability).astype(int)
    order, first = random.permutation(total), 0
    for part, share in PARTS.items():
        chosen = order[first : first + round(total * share)]
        first += chosen.size
        with open(os.path.join(folder, f"{part}.csv"), "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*ids, "label"])
            writer.writerows(zip(*(column[chosen].tolist() for column in (*ids.values(), label)), strict=True))
    y, p = label[chosen], probability[chosen]
    return float(-np.mean(np.log(np.where(y == 1, p, 1 - p))))


def zipf(random: np.random.Generator, size: int, count: int) -> np.ndarray:
    """Draws ids from 0 to size - 1, id k as often as 1 / (k + 1)."""
    share = 1 / np.arange(1, size + 1)
    return random.choice(size, count, p=share / share.sum())


VARIANTS = {
    "adagrad": ({}, {}),
    "adam": ({}, {"embedding_optimizer": "adam"}),
    "adam_l2_dropout": ({"embedding_l2": 0.01, "dropout": 0.2}, {"embedding_optimizer": "adam"}),
}
"""By name: what the model and the training have that the others have not."""


def config(folder: str, variant: str, activation: str, seed: int, epochs: int) -> Config:
    model, train = VARIANTS[variant]
    rate = 0.001 if train else 0.05  # Adagrad's steps shrink
    return Config(
        seed=seed,
        data=Data(
            source="csv",
            schema=Schema(tuple(Categorical(name, "vocabulary") for name in SIZES)),
            path=os.path.join(folder, "train.csv"),
            validation_path=os.path.join(folder, "validation.csv"),
            eval_path=os.path.join(folder, "test.csv"),
            shuffle_window=1_000_000,
        ),
        model=dataclasses.replace(
            Model(
                activation=activation,
                hidden_units=(400, 400, 400),
                normalization="none",
                clip=0.0,
                embedding_dim=10,
            ),
            **model,
        ),
        siblings=Siblings(replicas=1),
        train=dataclasses.replace(
            Train(
                batch_size=4096,
                epochs=epochs,
                evaluations=0,
                patience=2,
                dense_optimizer="adam",
                dense_learning_rate=0.001,
                embedding_learning_rate=rate,
            ),
            **train,
        ),
        evaluation=Evaluation(slices=(), estimate=False),
    )


def line(variant: str, chosen: dict, test_losses: list[float]) -> str:
    """One variant: its chosen epoch and the best one on the test rows, with the test log loss of both."""
    losses = [entry["log_loss"] for entry in chosen["history"]]
    epoch, best = int(np.argmin(losses)), int(np.argmin(test_losses))
    replica = chosen["replicas"][0]
    return (
        f"{variant:16} epoch {epoch + 1:2}: log loss {replica['log_loss']:.4f}, AUC {1 - replica['auc_loss']:.4f}; "
        f"best epoch {best + 1:2}: {test_losses[best]:.4f}; last epoch: {test_losses[-1]:.4f}"
    )


if __name__ == "__main__":
    main()
