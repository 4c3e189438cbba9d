"""KerasTuner chooses the β of a Keras 3 model: the lowest validation loss among those whose PD stays under a bound.

Needs `pip install 'keras-tuner[bayesian]'`. A trial trains pairs of siblings, on the same rows in another order, and
returns their mean loss on validation rows; one whose PD is above the bound is penalised by how far it is above.
"""

import argparse
import os

os.environ["TF_USE_LEGACY_KERAS"] = "0"  # KerasTuner takes models of Keras 3 alone

import keras
import numpy as np

import smooth_recs as sr

try:
    import keras_tuner
except ImportError:
    raise SystemExit("This example needs KerasTuner: pip install 'keras-tuner[bayesian]'") from None

BATCH, EPOCHS, PAIRS = 256, 2, 2


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Twenty numbers a row, and whether it was clicked, by a law with kinks: a smooth model pays for being smooth."""
    law, random = np.random.default_rng(0), np.random.default_rng(seed)
    inner, outer = law.normal(size=(20, 8)) * 0.24, law.normal(size=8)
    x = random.normal(size=(count, 20)).astype(np.float32)
    probability = 1 / (1 + np.exp(1.5 - np.abs(x @ inner) @ outer))
    return x, (random.random(count) < probability).astype(np.float32)


def build(beta: float, steps: int) -> keras.Model:
    hidden = [keras.layers.Dense(units, activation=sr.layers.SmeLU(beta=beta)) for units in (64, 32)]
    model = keras.Sequential([*hidden, keras.layers.Dense(1, activation="sigmoid")])
    rate = keras.optimizers.schedules.PolynomialDecay(3e-3, steps, 6e-5)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="binary_crossentropy")
    return model


class UnderABound(keras_tuner.BayesianOptimization):
    """Trains pairs in place of single models."""

    def run_trial(self, trial, train, validation, max_pd: float, **_) -> dict[str, float]:
        beta, losses, differences = trial.hyperparameters.Float("beta", 0.02, 4.0, sampling="log"), [], []
        for pair in range(PAIRS):
            predictions = []
            for order in (1, 2):
                keras.utils.set_random_seed(pair)  # siblings begin with equal weights
                model, random = build(beta, EPOCHS * len(train[0]) // BATCH), np.random.default_rng([pair, order])
                shuffled = np.concatenate([random.permutation(len(train[0])) for _ in range(EPOCHS)])
                model.fit(*(column[shuffled] for column in train), batch_size=BATCH, shuffle=False, verbose=0)
                predictions.append(np.asarray(model(validation[0]))[:, 0])
                losses.append(sr.accuracy.log_loss(validation[1], predictions[-1]))
            differences.append(sr.prediction_difference.relative(*predictions))
        loss, pd = float(np.mean(losses)), float(np.mean(differences))
        print(f"{beta:8.3f} {pd:9.2%} {loss:9.4f}  {'refused' if pd > max_pd else ''}", flush=True)
        return {"bounded_loss": loss + max(pd / max_pd - 1, 0.0), "loss": loss, "pd": pd}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000, help="rows to train on")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--max_pd", type=float, default=0.06)
    arguments = parser.parse_args()
    settings = {"objective": keras_tuner.Objective("bounded_loss", "min"), "max_trials": arguments.trials, "seed": 1}
    tuner = UnderABound(directory="runs", project_name="tune_beta", overwrite=True, num_initial_points=5, **settings)
    print(f"{'beta':>8} {'PD':>9} {'log loss':>9}")
    tuner.search(rows(arguments.rows, seed=1), rows(20_000, seed=2), arguments.max_pd, verbose=0)
    best = tuner.oracle.get_best_trials(1)[0]
    pd, loss = (best.metrics.get_best_value(name) for name in ("pd", "loss"))
    found = "chosen" if pd <= arguments.max_pd else "no trial keeps the bound; the nearest"
    print(f"{found}: beta {best.hyperparameters.get('beta'):.3f}, PD {pd:.2%}, log loss {loss:.4f}")


if __name__ == "__main__":
    main()
