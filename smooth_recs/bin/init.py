"""Looks at a log, says what is in it, and writes a configuration that trains it.

  python -m smooth_recs.bin.init --data='logs/*.csv' --output=log.py
  python -m smooth_recs.bin.init --data=log.parquet --output=log.py --label=clicked --query=request_id --time=none
  python -m smooth_recs.bin.train --config=log.py --workdir=runs/log

CSV, TSV, TFRecord and Parquet, plain or gzip. Every row is read once. On a terminal it asks for what it guessed; the
answer to all is Enter. The file says why each column is what it is, and which are left out.
"""

from __future__ import annotations

import sys

from absl import flags

from smooth_recs.bin import _command, _flags
from smooth_recs.errors import InputError

_DATA = _command.required_string("data", "a file, a folder or a glob, several with commas")
_OUTPUT = _command.required_string("output", "the configuration to write, a Python file that does not exist yet")
_LABEL = flags.DEFINE_string("label", "", "the column that says whether a row was clicked")
_THRESHOLD = flags.DEFINE_float("label_threshold", None, "a row is positive from this value of --label on")
_QUERY = flags.DEFINE_string("query", "", "the column that says which rows were shown together, or none")
_TIME = flags.DEFINE_string("time", "", "the column that says when, or none")
_WEIGHT = flags.DEFINE_string("weight", "", "the column of example weights, or none")
_IGNORE = _flags.define_names("ignore", "columns that become no features")
_FORMAT = flags.DEFINE_enum("format", None, ("csv", "tfrecord", "parquet"), "of the files (default: as they look)")
_DELIMITER = flags.DEFINE_string("delimiter", "", "of CSV files (default: as they look)")
_HEADER = flags.DEFINE_boolean("header", None, "CSV files begin with the names of the columns (default: as they look)")
_NAMES = _flags.define_names("column_names", "the columns of CSV files without a header")
_ASK = flags.DEFINE_boolean("ask", None, "ask for the roles of columns (default: on a terminal)")


def main() -> None:
    from smooth_recs._files import check_output, exists
    from smooth_recs.log_profile import first_configuration
    from smooth_recs.log_profile.column_roles import Given
    from smooth_recs.log_profile.layout import GivenLayout

    output = str(_OUTPUT.value)
    if not output.endswith(".py"):
        raise InputError(f"--output must be a Python file (.py), got {output!r}")
    if exists(output):
        raise InputError(f"--output: {output} exists; name another file, or remove it")
    check_output("--output", output)
    on_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    first_configuration.write(
        str(_DATA.value),
        output,
        Given(
            label=_LABEL.value,
            query=_QUERY.value,
            time=_TIME.value,
            weight=_WEIGHT.value,
            label_threshold=_THRESHOLD.value,
            ignore=_flags.names(_IGNORE),
        ),
        layout=GivenLayout(
            source=_FORMAT.value or "",
            delimiter=_DELIMITER.value,
            header=_HEADER.value,
            names=_flags.names(_NAMES),
        ),
        ask=on_terminal if _ASK.value is None else _ASK.value,
    )
    print(f"\nwritten  {output}; read its comments, change what is wrong, then")
    print(f"$ {_command.called_as}train --config={output} --workdir=runs/first")


if __name__ == "__main__":
    _command.run(main)
