"""A smooth activation in a plain Keras model, by its name: two siblings with ReLU, two with SmeLU, and their PD.

Works in Keras 3 and, with TF_USE_LEGACY_KERAS=1, in tf_keras. The siblings of a pair have equal initial weights and see
the same rows, in another order within each tenth of them. Leaves the first sibling of each pair as NAME.keras.
"""

import argparse

import numpy as np
import tensorflow as tf

import smooth_recs as sr  # makes "smelu" a name that Keras knows

BATCH = 256


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Twenty numbers a row, and whether it was clicked, with a probability that no linear model can learn."""
    law, random = np.random.default_rng(0), np.random.default_rng(seed)
    inner, outer = law.normal(size=(20, 32)) * 0.24, law.normal(size=32) * 0.4
    x = random.normal(size=(count, 20)).astype(np.float32)
    probability = 1 / (1 + np.exp(2.2 - np.tanh(x @ inner) @ outer))
    return x, (random.random(count) < probability).astype(np.float32)


def build(activation, steps: int) -> tf.keras.Model:
    """Any Keras model; the activation is the only thing that differs between the pairs."""
    tf.keras.utils.set_random_seed(1)  # equal initial weights
    hidden = [tf.keras.layers.Dense(units, activation=activation) for units in (128, 64, 32)]
    model = tf.keras.Sequential([*hidden, tf.keras.layers.Dense(1, activation="sigmoid")])
    rate = tf.keras.optimizers.schedules.PolynomialDecay(3e-3, steps, 6e-5)  # a constant one would move the mean
    model.compile(optimizer=tf.keras.optimizers.Adam(rate), loss="binary_crossentropy", steps_per_execution=50)
    return model


def sibling(activation, x: np.ndarray, y: np.ndarray, seed: int) -> tf.keras.Model:
    """A model, trained once over all rows; the seed is that of their order."""
    random = np.random.default_rng(seed)
    order = np.concatenate([random.permutation(window) for window in np.array_split(np.arange(len(x)), 10)])
    model = build(activation, -(-len(x) // BATCH))
    model.fit(x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows to train on")
    arguments = parser.parse_args()
    tf.get_logger().setLevel("ERROR")  # it would warn that each of the six models is a new graph
    x, y = rows(arguments.rows, seed=1)
    new_x, new_y = rows(20_000, seed=2)
    print(f"{'':10} {'relative PD':>12} {'AUC loss of the pair':>22}")
    for name, activation in (("relu", "relu"), ("smelu", "smelu"), ("smelu_0.5", sr.layers.SmeLU(beta=0.5))):
        pair = [sibling(activation, x, y, seed) for seed in (1, 2)]
        a, b = (model.predict(new_x, batch_size=4096, verbose=0)[:, 0] for model in pair)
        losses = "  ".join(f"{sr.accuracy.auc_loss(new_y, one):.4f}" for one in (a, b))
        print(f"{name:10} {sr.prediction_difference.relative(a, b):12.2%} {losses:>22}", flush=True)
        pair[0].save(f"{name}.keras")
    print("models     relu.keras, smelu.keras, smelu_0.5.keras")


if __name__ == "__main__":
    main()
