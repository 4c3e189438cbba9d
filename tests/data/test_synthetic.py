"""The synthetic log against the statistics that its description promises."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config
from smooth_recs.data.synthetic import REQUESTS_PER_CHUNK, SyntheticSource

LOG = config.SyntheticLog(users=500, items=300, publishers=60, campaigns=40, contexts=12)
CHUNK = REQUESTS_PER_CHUNK * LOG.candidates
Columns = dict[str, np.ndarray]


def source(log: config.SyntheticLog = LOG, **data: Any) -> SyntheticSource:
    return SyntheticSource(config.Data(synthetic=log, **data))


def columns(rows: tf.data.Dataset) -> Columns:
    """All chunks joined, features and other columns side by side."""
    chunks = [chunk["features"] | {k: v for k, v in chunk.items() if k != "features"} for chunk in rows]
    return {name: np.concatenate([chunk[name].numpy() for chunk in chunks]) for name in chunks[0]}


def log_of(rows: int, log: config.SyntheticLog = LOG, start: int = 1, seed: int = 1) -> Columns:
    """Rows `start` to `start + rows` of a log, with their true probabilities."""
    return columns(source(log, examples=start, eval_examples=rows, seed=seed).holdout())


@pytest.fixture(scope="module")
def rows() -> Columns:
    return log_of(200_000)


def assert_equal(one: Columns, other: Columns) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def test_is_deterministic() -> None:
    first, second = (source(examples=20_000, eval_examples=1_000) for _ in range(2))
    train = columns(first.train())
    assert_equal(train, columns(first.train()))
    assert_equal(train, columns(second.train()))
    assert_equal(columns(first.holdout()), columns(second.holdout()))
    assert first.fingerprint == second.fingerprint


def test_held_out_rows_come_with_their_raw_features_where_asked_for() -> None:
    log = source(examples=100, eval_examples=50)
    (rows,) = log.holdout(raw=True)
    raw = rows.pop("raw")
    assert set(raw) == {feature.name for feature in log.schema.features}
    (plain,) = log.holdout()
    tf.nest.map_structure(np.testing.assert_array_equal, rows, plain)
    # A compiled logarithm may round another way.
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), log.encoder(raw), plain["features"])


@pytest.mark.parametrize("start", [0, 20_000])
def test_training_rows_come_with_their_raw_features_where_asked_for(start: int) -> None:
    log = source(examples=30_000, eval_examples=50)
    assert sum(len(chunk["label"]) for chunk in log.train(start, raw=True)) == 30_000 - start
    for rows, plain in zip(log.train(start, raw=True), log.train(start), strict=True):
        raw = rows.pop("raw")
        tf.nest.map_structure(np.testing.assert_array_equal, rows, plain)
        tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, 1e-6), log.encoder(raw), plain["features"])


def test_any_position_can_be_started_from() -> None:
    log = source(examples=40_000, eval_examples=10)
    whole = columns(log.train())
    assert len(whole["label"]) == 40_000
    for start in (1, CHUNK - 1, CHUNK, CHUNK + 1, 30_001, 39_999):
        assert_equal(columns(log.train(start_row=start)), {name: values[start:] for name, values in whole.items()})


def test_nothing_is_left_at_the_end() -> None:
    log = source(examples=20_000, eval_examples=10)
    for start in (20_000, 20_001, 5 * CHUNK):
        assert sum(len(chunk["label"]) for chunk in log.train(start_row=start)) == 0


@pytest.mark.parametrize("examples", [5_000, CHUNK])
def test_held_out_rows_are_the_ones_after_the_training_rows(examples: int) -> None:
    whole = columns(source(examples=examples + 7_000, eval_examples=1).train())
    divided = source(examples=examples, eval_examples=7_000)
    train, holdout = columns(divided.train()), columns(divided.holdout())
    truth = holdout.pop("true_probability")
    assert_equal({name: np.concatenate([train[name], holdout[name]]) for name in train}, whole)
    assert len(truth) == 7_000 == divided.eval_rows
    assert len(train["label"]) == examples == divided.train_rows


def test_defaults_are_a_million_and_a_hundred_thousand_rows() -> None:
    log = source()
    assert (log.train_rows, log.eval_rows) == (1_000_000, 100_000)


def test_requests_are_numbered_in_time_order(rows: Columns) -> None:
    np.testing.assert_array_equal(rows["query_id"], (1 + np.arange(len(rows["label"]))) // LOG.candidates)


@pytest.mark.parametrize("candidates", [1, 3])
def test_candidates_of_a_request_share_all_but_the_item(candidates: int) -> None:
    log = dataclasses.replace(LOG, candidates=candidates)
    rows = log_of(6_000, log, start=candidates)
    requests = {name: values.reshape(-1, candidates) for name, values in rows.items() if values.ndim == 1}
    for name in ("user", "publisher", "context", "query_id"):
        assert (requests[name] == requests[name][:, :1]).all(), name
    if candidates > 1:
        assert (requests["item"] != requests["item"][:, :1]).any(axis=1).mean() > 0.5


def test_types_and_shapes(rows: Columns) -> None:
    n = len(rows["label"])
    expected = {"price": ("float32", (n, 2)), "hour": ("float32", (n, 1)), "topics": ("int64", (n, 3))}
    for name in ("user", "item", "publisher", "campaign", "context", "query_id"):
        expected[name] = ("int64", (n,))
    for name in ("label", "weight", "true_probability"):
        expected[name] = ("float32", (n,))
    assert {name: (str(values.dtype), values.shape) for name, values in rows.items()} == expected
    assert set(np.unique(rows["label"])) == {0.0, 1.0}
    assert (rows["weight"] == 1).all()


def test_ids_are_in_range(rows: Columns) -> None:
    for name, size in (("user", 500), ("item", 300), ("campaign", 40), ("context", 12)):
        assert rows[name].min() >= 0
        assert rows[name].max() < size
    assert set(np.unique(rows["publisher"])) <= {*range(60), 61}  # 60 is out of vocabulary, 61 missing


@pytest.mark.parametrize(
    ("name", "size", "per_request"), [("user", 500, True), ("item", 300, False), ("context", 12, True)]
)
def test_ids_follow_zipfs_law(rows: Columns, name: str, size: int, per_request: bool) -> None:
    """Pearson's chi-square of the counts against (k + 1)^-1.05, within five standard deviations."""
    drawn = rows[name][3 :: LOG.candidates] if per_request else rows[name]
    expected = (1.0 + np.arange(size)) ** -LOG.zipf_exponent
    expected *= len(drawn) / expected.sum()
    counts = np.bincount(drawn, minlength=size)
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert abs(chi_square - (size - 1)) < 5 * np.sqrt(2 * (size - 1))


