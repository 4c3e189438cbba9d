"""Which activation, and how wide? A small sweep over both, the choice, and how sure it is.

This file is the configuration too: the command that it starts, which it prints, works with a file of yours that has a
`get_config()`. Leaves runs/sweep: report.html, results.csv, choice.json, and chosen.py, a configuration for --config,
where anything beats ReLU. It can be killed and started again.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import webbrowser

from smooth_recs import config

WORKDIR = pathlib.Path("runs/sweep")


def get_config() -> config.Config:
    """What all variants have in common: the demo, on a smaller log."""
    return config.Config(
        data=config.Data(
            examples=100_000,
            eval_examples=20_000,
            shuffle_window=10_000,
            synthetic=config.SyntheticLog(users=2_000, items=500),
        ),
        model=config.Model(norm_value=1.4, hidden_units=(64, 32, 16)),
        train=config.Train(dense_learning_rate=0.01, embedding_learning_rate=0.3, final_learning_rate_share=0.02),
        evaluation=config.Evaluation(estimate=False),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--activations", default="relu,smelu:0.1:0.2,swish:5", help="the first is the baseline")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of siblings for each variant, a seed each")
    parser.add_argument("--rows", type=int, default=100_000, help="rows to train on")
    parser.add_argument("--open", action="store_true", help="shows the report in a browser")
    arguments = parser.parse_args()
    command = ["-m", "smooth_recs.bin.sweep", f"--config={__file__}", f"--workdir={WORKDIR}"]
    command += [f"--config.data.examples={arguments.rows}", f"--activations={arguments.activations}"]
    command += [f"--pairs={arguments.pairs}", "--choose=min pd subject to auc_loss <= relu + 1%"]
    print("$ python", shlex.join(command), flush=True)
    status = subprocess.run([sys.executable, *command], check=False).returncode
    if status:
        sys.exit(status)
    choice = json.loads((WORKDIR / "choice.json").read_text())
    print(
        f"\nchosen   {choice['label'] if choice['config_file'] else 'nothing: no variant beats ReLU within the bound'}"
    )
    print(f"config   {choice['config_file']}" if choice["config_file"] else "config   none")
    print(f"report   {WORKDIR / 'report.html'}")
    if arguments.open:
        webbrowser.open((WORKDIR / "report.html").resolve().as_uri())


if __name__ == "__main__":
    main()
