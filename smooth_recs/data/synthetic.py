"""A synthetic click log: deterministic, of any length, with the true click probability of every row.

A request shows `candidates` items to one user at one publisher in one context. Ids follow Zipf's law. With z the
standard normal latent vectors and b the standard normal biases of the values, the click probability of a row is

    sigmoid(bias + signal (b_user + b_item + b_publisher + b_campaign + b_context) / 2
                 + signal (<z_user, z_item> + <z_publisher, z_campaign> + <z_context, z_item> + <z_user, z_topics>) / 2k
                 + drift sin(2 pi (row / 1,000,000 + phase_item)) - 0.2 log price)

with k = `latent_dim` ** 0.5 and z_topics the mean over the item's topics. Products of latent vectors are what a linear
model cannot learn; the drift is what a model trained on the past cannot know.

A chunk of rows is a pure function of (seed, chunk number), in TensorFlow ops: any position can be started from at once,
chunks are made in parallel, and memory does not grow with the length of the log.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.data.files import untuned
from smooth_recs.schema import Categorical, Numeric, Schema

DEFAULT_TRAIN_ROWS = 1_000_000
DEFAULT_EVAL_ROWS = 100_000
TOPICS = 100
TOPICS_PER_ITEM = 3
REQUESTS_PER_CHUNK = 4096
DRIFT_PERIOD = 1_000_000.0

Table = dict[str, Any]


def schema(log: config_lib.SyntheticLog) -> Schema:
    """The columns of the log."""
    sizes = {
        "user": log.users,
        "item": log.items,
        "publisher": log.publishers,
        "campaign": log.campaigns,
        "context": log.contexts,
    }
    ids = [Categorical(name, "identity", size, "int64") for name, size in sizes.items()]
    topics = Categorical("topics", "identity", TOPICS, "int64", max_values=TOPICS_PER_ITEM)
    numbers = [Numeric("price", "log", "indicator"), Numeric("hour", "identity", "zero")]
    return Schema((*ids, topics, *numbers), query_id="request", timestamp="row")


class SyntheticSource:
    """The synthetic log as a `Source` of examples.

    The first `data.examples` rows (1,000,000 where it is 0) are for training, the next `data.eval_examples` (100,000)
    are held out, so that the held-out rows are the latest; `data.validation_fraction` is the last share of the former.
    Rows of `holdout()` carry `true_probability`.

    ```python
    from smooth_recs import config
    from smooth_recs.data.synthetic import SyntheticSource

    source = SyntheticSource(config.Data(examples=10_000, eval_examples=1_000))
    rows = next(iter(source.train()))
    rows["features"]["user"], rows["label"]
    ```
    """

    def __init__(self, data: config_lib.Data) -> None:
        self._log = data.synthetic
        self._seed = data.seed
        self.schema = schema(data.synthetic).select(data.features)
        self.encoder = Encoder(self.schema, Statistics())
        rows = data.examples or DEFAULT_TRAIN_ROWS
        self.validation_rows = round(rows * data.validation_fraction)
        self.train_rows = rows - self.validation_rows
        self.eval_rows = data.eval_examples or DEFAULT_EVAL_ROWS
        settings = json.dumps([vars(data.synthetic), data.features, data.seed, rows, self.eval_rows], sort_keys=True)
        self.fingerprint = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self.summary: dict[str, Any] = {"rows": rows + self.eval_rows, "malformed": 0}

    def train(self, start_row: int = 0, *, raw: bool = False) -> tf.data.Dataset:
        """Chunks of training rows in time order, from `start_row` on."""
        return self._rows(start_row, self.train_rows, truth=False, with_raw=raw)

    def holdout(self, *, raw: bool = False) -> tf.data.Dataset:
        """Chunks of the held-out rows."""
        first = self.train_rows + self.validation_rows
        return self._rows(first, first + self.eval_rows, truth=True, with_raw=raw)

    def validation(self) -> tf.data.Dataset:
        """Chunks of the validation rows."""
        return self._rows(self.train_rows, self.train_rows + self.validation_rows, truth=False)

    def _rows(self, start: int, stop: int, truth: bool, with_raw: bool = False) -> tf.data.Dataset:
        size = REQUESTS_PER_CHUNK * self._log.candidates
        left_out = {name for name, wanted in (("true_probability", truth), ("raw", with_raw)) if not wanted}

        @tf.autograph.experimental.do_not_convert
        def rows(chunk: tf.Tensor) -> dict[str, Any]:
            found = {name: column for name, column in self._chunk(chunk).items() if name not in left_out}
            first, last = tf.maximum(start - chunk * size, 0), tf.minimum(stop - chunk * size, size)
            return tf.nest.map_structure(lambda column: column[first:last], found)

        chunks = tf.data.Dataset.range(start // size, -(-stop // size))
        return untuned(chunks).map(rows, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    @functools.cached_property
    def _chunk(self) -> Callable[[tf.Tensor], dict[str, Any]]:
        """All columns of the chunk with a number; traced once, since a run reads many times."""

        @tf.autograph.experimental.do_not_convert
        def columns(chunk: tf.Tensor) -> dict[str, Any]:
            raw, label, probability, request = generate(self._log, self._seed, _tables(self._log, self._seed), chunk)
            return {
                "features": self.encoder(raw),
                "label": label,
                "weight": tf.ones_like(label),
                "query_id": request,
                "true_probability": probability,
                "raw": {feature.name: raw[feature.name] for feature in self.schema.features},
            }

        traced: Callable[[tf.Tensor], dict[str, Any]] = tf.function(columns, autograph=False)
        return traced


def _tables(log: config_lib.SyntheticLog, seed: int) -> Table:
    """Tables that stay the same for the whole log: biases, latent vectors, the items' campaigns, topics and prices."""
    # The order of the draws is part of the log: one more among them would change every log of earlier versions.
    random = np.random.Generator(np.random.Philox(seed))
    sizes = {feature.name: feature.size for feature in schema(log).categorical}
    tables: Table = {f"z_{name}": random.normal(size=(size, log.latent_dim)) for name, size in sizes.items()}
    tables |= {f"b_{name}": random.normal(size=size) for name, size in sizes.items()}
    tables["phase"] = random.uniform(size=log.items)
    tables["log_price"] = random.normal(size=log.items)
    tables = {name: table.astype(np.float32) for name, table in tables.items()}
    tables["item_campaign"] = random.integers(0, log.campaigns, log.items)
    topics = random.integers(0, TOPICS, (log.items, TOPICS_PER_ITEM))
    count = random.integers(1, TOPICS_PER_ITEM + 1, (log.items, 1))
    tables["item_topics"] = np.where(np.arange(TOPICS_PER_ITEM) < count, topics, -1)
    for name in ("user", "item", "publisher", "context"):
        weights = (1.0 + np.arange(sizes[name])) ** -log.zipf_exponent
        tables[f"cdf_{name}"] = (np.cumsum(weights) / np.sum(weights)).astype(np.float64)
    return tables