def test_an_exponent_of_zero_is_uniform() -> None:
    counts = np.bincount(log_of(60_000, dataclasses.replace(LOG, zipf_exponent=0.0))["item"], minlength=300)
    assert np.sum((counts - 200) ** 2 / 200) < 299 + 5 * np.sqrt(2 * 299)


def test_missing_rates(rows: Columns) -> None:
    missing_price = rows["price"][:, 1]
    assert (rows["price"][missing_price == 1, 0] == 0).all()
    assert_rate(missing_price, 0.05)
    assert_rate(rows["publisher"][3 :: LOG.candidates] == 61, 0.05)
    complete = log_of(20_000, dataclasses.replace(LOG, missing_rate=0.0))
    assert complete["price"][:, 1].sum() == 0
    assert (complete["publisher"] < 60).all()


def assert_rate(events: np.ndarray, rate: float) -> None:
    assert abs(events.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / len(events))


def test_items_keep_their_campaign_and_their_one_to_three_topics(rows: Columns) -> None:
    for item in range(0, 300, 7):
        of_item = rows["item"] == item
        assert len(np.unique(rows["campaign"][of_item])) == 1
        assert len(np.unique(rows["topics"][of_item], axis=0)) == 1
    counts = (rows["topics"] >= 0).sum(axis=1)
    assert set(counts) == {1, 2, 3}
    assert ((rows["topics"] >= 0) == (np.arange(3) < counts[:, None])).all()  # padding comes last
    assert rows["topics"].max() < 100


