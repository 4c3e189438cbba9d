"""Predicts with an export: a file with a probability a row, which smooth_recs.bin.compare reads.

  python -m smooth_recs.bin.predict --export=runs/demo/export/replica_0 --config=runs/demo/config.json \\
      --output=predictions.parquet
  python -m smooth_recs.bin.predict --export=models/ranker/3 --config=runs/new/config.json --data=logs/monday.parquet \\
      --key=request_id,item --output=monday.csv.gz
  python -m smooth_recs.bin.predict --export=runs/demo/export/replica_0 --siblings=runs/demo/export/replica_1 \\
      --config=runs/demo/config.json --output=unstable.csv

The rows are those that --config holds out, or with --data all good rows of other files. These may be of any format,
and need no label, weight, query_id or timestamp. The columns are row (counted from 0), those of --key as they stand in
the files, query_id (a fingerprint), weight and label where the data have them, and prediction. By its name the file is
.csv, .csv.gz, .tfrecord, .tfrecord.gz or .parquet, and it is there whole or not at all; cache/ beside it holds what a
first pass over the data found.

With --siblings, further exports, the file lists the unstable rows alone. Of the models whose log loss is within
evaluation.unstable_loss of the best one's, any moves such a row by more than evaluation.unstable_pd, relative to the
mean of its prediction and the best one's; a column moved says by how much.
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command, _flags

_EXPORT = _command.required_string("export", "a SavedModel, a folder of its versions, or the workdir of a run")
_CONFIG = _flags.define()
_OUTPUT = _command.required_string("output", "the file to write")
_DATA = flags.DEFINE_string("data", None, "files in place of those of --config: a path, a folder or a glob")
_KEY = _flags.define_names("key", "columns of the files that are written beside each prediction as they stand there")

_SIBLINGS = flags.DEFINE_list(
    "siblings", [], "exports of the same model, trained again: only unstable rows are written"
)


def main() -> None:
    from smooth_recs.release import predicting

    settings = predicting.PredictSettings(
        str(_EXPORT.value),
        _CONFIG.value,
        str(_OUTPUT.value),
        _DATA.value,
        _flags.names(_KEY),
        tuple(_SIBLINGS.value),
    )
    rows = predicting.predict(settings)
    print(f"predictions  {rows:,} rows in {settings.output}")


if __name__ == "__main__":
    _command.run(main)
