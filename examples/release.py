"""A release: version 1 goes live, version 2 is trained on newer rows, compared with it, gated, and published.

Leaves runs/release/models/ranker/1 and 2, which TensorFlow Serving loads as they are, and a report on what changed
between them. Flags are passed on to the train binary: `python examples/release.py --config.model.activation=relu`.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

CONFIG = os.path.relpath(pathlib.Path(__file__).resolve().parent.parent / "configs" / "demo.py")
RUNS = pathlib.Path("runs/release")

LOG = ["--config.data.eval_examples=10000", "--config.data.synthetic.users=2000", "--config.data.synthetic.items=500"]
GATE_NOT_MET = 3


def step(title: str, name: str, *flags: str, expected: int = 0) -> None:
    """One of the binaries, as a user would start it; ends with its status where that is not the expected one."""
    print(f"\n{title}\n\n$ python -m smooth_recs.bin.{name}", " ".join(flags), flush=True)
    command = [sys.executable, "-m", f"smooth_recs.bin.{name}", *flags]
    status = subprocess.run(command, check=False).returncode
    if status != expected:
        sys.exit(status or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000, help="of the log when it starts; a third more comes later")
    arguments, overrides = parser.parse_known_args()
    rows = arguments.rows
    shutil.rmtree(RUNS / "models", ignore_errors=True)  # nothing is live yet; runs that are finished stay
    first, second, ranker = f"{RUNS}/first", f"{RUNS}/second", f"{RUNS}/models/ranker"
    train = [f"--config={CONFIG}", *LOG, *overrides]

    step("Train on the log so far.", "train", *train, f"--config.data.examples={rows}", f"--workdir={first}")
    step(
        "Publish version 1, unless it is too far from its sibling, which saw the same rows in another order.",
        *("export", f"--workdir={first}", f"--output={ranker}"),
        *(f"--against={first}/export/replica_1", "--max_pd=0.2"),
    )
    more = f"--config.data.examples={rows * 4 // 3}"
    step("The log has grown: train again.", "train", *train, more, f"--workdir={second}")
    step(
        "What would change for the newest requests, which neither model has seen?",
        *("compare", f"--a={ranker}", f"--b={second}/export/replica_0"),
        *(f"--config={second}/config.json", f"--output={RUNS}/comparison.json"),
    )
    release = ("export", f"--workdir={second}", f"--output={ranker}", f"--live={ranker}")
    step("Where nothing may change, nothing is published.", *release, "--max_pd_live=0.01", expected=GATE_NOT_MET)
    step(
        "Gates that leave room for what is new in the log: version 2 goes live.",
        *(*release, "--max_pd_live=0.3", "--max_swap_rate=0.5", "--max_auc_loss_increase=0.005"),
    )
    versions = sorted(path.name for path in (RUNS / "models" / "ranker").iterdir())
    print(f"\nversions {', '.join(versions)} in {ranker}: TensorFlow Serving takes the newest, and can go back")
    print(f"changes  {RUNS}/comparison.html")


if __name__ == "__main__":
    main()
