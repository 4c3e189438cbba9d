"""The training of a run: siblings on a log, from a configuration to metrics, exports and a report.

`training_run` reads from top to bottom what a run does. Of what it calls, `role` is this process' part in a cluster,
`batches` what is trained on, `loop` how; `monitoring` watches, `evaluation` and `results` measure what came out.
"""

from smooth_recs.training.training_run import plan, summary, train_and_evaluate

__all__ = ["plan", "summary", "train_and_evaluate"]
