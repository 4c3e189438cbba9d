"""Exports a trained model as the next version for TensorFlow Serving, if it passes all checks and gates.

  python -m smooth_recs.bin.export --workdir=runs/demo --output=models/ranker
  python -m smooth_recs.bin.export --workdir=runs/new --output=models/ranker --live=models/ranker \\
      --against=runs/new/export/replica_1 --max_pd=0.1 --max_pd_live=0.15 --max_auc_loss_increase=0.001

The export becomes models/ranker/VERSION at once and whole, or nothing is left there. Before that, a process that has
nothing but the SavedModel loader of TensorFlow Serving must get the trained model's predictions from it: in batches of
1, 2 and 1,000 held-out rows, and for missing, unseen and extreme values; and wrong types and shapes must be refused.
Gates are on the held-out rows of the run: PD against a sibling (--against), and PD, swap rate and AUC loss against the
version that is served now (--live; of a folder of versions, the newest). A model that is constant, or worse than always
predicting the click rate, is not published without --allow_collapsed.
"""

from __future__ import annotations

from absl import flags

from smooth_recs.bin import _command

_WORKDIR = _command.required_string("workdir", "folder of a finished run")
_OUTPUT = _command.required_string("output", "folder of versions that receives the export")
_REPLICA = flags.DEFINE_integer("replica", 0, "which sibling of the run, counted from 0")
_AGAINST = flags.DEFINE_string("against", None, "export of a sibling, or a folder of its versions")
_LIVE = flags.DEFINE_string("live", None, "the export that is served now, or a folder of its versions")
_MAX_PD = flags.DEFINE_float("max_pd", None, "gate: the most that relative PD with --against may be, as a fraction")
_MAX_PD_LIVE = flags.DEFINE_float("max_pd_live", None, "gate: the same with --live")
_MAX_AUC_LOSS_INCREASE = flags.DEFINE_float(
    "max_auc_loss_increase", None, "gate: the most that the AUC loss may exceed that of --live"
)
_MAX_SWAP_RATE = flags.DEFINE_float(
    "max_swap_rate", None, "gate: the most that the share of requests with another top-k list than --live may be"
)
_ALLOW_COLLAPSED = flags.DEFINE_boolean(
    "allow_collapsed", False, "publish also what is constant, or worse than always predicting the click rate"
)


def main() -> None:
    from smooth_recs.measures.gates import Limits
    from smooth_recs.release import publishing

    release = publishing.Release(
        workdir=str(_WORKDIR.value),
        output=str(_OUTPUT.value),
        replica=_REPLICA.value,
        against=_AGAINST.value,
        live=_LIVE.value,
        sibling_limits=Limits(max_pd=_MAX_PD.value),
        allow_collapsed=_ALLOW_COLLAPSED.value,
        live_limits=Limits(_MAX_PD_LIVE.value, _MAX_AUC_LOSS_INCREASE.value, _MAX_SWAP_RATE.value),
    )
    print(publishing.publish(release))


if __name__ == "__main__":
    _command.run(main)
