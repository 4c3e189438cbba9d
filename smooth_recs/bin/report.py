"""Writes one HTML report over finished runs.

  python -m smooth_recs.bin.report --workdirs=runs/demo/relu,runs/demo/smelu --output=runs/demo/report.html

Of one run it is the run's own, of several a comparison with the first as the baseline.
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command

_WORKDIRS = _command.required_string("workdirs", "folders of finished runs, with commas")
_OUTPUT = _command.required_string("output", "the HTML file to write")
_PICTURE = flags.DEFINE_string("picture", None, "a PNG file to draw PD and AUC into as well")


def main() -> None:
    from smooth_recs._files import check_output
    from smooth_recs.reports import run_report  # here, so that --help does not wait for matplotlib

    workdirs = [name for name in str(_WORKDIRS.value).split(",") if name]
    output, picture = str(_OUTPUT.value), _PICTURE.value
    check_output("--output", output)
    if picture:
        check_output("--picture", picture)
    run_report.write(workdirs, output)
    print(f"report   {output}")
    if picture:
        run_report.picture(workdirs, picture)
        print(f"picture  {picture}")


if __name__ == "__main__":
    _command.run(main)
