"""What a run needs, against real models and numbers by hand."""

from __future__ import annotations

import dataclasses

import pytest

from smooth_recs import _memory, config
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.models.cost import Cost, cost
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.training import capacity

SCHEMA = Schema(
    (
        Categorical("user", "identity", 98, "int64"),
        Categorical("tags", "hash", 48, max_values=3),
        Numeric("price", "identity", "indicator"),
    )
)
ENCODER = Encoder(SCHEMA)


def run(**model):
    return config.Config(model=config.Model(hidden_units=(8, 4), embedding_dim=5, **model))


def test_by_hand():
    settings = run()
    settings = dataclasses.replace(
        settings, train=config.Train(batch_size=10, dense_optimizer="adam"), siblings=config.Siblings(replicas=3)
    )
    counted = capacity.capacity(settings, ENCODER, devices=2)
    assert (counted.table_rows, counted.table_width, counted.cost.lookups) == (100 + 50, 5, 1 + 3)
    # Inputs: two embeddings of 5 and a number with its indicator; 12-8-4-1 with biases.
    dense = (12 + 1) * 8 + (8 + 1) * 4 + 4 + 1
    assert counted.cost.dense_parameters == dense
    assert counted.table_bytes == 3 * 750 * 2 * 4
    assert counted.dense_bytes == 3 * dense * (1 + 1 + 2) * 4  # weights, gradients, two moments
    assert counted.device_bytes == counted.table_bytes + counted.dense_bytes
    assert counted.touched_bytes == 3 * 10 * 4 * 5 * 16
    assert counted.network_bytes == 3 * dense * 4 + 3 * 5 * 4 * (5 * 4 + 8)  # 5 examples a device, to one other
    assert counted.server_bytes == 0


def test_parameter_servers_hold_the_tables():
    counted = capacity.capacity(run(), ENCODER, devices=2, servers=4)
    assert counted.device_bytes == counted.dense_bytes
    assert counted.server_bytes == (counted.table_bytes + counted.dense_bytes) // 4


def test_admission_counts_two_integers_a_row():
    with_counts = capacity.capacity(run(admission=3), ENCODER)
    assert with_counts.table_bytes == capacity.capacity(run(), ENCODER).table_bytes + 2 * 150 * 8


def test_patience_keeps_the_best_weights_beside_the_last():
    settings, patient = run(), dataclasses.replace(run(), train=config.Train(patience=2))
    plain, counted = (capacity.capacity(each, ENCODER) for each in (settings, patient))
    assert counted.table_bytes - plain.table_bytes == 2 * 750 * 4  # two siblings' tables once more
    assert counted.dense_bytes - plain.dense_bytes == 2 * plain.cost.dense_parameters * 4


def test_one_device_sends_nothing():
    assert capacity.capacity(run(), ENCODER).network_bytes == 0


def test_the_lines_name_what_a_person_asks_for():
    model = Cost(50_000_000 * 16, 60_000, 59_000, 26, 26 * 64)
    needed = capacity.Capacity(2, 50_000_000, model, 1, 1, 0, 2048, devices=2)
    text = "\n".join(capacity.lines(needed))
    assert "50,000,000 rows x 16 = 800,000,000 parameters" in text
    assert "an example        59,000 multiplications, 26 lookups" in text
    assert "memory a device   11.9 GiB" in text  # 2 siblings x 0.8e9 x (weight + sum of squares) x 4 bytes
    assert "10^9 ids          238 GiB of tables: 4 parameter servers of 64 GiB" in text


def test_a_billion_ids_cost_nothing_to_count():
    huge = Encoder(Schema((Categorical("id", "hash", 10**9),)))
    assert capacity.capacity(run(), huge).table_bytes == 2 * (10**9 + 2) * 5 * 2 * 4


