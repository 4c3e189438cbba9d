"""A Keras 3 model with "smelu" on jax or PyTorch: trained, saved, loaded again, and its PD to a second training.

    KERAS_BACKEND=torch python examples/other_backends.py
    KERAS_BACKEND=jax python examples/other_backends.py --load=model.keras

It needs one backend, not TensorFlow: `pip install smooth-recs[torch]` or `[jax]`.
"""

from __future__ import annotations

import argparse

import keras
import numpy as np

import smooth_recs as sr  # registers the strings


def build() -> keras.Model:
    model = keras.Sequential(
        [
            sr.layers.NormalizedDense(64, activation="smelu", norm_value=1.4, clip=6.0),
            keras.layers.Dense(32, activation=sr.layers.SmeLU(learn="beta")),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    falling = keras.optimizers.schedules.CosineDecay(0.005, decay_steps=141)  # three epochs of 47 batches
    model.compile(optimizer=keras.optimizers.Adam(falling), loss="binary_crossentropy")
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--load", help="a model that another backend saved, to be measured in place of a second training"
    )
    parser.add_argument("--save", default="model.keras", help="where the trained model is saved")
    arguments = parser.parse_args()

    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    x = random.normal(size=(4_000, 8)).astype("float32")
    y = (random.random(4_000) < 1 / (1 + np.exp(1.0 - 2.0 * x[:, 0] + x[:, 1]))).astype("float32")
    train_x, train_y, held_out_x, held_out_y = x[:3_000], y[:3_000], x[3_000:], y[3_000:]

    if arguments.load:
        live = keras.models.load_model(arguments.load, compile=False)  # PyTorch's optimizers are not known elsewhere
        new = build()
        against_live = sr.callbacks.PredictionDifference((held_out_x, held_out_y), models=[live])
        history = new.fit(train_x, train_y, batch_size=64, epochs=3, verbose=0, callbacks=[against_live]).history
    else:
        measured = sr.callbacks.PredictionDifference((held_out_x, held_out_y))
        siblings = sr.train_siblings(build, train_x, train_y, batch_size=64, epochs=3, verbose=0, callbacks=[measured])
        new, live, history = *siblings.replicas, siblings.history
        new.save(arguments.save)
        again = keras.models.load_model(arguments.save)
        np.testing.assert_allclose(again.predict(held_out_x, verbose=0), new.predict(held_out_x, verbose=0), atol=1e-6)

    a, b = (model.predict(held_out_x, verbose=0) for model in (live, new))
    print(f"backend {keras.config.backend()}, log loss {history['log_loss'][-1]:.4f}, AUC {history['auc'][-1]:.4f}")
    print(f"PD of two models {sr.prediction_difference.relative(a, b):.4f}")


if __name__ == "__main__":
    main()
