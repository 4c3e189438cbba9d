"""How far apart are two models that you have? PD with its interval, changed lists, and the slices that carry it.

`--live` and `--new` name Keras files; those that are missing are made, of the same rows in another order. Leaves the
predictions of both, live.csv and new.csv, and what the command finds in them: comparison.json and comparison.html.
"""

import argparse
import csv
import os
import subprocess
import sys

import numpy as np
import tensorflow as tf

import smooth_recs as sr

COUNTRIES = np.array(["de", "fr", "it", "at", "li"])


def log(requests: int, seed: int) -> dict[str, np.ndarray]:
    """Four offers a request; few requests come from the last country."""
    random = np.random.default_rng(seed)
    country = np.repeat(random.choice(5, requests, p=[0.5, 0.3, 0.15, 0.04, 0.01]), 4)
    price, age = random.lognormal(size=len(country)), random.random(len(country))
    probability = 1 / (1 + np.exp(1 + np.sin(3 * country + 4 * age) - np.cos(price * (1 + country))))
    clicked = (random.random(len(age)) < probability).astype(int)
    return {"request": np.arange(len(age)) // 4, "country": country, "price": price, "age": age, "clicked": clicked}


def features(rows: dict[str, np.ndarray]) -> np.ndarray:
    return np.column_stack([np.eye(5)[rows["country"]], rows["price"], rows["age"]]).astype(np.float32)


def make(path: str, rows: dict[str, np.ndarray], seed: int) -> None:
    """A model that a team has: ReLU, and nothing of smooth_recs in it."""
    tf.keras.utils.set_random_seed(1)
    model = tf.keras.Sequential([tf.keras.layers.Dense(*s) for s in ((64, "relu"), (32, "relu"), (1, "sigmoid"))])
    model.compile(optimizer=tf.keras.optimizers.Adam(0.01), loss="binary_crossentropy", steps_per_execution=20)
    order = np.random.default_rng(seed).permutation(len(rows["clicked"]))
    model.fit(features(rows)[order], rows["clicked"][order].astype(np.float32), 128, shuffle=False, verbose=0)
    model.save(path)


def predicted(path: str, rows: dict[str, np.ndarray], output: str) -> np.ndarray:
    prediction = tf.keras.models.load_model(path).predict(features(rows), batch_size=4096, verbose=0)[:, 0]
    with open(output, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prediction", "label", "query_id", "country"])
        writer.writerows(zip(prediction, rows["clicked"], rows["request"], COUNTRIES[rows["country"]], strict=True))
    return prediction


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", default="live.keras")
    parser.add_argument("--new", default="new.keras")
    parser.add_argument("--requests", type=int, default=10_000, help="requests to train on")
    arguments = parser.parse_args()
    for seed, path in enumerate((arguments.live, arguments.new)):
        if not os.path.exists(path):
            make(path, log(arguments.requests, seed=1), seed)
    rows = log(5_000, seed=2)
    live, new = predicted(arguments.live, rows, "live.csv"), predicted(arguments.new, rows, "new.csv")
    both, request = np.stack([live, new], axis=1), rows["request"]
    low, high = sr.prediction_difference.interval(both, query_id=request)
    pd = sr.prediction_difference.relative(live, new)
    print(f"relative PD  {pd:.2%} (95% over requests: {low:.2%} to {high:.2%})")
    print(f"swap rate    {sr.recommendations.swap_rate(live, new, request, k=3):.2%} of the top 3 are another list")
    slices = sr.slices.by_value(COUNTRIES[rows["country"]])
    for part in sr.slices.measure(slices, both, rows["clicked"], query_id=request):
        print(f"  {part['slice']}  {part['rows']:6,} rows  PD {part['pd']:.2%}  {part['pd_share']:.0%} of the total")
    command = ["-m", "smooth_recs.bin.compare", "--a=live.csv", "--b=new.csv", "--output=comparison.json"]
    print("\n$ python", *command, "--slices=country", flush=True)
    sys.exit(subprocess.call([sys.executable, *command, "--slices=country"]))


if __name__ == "__main__":
    main()
