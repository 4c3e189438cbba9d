"""What becomes of small updates where rows are stored in 16 bits: nearest against stochastic rounding.

    python benchmarks/small_updates.py

Weights have settled at 0.75 when what is best becomes 0.25. From then on they see 10,000 more gradients, 0.2 times the
distance to the best value plus noise, under Adagrad (rate 0.05), whose sums are those of weights that were updated
10,000 to 1,000,000 times before. The table has where they are then in the mean, how far they are from the same weights
in float32 (root mean square), and how many updates changed nothing.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float32]
# Bits after the leading one; the smallest and the greatest power of two of a normal number.
TYPES = {"float16": (10, -14, 15), "bfloat16": (7, -126, 127)}
RATE, PULL, NOISE = 0.05, 0.2, 0.3


def rounded(values: Weights, kind: str, noise: Any) -> Weights:
    """Rounds up where the share that is lost and the noise, of [0, 1), come to 1; 0.5 is to the nearest."""
    bits, smallest, greatest = TYPES[kind]
    _, exponents = np.frexp(values)
    distance = np.exp2(np.clip(exponents - 1, smallest, greatest) - bits)
    return np.asarray(np.floor(values / distance + noise) * distance, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=300)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--updates_before", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments = parser.parse_args()
    print("| updates before | stored | rounding | mean | from float32 | nothing changed |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for before in arguments.updates_before:
        for stored, rounding, mean, off, lost in measured(arguments.weights, arguments.steps, before):
            print(f"| {before:,} | {stored} | {rounding} | {mean:.3f} | {off:.4f} | {lost:.0%} |")


def measured(weights: int, steps: int, before: int) -> list[tuple[str, str, float, float, float]]:
    """For each type and rounding: mean weight, distance from float32, share of updates without effect."""
    chance, draws = np.random.default_rng(1), np.random.default_rng(2)
    kinds = [("float32", "none"), *((kind, way) for kind in TYPES for way in ("nearest", "stochastic"))]
    found = {kind: np.full(weights, 0.75, np.float32) for kind in kinds}
    sums = {kind: np.full(weights, before * NOISE**2, np.float32) for kind in kinds}
    lost = dict.fromkeys(kinds, 0)
    for _ in range(steps):
        noise = NOISE * chance.normal(size=weights).astype(np.float32)
        for kind in kinds:
            stored, rounding = kind
            gradient = PULL * (found[kind] - np.float32(0.25)) + noise
            sums[kind] += gradient**2
            now = found[kind] - np.float32(RATE) * gradient / np.sqrt(sums[kind])
            if rounding != "none":
                now = rounded(now, stored, draws.random(weights) if rounding == "stochastic" else 0.5)
            lost[kind] += int((now == found[kind]).sum())
            found[kind] = now
    exact = found["float32", "none"]
    return [
        (*kind, float(found[kind].mean()), float(np.sqrt(np.mean((found[kind] - exact) ** 2))), n / weights / steps)
        for kind, n in lost.items()
    ]


if __name__ == "__main__":
    main()
