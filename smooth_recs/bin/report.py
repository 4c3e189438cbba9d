"""Writes one HTML report over finished runs: a run's own, or a comparison with the first as the baseline.

python -m smooth_recs.bin.report --workdirs=runs/demo/relu,runs/demo/smelu --output=runs/demo/report.html
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import command

_WORKDIRS = command.required_string("workdirs", "folders of finished runs, with commas")
_OUTPUT = command.required_string("output", "the HTML file to write")
_PICTURE = flags.DEFINE_string("picture", None, "a PNG file to draw PD and AUC into as well")


def main() -> None:
    from smooth_recs.experiments import report  # here, so that --help does not wait for matplotlib

    workdirs = [workdir for workdir in str(_WORKDIRS.value).split(",") if workdir]
    report.write(workdirs, str(_OUTPUT.value))
    print(f"report   {_OUTPUT.value}")
    if _PICTURE.value:
        report.picture(workdirs, _PICTURE.value)
        print(f"picture  {_PICTURE.value}")


if __name__ == "__main__":
    command.run(main)