def test_labels_agree_with_the_true_probabilities(rows: Columns) -> None:
    """In every decile of the probability, and together, within 4.5 binomial standard deviations."""
    probability, label = rows["true_probability"].astype(np.float64), rows["label"]
    assert probability.min() > 0
    assert probability.max() < 1
    order = np.argsort(probability)
    for part in (order, *np.array_split(order, 10)):
        deviation = np.sqrt(np.sum(probability[part] * (1 - probability[part])))
        assert abs(label[part].sum() - probability[part].sum()) < 4.5 * deviation


def test_labels_within_a_request_are_drawn_independently(rows: Columns) -> None:
    """Given the probabilities, the product of the deviations of two candidates has mean 0."""
    error = (rows["label"] - rows["true_probability"].astype(np.float64))[3:-1].reshape(-1, 4)
    products = error[:, 0] * error[:, 1]
    assert abs(products.mean()) < 5 * products.std() / np.sqrt(len(products))


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Area under the curve by ranks; ties count one half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = label.sum()
    return float((ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(label) - positives)))


def test_true_probabilities_are_the_best_ranking(rows: Columns) -> None:
    """Calibrated p with mean m have AUC = 1/2 + E|p - p'| / (4 m (1 - m)), at least 1/2 + Var p / (2 m (1 - m))."""
    label, p = rows["label"], rows["true_probability"].astype(np.float64)
    best, mean = auc(label, p), p.mean()
    ascending = np.sort(p)
    gini = 2 * np.sum((2 * np.arange(1, len(p) + 1) - len(p) - 1) * ascending) / len(p) ** 2
    assert best == pytest.approx(0.5 + gini / (4 * mean * (1 - mean)), abs=0.006)
    assert best > 0.5 + p.var() / (2 * mean * (1 - mean)) > 0.55
    assert best > 0.8
    # The click rates of single values, measured on these very rows, rank worse: the truth is in their combination.
    for name in ("user", "item", "publisher", "campaign", "context"):
        clicks, shown = np.bincount(rows[name], weights=label), np.bincount(rows[name])
        assert best > auc(label, (clicks / np.maximum(shown, 1))[rows[name]]) + 0.05, name


def logit(rows: Columns) -> np.ndarray:
    p = rows["true_probability"].astype(np.float64)
    return np.log(p / (1 - p))


def price(rows: Columns) -> np.ndarray:
    """The encoding is log(1 + price)."""
    return np.expm1(rows["price"][:, 0].astype(np.float64))


def test_without_signal_and_drift_only_the_price_counts() -> None:
    log = dataclasses.replace(LOG, signal=0.0, drift=0.0, missing_rate=0.0, bias=-1.0)
    rows = log_of(20_000, log)
    np.testing.assert_allclose(logit(rows), -1.0 - 0.2 * np.log(price(rows)), atol=1e-4)
    assert np.ptp(price(rows)) > 1


def test_drift_is_a_sine_of_the_row_with_a_phase_of_each_item() -> None:
    """Per item, a sin + b cos of 2 pi row / 1,000,000 fits exactly, and its amplitude is the setting."""
    log = dataclasses.replace(LOG, items=20, signal=0.0, drift=0.3, missing_rate=0.0, bias=0.0)
    parts = [(start, log_of(20_000, log, start=start)) for start in (1, 300_000, 777_777)]
    row = np.concatenate([start + np.arange(20_000) for start, _ in parts])
    item = np.concatenate([rows["item"] for _, rows in parts])
    rest = np.concatenate([logit(rows) + 0.2 * np.log(price(rows)) for _, rows in parts])
    angle = 2 * np.pi * row / 1_000_000
    phases = []
    for number in range(20):
        of_item = item == number
        waves = np.stack([np.sin(angle[of_item]), np.cos(angle[of_item])], axis=1)
        coefficients, *_ = np.linalg.lstsq(waves, rest[of_item], rcond=None)
        np.testing.assert_allclose(waves @ coefficients, rest[of_item], atol=1e-4)
        assert np.hypot(*coefficients) == pytest.approx(0.3, abs=1e-3)
        phases.append(np.arctan2(coefficients[1], coefficients[0]) % (2 * np.pi))
    assert np.ptp(phases) > 3


