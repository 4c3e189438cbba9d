"""Estimates each example's prediction difference (PD) from the activations of one model, and says how well.

  python -m smooth_recs.bin.estimate --workdirs=runs/seed_1,runs/seed_2 --output=estimate.json

The estimate is fitted on half of the held-out requests of the first run. It is tested on the other half, and on those
rows of every further run: with that run's own model, against that run's own measured PD. Beside the outputs of the
units stand summaries of the layers, which do not depend on the order of the units, and the prediction alone.
"""

from __future__ import annotations

from smooth_recs.bin import _command

_WORKDIRS = _command.required_string("workdirs", "folders of finished runs, with commas; the first is fitted on")
_OUTPUT = _command.required_string("output", "the JSON file to write")


def main() -> None:
    from smooth_recs._files import check_output, write_json
    from smooth_recs.experiments import estimates

    output = str(_OUTPUT.value)
    check_output("--output", output)
    found = estimates.across([name for name in str(_WORKDIRS.value).split(",") if name])
    write_json(output, found)
    print(estimates.table(found))


if __name__ == "__main__":
    _command.run(main)
