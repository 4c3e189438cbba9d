"""Two models, or files of their predictions, compared over the same rows: the work behind `smooth_recs.bin.compare`.

`comparing.compare` is the way in. `artifacts` tells what a path is; `saved_models`, `keras_models` and
`prediction_files` predict or read; `held_out` passes once over the rows of a configuration; `matching` joins the two
sides; `shards` lets several processes share the predicting; `measuring` says what came out.
"""