def test_drift_moves_click_rates_in_time() -> None:
    """Half a period later the drift of every item has changed its sign; without drift nothing has changed."""
    for drift in (0.0, 1.0):
        log = dataclasses.replace(LOG, items=8, drift=drift)
        early, late = log_of(60_000, log), log_of(60_000, log, start=500_000)
        rates = [[rows["label"][rows["item"] == i].mean() for i in range(8)] for rows in (early, late)]
        counts = [np.bincount(rows["item"], minlength=8) for rows in (early, late)]
        # Requests of one user are alike, so that rates scatter more than independent labels do: 6 for 3 deviations.
        spread = np.abs(np.subtract(*rates)) / np.sqrt(0.25 / counts[0] + 0.25 / counts[1])
        assert (spread.max() > 20) if drift else (spread.max() < 6)


def test_signal_holds_what_a_linear_model_cannot_learn() -> None:
    """Two users and two items: the double difference of the logits is not zero, so the logits are no sum."""
    log = config.SyntheticLog(
        users=2, items=2, publishers=1, campaigns=1, contexts=1, drift=0.0, missing_rate=0.0, zipf_exponent=0.0
    )
    double_differences = []
    for seed in (1, 2, 3):
        rows = log_of(2_000, log, seed=seed)
        rest = logit(rows) + 0.2 * np.log(price(rows))
        cell = [[rest[(rows["user"] == u) & (rows["item"] == i)] for i in range(2)] for u in range(2)]
        assert all(np.ptp(values) < 1e-3 for row in cell for values in row)
        means = np.array([[values.mean() for values in row] for row in cell])
        double_differences.append(means[0, 0] - means[0, 1] - means[1, 0] + means[1, 1])
    assert np.abs(double_differences).max() > 0.5
    assert np.abs(double_differences).min() > 1e-3


def test_another_seed_is_another_log() -> None:
    one, other = log_of(20_000, seed=1), log_of(20_000, seed=2)
    for name in ("user", "item", "campaign", "label", "true_probability", "price"):
        assert (one[name] != other[name]).mean() > 0.1, name
    assert source(seed=1).fingerprint != source(seed=2).fingerprint


def test_neighbouring_chunks_and_seeds_share_no_draws(rows: Columns) -> None:
    first, second = rows["user"][:CHUNK], rows["user"][CHUNK : 2 * CHUNK]
    together = np.sum((np.bincount(rows["user"]) / len(rows["user"])) ** 2)
    for shift in (0, 4, 8):
        assert (first[shift:] == second[: CHUNK - shift]).mean() == pytest.approx(together, abs=0.03)


def test_every_setting_is_in_the_fingerprint() -> None:
    before = source().fingerprint
    for field in dataclasses.fields(config.SyntheticLog):
        changed = dataclasses.replace(LOG, **{field.name: getattr(LOG, field.name) + 1})
        assert source(changed).fingerprint != before, field.name
    assert source(examples=5).fingerprint != before
    assert source(eval_examples=5).fingerprint != before
    assert source(features=("user",)).fingerprint != before


def test_choosing_features_changes_no_row() -> None:
    everything = columns(source(examples=5_000, eval_examples=10).train())
    chosen = columns(source(examples=5_000, eval_examples=10, features=("item", "price")).train())
    assert_equal(chosen, {name: everything[name] for name in chosen})
    assert chosen.keys() == {"item", "price", "label", "weight", "query_id"}


def test_schema_describes_the_rows(rows: Columns) -> None:
    log = source()
    for feature in log.schema.categorical:
        assert rows[feature.name].max() < log.encoder.table_rows(feature)
    assert log.schema.query_id == "request"
    assert {feature.name for feature in log.schema.features} == rows.keys() - {
        "label", "weight", "query_id", "true_probability"
    }  # fmt: skip