@pytest.mark.parametrize(("tables", "lookups"), [("shared", 4), ("separate", 12)])
def test_an_ensemble_is_all_its_components(tables, lookups):
    ensemble = config.Ensemble(components=3, tables=tables)
    one, counted = (
        capacity.capacity(dataclasses.replace(run(), ensemble=e), ENCODER, devices=2)
        for e in (config.Ensemble(), ensemble)
    )
    assert (counted.table_rows, counted.table_width, counted.cost.lookups) == (150, 15, lookups)
    assert counted.table_bytes == 3 * one.table_bytes
    assert counted.dense_bytes == 3 * one.dense_bytes
    assert counted.touched_bytes == 3 * one.touched_bytes
    # Two siblings of 128 examples a device, to one other: the numbers of 4 rows of 15, and an id for each lookup.
    assert counted.network_bytes == 2 * 3 * one.cost.dense_parameters * 4 + 2 * 128 * (4 * 15 * 4 + lookups * 8)


def test_tables_of_their_own_count_their_ids_themselves():
    shared, separate = (
        dataclasses.replace(run(admission=2), ensemble=config.Ensemble(components=3, tables=tables))
        for tables in ("shared", "separate")
    )
    more = capacity.capacity(separate, ENCODER).table_bytes - capacity.capacity(shared, ENCODER).table_bytes
    assert more == 2 * 150 * 2 * 8  # two siblings, 150 rows, two more tables


def test_copies_of_weights_take_memory():
    older = config.Ensemble(components=3, codistillation=1.0, stale_steps=10)
    fresh, stale = (
        capacity.capacity(dataclasses.replace(run(), ensemble=ensemble), ENCODER)
        for ensemble in (dataclasses.replace(older, stale_steps=0), older)
    )
    assert stale.device_bytes - fresh.device_bytes == 2 * fresh.cost.parameters * 4
    anchored = dataclasses.replace(run(), train=config.Train(warm_start="elsewhere", anchor=0.1))
    plain = capacity.capacity(run(), ENCODER)
    assert capacity.capacity(anchored, ENCODER).device_bytes - plain.device_bytes == 2 * plain.cost.dense_parameters * 4


def test_an_ensemble_of_equal_cost_is_counted_as_narrow_as_it_is():
    equal = dataclasses.replace(run(), ensemble=config.Ensemble(components=2, equal_cost="parameters"))
    counted = capacity.capacity(equal, ENCODER)
    assert counted.table_width == 2 * 2
    assert counted.cost == cost(equal, ENCODER)
    assert counted.cost.parameters <= cost(run(), ENCODER).parameters


def test_what_cannot_be_made_is_refused():
    with pytest.raises(InputError, match=r"^model\.activation"):
        capacity.capacity(run(activation="reluu"), ENCODER)
    with pytest.raises(InputError, match=r"^model\.interaction .* got dot"):
        capacity.capacity(run(interaction="dot"), Encoder(Schema((Numeric("price", "identity"),))))
    narrow = dataclasses.replace(run(), ensemble=config.Ensemble(components=6, equal_cost="parameters"))
    with pytest.raises(InputError, match=r"^model\.embedding_dim"):
        capacity.capacity(narrow, ENCODER)


def refused(monkeypatch, settings, room: int, encoder=ENCODER, **options) -> str:
    """What `check_memory` says where this process may take so many bytes; empty where it says nothing."""
    monkeypatch.setenv(_memory.VARIABLE, str(room / 2**30))
    try:
        capacity.check_memory(settings, encoder, **options)
    except InputError as error:
        return str(error)
    return ""


SIBLINGS = 2 * 150 * 5 * 2 * 4 + 2 * ((12 + 1) * 8 + (8 + 1) * 4 + 4 + 1) * (1 + 1 + 1) * 4
"""Bytes of two siblings of `run()`: tables and dense weights with Adagrad's sums, and dense gradients."""


def test_what_just_fits_is_not_refused_and_what_does_not_is(monkeypatch):
    assert refused(monkeypatch, run(), SIBLINGS) == ""
    assert "150 rows x 5" in refused(monkeypatch, run(), SIBLINGS - 1)


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"siblings": config.Siblings(replicas=3)}, SIBLINGS // 2),
        ({"train": config.Train(embedding_optimizer="adam")}, 2 * 750 * 4),
        ({"train": config.Train(average=10)}, 2 * (750 + 145) * 4),
        ({"train": config.Train(patience=1)}, 2 * (750 + 145) * 4),
        ({"model": run(admission=2).model}, 2 * 150 * 8),
        ({"ensemble": config.Ensemble(components=3)}, 2 * SIBLINGS),
    ],
)
def test_whatever_is_kept_beside_the_weights_counts(monkeypatch, changes, more):
    settings = dataclasses.replace(run(), **changes)
    assert refused(monkeypatch, settings, SIBLINGS + more) == ""
    assert refused(monkeypatch, settings, SIBLINGS + more - 1) != ""


