"""Compares two models over the same rows: prediction difference (PD), accuracy, recommendations; a gate for releases.

  python -m smooth_recs.bin.compare --a=runs/one/export/replica_0 --b=runs/two/export/replica_0 \\
      --config=runs/one/config.json --output=comparison.json --max_pd=0.1
  python -m smooth_recs.bin.compare --a=baseline.csv --b=new.parquet --key=id --output=comparison.json

--a is the baseline. A side is a SavedModel or a folder of its versions (the newest counts), a Keras model, or a file of
predictions (.csv, .csv.gz, .tfrecord, .tfrecord.gz, .parquet). Models predict the held-out rows of --config. Of files
the columns label, weight and query_id are used where they are there. HTML lies beside the JSON of --output, and cache/
with what a first pass over a log found. Several processes share the predicting with --shard=1/3, --shard=2/3 and
--shard=3/3; then the same flags with --merge instead.
"""

from __future__ import annotations

import dataclasses

from absl import flags

from smooth_recs.bin import _command, _flags

_A = _command.required_string("a", "the baseline")
_B = _command.required_string("b", "the new model")
_OUTPUT = _command.required_string("output", "the JSON file to write")
_CONFIG = _flags.define(required=False)
_KEY = _flags.define_names("key", "columns of files, or features, that match rows; else rows are in the same order")
_COLUMNS = {
    name: flags.DEFINE_string(name, None, text)
    for name, text in {
        "prediction": "column of files: the prediction (default: prediction)",
        "label": "column of files: the label, 0 or 1; without one, rows are those of --config in order",
        "weight": "column of files: the example's weight",
        "query_id": "column of files: the request that a row belongs to",
        "multiplier": "column or numeric feature, such as a bid: lists are ordered by prediction times it",
    }.items()
}
_K = flags.DEFINE_integer("k", None, "length of the lists that the swap rate compares (default: evaluation.k)")
_THRESHOLD = flags.DEFINE_float("threshold", None, "of classification flips (default: evaluation.threshold)")
_SLICES = flags.DEFINE_list(
    "slices", None, "label, score, position, frequency, or columns (default: evaluation.slices)"
)
_MAX_PD = flags.DEFINE_float("max_pd", None, "gate: the most that relative PD may be, as a fraction")
_MAX_AUC_LOSS_INCREASE = flags.DEFINE_float(
    "max_auc_loss_increase", None, "gate: the most that the AUC loss of b may exceed that of a"
)
_MAX_SWAP_RATE = flags.DEFINE_float(
    "max_swap_rate", None, "gate: the most that the share of requests with another top-k list may be"
)
_ALLOW_COLLAPSED = flags.DEFINE_boolean(
    "allow_collapsed", False, "gates also let a b pass that is constant, or worse than always predicting the click rate"
)
_SHARD = flags.DEFINE_string("shard", None, "i/n: predict the i-th of n parts only")
_MERGE = flags.DEFINE_boolean("merge", False, "join the shards that are there, and measure")


def main() -> None:
    from smooth_recs.comparison import comparison
    from smooth_recs.comparison.settings import IN_CONFIG, Settings, Shard
    from smooth_recs.config import Evaluation
    from smooth_recs.measures import gates

    config = _CONFIG.value if _CONFIG.present else None
    chosen = {
        "k": _K.value,
        "threshold": _THRESHOLD.value,
        "slices": None if _SLICES.value is None else tuple(_SLICES.value),
    }
    evaluation = dataclasses.replace(
        config.evaluation if config else Evaluation(),
        **{name: value for name, value in chosen.items() if value is not None},
    )
    comparison.compare(
        Settings(
            a=str(_A.value),
            b=str(_B.value),
            output=str(_OUTPUT.value),
            config=config,
            key=_flags.names(_KEY),
            columns={name: flag.value for name, flag in _COLUMNS.items() if flag.value},
            evaluation=evaluation,
            limits=gates.Limits(_MAX_PD.value, _MAX_AUC_LOSS_INCREASE.value, _MAX_SWAP_RATE.value),
            allow_collapsed=_ALLOW_COLLAPSED.value,
            shard=Shard.parse(_SHARD.value) if _SHARD.value is not None else None,
            merge=_MERGE.value,
            named={name: text for name, text in IN_CONFIG.items() if chosen.get(name) is None},
        )
    )


if __name__ == "__main__":
    _command.run(main)
