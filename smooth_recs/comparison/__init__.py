"""Two models, or files of their predictions, compared over the same rows: the work behind `smooth_recs.bin.compare`.

`comparison.compare` is the way in, and takes `settings.Settings`. `predictions` makes a side, rows with predictions,
out of each artifact: models predict the held-out rows of a configuration, files of predictions are read. `rows` matches
the rows of the two sides, and stores those of a shard where several processes share the predicting.
"""