def test_devices_of_one_process_have_copies_of_their_own(monkeypatch):
    assert refused(monkeypatch, run(), 2 * SIBLINGS, copies=2) == ""
    assert refused(monkeypatch, run(), 2 * SIBLINGS - 1, copies=2) != ""


def test_who_predicts_needs_weights_alone(monkeypatch):
    weights = 2 * (750 + 145) * 4
    for options in ({"trains": False}, {"servers": 2}):  # a chief reads back what parameter servers hold
        assert refused(monkeypatch, run(), weights, **options) == ""
        assert refused(monkeypatch, run(), weights - 1, **options) != ""
    averaged = dataclasses.replace(run(), train=config.Train(average=10, patience=2))
    assert refused(monkeypatch, averaged, 2 * weights, trains=False) == ""
    assert refused(monkeypatch, averaged, 2 * weights - 1, trains=False) != ""


def test_the_line_says_what_would_fit(monkeypatch):
    """Of 10^8 rows x 16 two siblings with Adam and averages need 4 x 12.8e9 bytes, 47.7 GiB; a quarter fits."""
    huge = Encoder(Schema((Categorical("id", "hash", 10**8 - 2),)))
    settings = config.Config(
        model=config.Model(hidden_units=(8,)), train=config.Train(embedding_optimizer="adam", average=100)
    )
    dense = 2 * ((16 + 1) * 8 + 8 + 1) * (1 + 1 + 1 + 1) * 4  # weights, gradients, sums, averages
    line = refused(monkeypatch, settings, 12_800_000_000 + dense, huge)
    assert line == (
        "model.embedding_dim must be such that tables fit: 100,000,000 rows x 16 of 2 siblings need 47.7 GiB with adam"
        ", this process may take 11.9 GiB: take model.embedding_dim=4, at most 25,000,000 rows, parameter servers, "
        "or say --memory_gib=48 if there is more"
    )
    narrow = dataclasses.replace(settings, model=dataclasses.replace(settings.model, embedding_dim=4))
    assert refused(monkeypatch, narrow, 12_800_000_000 + dense, huge) == ""


def test_a_change_that_is_enough_alone_is_offered(monkeypatch):
    assert "siblings.replicas=1, " in refused(monkeypatch, run(), SIBLINGS // 2)
    assert "siblings.replicas=1" not in refused(monkeypatch, run(), SIBLINGS // 2 - 1)
    adam = dataclasses.replace(run(), train=config.Train(embedding_optimizer="adam"))
    assert "train.embedding_optimizer=adagrad, " in refused(monkeypatch, adam, SIBLINGS)
    halved = SIBLINGS - 2 * 750 * 2  # the tables, of 16 bits instead of 32
    assert ", model.embedding_precision=float16, " in refused(monkeypatch, run(), halved)
    assert "float16" not in refused(monkeypatch, run(), halved - 1)
    assert "float16" not in refused(monkeypatch, run(embedding_l2=1e-6), halved), "which that is not possible with"
    none = refused(monkeypatch, run(), 100)
    assert ": take parameter servers, or say --memory_gib=1 if there is more" in none


def test_the_smallest_gpu_counts_unless_the_user_says_more(monkeypatch):
    monkeypatch.delenv(_memory.VARIABLE, raising=False)
    monkeypatch.setattr(_memory, "available", lambda: None)
    monkeypatch.setattr(capacity, "_memory_of_gpus", lambda: [SIBLINGS, SIBLINGS])
    capacity.check_memory(run(), ENCODER, copies=2)
    monkeypatch.setattr(capacity, "_memory_of_gpus", lambda: [SIBLINGS, SIBLINGS - 1])
    with pytest.raises(InputError, match=r", a GPU has 15\.1 KiB: take"):
        capacity.check_memory(run(), ENCODER, copies=2)
