"""Which beta the string "smelu" should carry: candidates against ReLU in three settings, several seeds each.

    python benchmarks/default_beta.py --movielens=DIR --seeds=3 --workdir=runs/default_beta

The settings are the demo, the demo with layer instead of weight normalisation, and MovieLens 100K. Prints a Markdown
table of the change of the pair's mean AUC loss from ReLU's and of PD. Finished runs in the workdir are not repeated.
"""

import argparse
import pathlib
import statistics

from demo_seeds import ROOT, auc_loss, mean_with_interval, train_config

CANDIDATES = (0.1, 0.25, 0.5, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--movielens", required=True, help="folder of MovieLens 100K")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workdir", type=pathlib.Path, default=ROOT / "runs" / "default_beta")
    arguments = parser.parse_args()
    settings = {
        "demo": ("demo", []),
        "demo, layer norm": ("demo", ["--config.model.normalization=layer"]),
        "MovieLens": ("movielens", [f"--config.data.path={arguments.movielens}"]),
    }
    print("| setting | activation | PD | change of AUC loss from ReLU (95% over seeds) |")
    print("| --- | --- | --- | --- |")
    for name, (config, overrides) in settings.items():

        def runs(activation: str, *width: str, config: str = config, overrides: list[str] = overrides) -> list[dict]:
            key = "_".join([config, *overrides[:1] * (config == "demo"), activation, *width]).replace("--config.", "")
            return [
                train_config(arguments.workdir / f"{key}_{seed}", config, activation, seed, [*overrides, *width])
                for seed in range(1, arguments.seeds + 1)
            ]

        relu = runs("relu")
        print(f"| {name} | ReLU | {statistics.mean(run['pd']['relative'] for run in relu):.2%} | |")
        for beta in CANDIDATES:
            smelu = runs("smelu", f"--config.model.beta={beta}")
            changes = [auc_loss(one) - auc_loss(other) for one, other in zip(smelu, relu, strict=True)]
            interval = "{:+.4f} ({:+.4f} to {:+.4f})".format(*mean_with_interval(changes))
            print(f"| {name} | SmeLU {beta} | {statistics.mean(r['pd']['relative'] for r in smelu):.2%} | {interval} |")


if __name__ == "__main__":
    main()
