"""What a run needs, against real models and numbers by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from smooth_recs import capacity, config
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.schema import Categorical, Numeric, Schema
from smooth_recs.models import from_config

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


@pytest.mark.parametrize(
    "model", [{}, {"linear": True}, {"interaction": "dot", "bottom_units": (7,)}, {"interaction": "cross"}], ids=str
)
def test_parameters_are_those_of_the_real_model(model):
    counted = capacity.capacity(run(**model), ENCODER)
    real = from_config.ranking_model(run(**model).model, ENCODER)
    real(ENCODER({"user": [1], "tags": [["a", "", ""]], "price": [1.0]}))

    def parameters(variables):
        return sum(int(np.prod(variable.shape)) for variable in variables)

    assert counted.table_parameters == parameters(real.embedding_variables)
    assert counted.dense_parameters == parameters(real.dense_variables)


def test_by_hand():
    settings = run()
    settings = dataclasses.replace(
        settings, train=config.Train(batch_size=10, dense_optimizer="adam"), siblings=config.Siblings(replicas=3)
    )
    counted = capacity.capacity(settings, ENCODER, devices=2)
    assert (counted.table_rows, counted.table_width, counted.lookups) == (100 + 50, 5, 1 + 3)
    # Inputs: two embeddings of 5 and a number with its indicator; 12-8-4-1 with biases.
    dense = (12 + 1) * 8 + (8 + 1) * 4 + 4 + 1
    assert counted.dense_parameters == dense
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


def test_one_device_sends_nothing():
    assert capacity.capacity(run(), ENCODER).network_bytes == 0


def test_the_lines_name_what_a_person_asks_for():
    needed = capacity.Capacity(2, 50_000_000, 16, 60_000, 1, False, 26, 2048, devices=2)
    text = "\n".join(capacity.lines(needed))
    assert "50,000,000 rows x 16 = 800,000,000 parameters" in text
    assert "memory a device   11.9 GiB" in text  # 2 siblings x 0.8e9 x (weight + sum of squares) x 4 bytes
    assert "10^9 ids          238 GiB of tables: 4 parameter servers of 64 GiB" in text


def test_a_billion_ids_cost_nothing_to_count():
    huge = Encoder(Schema((Categorical("id", "hash", 10**9),)))
    assert capacity.capacity(run(), huge).table_bytes == 2 * (10**9 + 2) * 5 * 2 * 4