def generate(log: config_lib.SyntheticLog, seed: int, tables: Table, chunk: tf.Tensor) -> tuple[Any, ...]:
    """Raw features, labels, true probabilities and request numbers of the chunk with that number."""
    requests, rows = REQUESTS_PER_CHUNK, REQUESTS_PER_CHUNK * log.candidates

    # Every kind of draw has a stream of its own, of at most 64 per seed: no two share random numbers.
    def uniform(stream: int, count: int) -> tf.Tensor:
        stream_seed = tf.stack([tf.constant(seed * 64 + stream, tf.int64), chunk])
        return tf.random.stateless_uniform([count], stream_seed, dtype=tf.float64)

    def zipf(name: str, stream: int, count: int) -> tf.Tensor:
        drawn = tf.searchsorted(tables[f"cdf_{name}"], uniform(stream, count), side="right", out_type=tf.int64)
        # The last entry of the cumulated sum may be rounded to below 1, and a draw be above it.
        return tf.minimum(drawn, len(tables[f"cdf_{name}"]) - 1)

    ids = {name: zipf(name, stream, requests) for stream, name in enumerate(("user", "publisher", "context"))}
    ids = {name: tf.repeat(values, log.candidates) for name, values in ids.items()}
    ids["item"] = zipf("item", 3, rows)
    ids["campaign"] = tf.gather(tables["item_campaign"], ids["item"])
    topics = tf.gather(tables["item_topics"], ids["item"])
    row = chunk * rows + tf.range(rows, dtype=tf.int64)
    log_price = tf.gather(tables["log_price"], ids["item"]) + tf.cast(uniform(4, rows) - 0.5, tf.float32)
    time = tf.cast(row, tf.float64) / DRIFT_PERIOD  # float32 would lose single rows after the first 16 million
    probability = tf.sigmoid(click_logits(log, tables, ids, topics, log_price, time))
    label = tf.cast(tf.cast(uniform(5, rows), tf.float32) < probability, tf.float32)

    price = tf.where(uniform(6, rows) < log.missing_rate, np.float32(np.nan), tf.exp(log_price))
    hidden = tf.repeat(uniform(7, requests) < log.missing_rate, log.candidates)
    raw = dict(ids, topics=topics, price=price, hour=tf.cast(time * 240.0 % 24.0 / 24.0, tf.float32))
    raw["publisher"] = tf.where(hidden, np.int64(-1), ids["publisher"])
    return raw, label, probability, row // log.candidates


def click_logits(
    log: config_lib.SyntheticLog, tables: Table, ids: Table, topics: tf.Tensor, log_price: tf.Tensor, time: tf.Tensor
) -> tf.Tensor:
    """The log-odds of a click, by the formula at the top of this module, float32 [n].

    Args:
      log: the settings of the log.
      tables: latent vectors `z_*`, biases `b_*` and the items' `phase`, by value.
      ids: the value of each feature in each row, int64 [n].
      topics: those of the items, int64 [n, 3], padded with -1.
      log_price: float32 [n].
      time: row / 1,000,000, float64 [n].
    """
    z = {name: tf.gather(tables[f"z_{name}"], values) for name, values in ids.items()}
    present = tf.cast(topics >= 0, tf.float32)[:, :, None]
    of_topics = tf.gather(tables["z_topics"], tf.maximum(topics, 0)) * present
    # An item has at least one topic: no division by 0.
    z["topics"] = tf.reduce_sum(of_topics, axis=1) / tf.reduce_sum(present, axis=1)
    biases = tf.add_n([tf.gather(tables[f"b_{name}"], values) for name, values in ids.items()])
    couples = (("user", "item"), ("publisher", "campaign"), ("context", "item"), ("user", "topics"))
    products = tf.add_n([tf.reduce_sum(z[one] * z[other], axis=1) for one, other in couples])
    phase = tf.cast(time, tf.float32) + tf.gather(tables["phase"], ids["item"])
    return (
        log.bias
        + log.signal * (biases / 2 + products / (2 * log.latent_dim**0.5))
        + log.drift * tf.sin(2 * np.pi * phase)
        - 0.2 * log_price
    )
