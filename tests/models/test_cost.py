"""Costs against numbers by hand, real models and the matrix products in their graphs; ensembles of equal cost."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from smooth_recs import config
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.models import from_config
from smooth_recs.models.cost import Cost, cost, equal_cost_line, narrowed, single
from smooth_recs.schema import Categorical, Numeric, Schema

USER = Categorical("user", "identity", 98, "int64")
TAGS = Categorical("tags", "hash", 48, max_values=3)
PRICE = Numeric("price", "identity", "indicator")
ENCODER = Encoder(Schema((USER, TAGS, PRICE)))
RAW = {"user": [1], "tags": [["a", "", "b"]], "price": [1.0]}


def run(ensemble: dict[str, Any] | None = None, **model: Any) -> config.Config:
    sizes = {"hidden_units": (8, 4), "embedding_dim": 6, "normalization": "none"} | model
    return config.Config(model=config.Model(**sizes), ensemble=config.Ensemble(**ensemble or {}))


def test_a_single_network_by_hand() -> None:
    # Inputs: two embeddings of 6, a number and its indicator; 14-8-4-1 with biases; tables of 100 and 50 rows.
    found = cost(run(), ENCODER)
    assert found == Cost(
        table_parameters=150 * 6,
        dense_parameters=15 * 8 + 9 * 4 + 5 * 1,
        multiply_adds=14 * 8 + 8 * 4 + 4,
        lookups=1 + 3,
        lookup_bytes=4 * 6 * 4,
    )
    assert found.parameters == 900 + 161
    assert found.to_dict() == {"parameters": 1061, **dataclasses.asdict(found)}


def test_a_linear_part_reads_rows_of_its_own() -> None:
    with_linear, without = cost(run(linear=True), ENCODER), cost(run(), ENCODER)
    assert with_linear.table_parameters == without.table_parameters + 150
    assert with_linear.dense_parameters == without.dense_parameters + 2  # a slope for each numeric input
    assert with_linear.multiply_adds == without.multiply_adds + 2
    assert (with_linear.lookups, with_linear.lookup_bytes) == (4 + 4, without.lookup_bytes + 4 * 4)


@pytest.mark.parametrize(("tables", "lookups"), [("shared", 4), ("separate", 12)])
def test_an_ensemble_by_hand(tables: str, lookups: int) -> None:
    one, found = cost(run(), ENCODER), cost(run({"components": 3, "tables": tables}), ENCODER)
    assert found == Cost(
        3 * one.table_parameters, 3 * one.dense_parameters, 3 * one.multiply_adds, lookups, 3 * one.lookup_bytes
    )


def test_components_share_one_linear_part() -> None:
    found, without = cost(run({"components": 3}, linear=True), ENCODER), cost(run({"components": 3}), ENCODER)
    assert found.table_parameters == without.table_parameters + 150
    assert found.dense_parameters == without.dense_parameters + 2
    assert found.lookups == 4 + 4


LEARNED_GSMELU = {"class_name": "GSmeLU", "config": {"learn": "all", "per": "unit"}}
LEARNED_RESCU = {
    "class_name": "RESCU",
    "config": {"knots": [-1.0, 0.0, 1.0], "slopes": [0.0, 1.5, 1.0], "learn": ["slopes", "t"], "per": "layer"},
}
MODELS: dict[str, dict[str, Any]] = {
    "concat": {},
    "bottom": {"bottom_units": (7, 3)},
    "dot": {"interaction": "dot"},
    "dot with a bottom": {"interaction": "dot", "bottom_units": (5,)},
    "cross": {"interaction": "cross", "bottom_units": (5,)},
    "deepfm": {"interaction": "deepfm", "linear": True},
    "linear": {"linear": True},
    "weight": {"normalization": "weight"},
    "layer": {"normalization": "layer", "bottom_units": (5,)},
    "batch": {"normalization": "batch"},
    "gsmelu": {"activation": LEARNED_GSMELU},
    "rescu": {"activation": LEARNED_RESCU, "bottom_units": (5,)},
    "dropout": {"dropout": 0.1, "l2": 0.1},
}
SCHEMAS = {
    "all": Schema((USER, TAGS, PRICE)),
    "categorical": Schema((USER, TAGS)),
    "numeric": Schema((PRICE, Numeric("age", "identity", "zero"))),
}


ENSEMBLES: dict[str, dict[str, Any]] = {
    "shared": {"components": 3},
    "separate": {"components": 2, "tables": "separate"},
    "equal parameters": {"components": 2, "equal_cost": "parameters"},
    "equal multiplications": {"components": 3, "equal_cost": "multiplications", "tables": "separate"},
    "stale": {"components": 2, "codistillation": 1.0, "stale_steps": 3},
}


# Products of embeddings need some: `from_config` refuses them for numbers alone.
PAIRS = [(m, s) for m in MODELS for s in SCHEMAS if not (m.startswith(("dot", "deepfm")) and s == "numeric")]


@pytest.mark.parametrize(("model", "schema"), PAIRS)
def test_it_is_what_the_real_model_has_and_does(model: str, schema: str) -> None:
    compare_with_real(run(**MODELS[model]), SCHEMAS[schema])


@pytest.mark.parametrize("model", ["concat", "deepfm"])
def test_it_is_what_a_model_of_several_labels_has_and_does(model: str) -> None:
    compare_with_real(run(**MODELS[model]), Schema((USER, TAGS, PRICE), label=("click", "sale", "return")))


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("model", ["linear", "dot with a bottom", "cross", "gsmelu"])
def test_it_is_what_the_real_ensemble_has_and_does(model: str, ensemble: str) -> None:
    compare_with_real(run(ENSEMBLES[ensemble], **MODELS[model]), SCHEMAS["all"])


def compare_with_real(settings: config.Config, schema: Schema) -> None:
    encoder = Encoder(schema)
    found, real = cost(settings, encoder), from_config.model(settings, encoder)
    row = encoder({name: value for name, value in (RAW | {"age": [1.0]}).items() if name in schema.columns})
    real(row)
    assert found.table_parameters == sum(math.prod(v.shape) for v in real.embedding_variables)
    assert found.dense_parameters == sum(math.prod(v.shape) for v in real.dense_variables)
    graph = tf.function(lambda row: real(row, training=False), autograph=False).get_concrete_function(row).graph
    assert found.multiply_adds == multiply_adds(graph.get_operations())
    gathered = [op.outputs[0].shape for op in graph.get_operations() if op.type == "ResourceGather"]
    assert found.lookups == sum(math.prod(shape[:-1]) for shape in gathered)
    assert found.lookup_bytes == sum(math.prod(shape) for shape in gathered) * 4


def multiply_adds(operations: Any) -> int:
    """Of all products in a graph for one example, a cross's element by element included."""
    total = 0
    for operation in operations:
        if operation.type in ("MatMul", "BatchMatMulV2"):
            total += math.prod(operation.outputs[0].shape) * operation.inputs[0].shape[-1]
        elif operation.type == "Mul" and "cross" in operation.name:
            total += math.prod(operation.outputs[0].shape)
    return total


WIDTHS = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)


@settings(max_examples=40, deadline=None)
@given(
    hidden=WIDTHS, bottom=st.just(()) | WIDTHS, dim=st.integers(2, 20), components=st.integers(2, 4),
    interaction=st.sampled_from(["concat", "dot", "cross", "deepfm"]), tables=st.sampled_from(["shared", "separate"]),
    what=st.sampled_from(["parameters", "multiplications"]), normalization=st.sampled_from(["weight", "layer"]),
)  # fmt: skip
def test_equal_cost_is_the_nearest_not_above_the_single_network(
    hidden: Any, bottom: Any, dim: int, components: int, interaction: str, tables: str, what: str, normalization: str
) -> None:
    asked = run(
        {"components": components, "equal_cost": what, "tables": tables},
        hidden_units=hidden, bottom_units=bottom, embedding_dim=dim, interaction=interaction,
        normalization=normalization,
    )  # fmt: skip
    limit = counted(single(asked), what)

    def at(ratio: Fraction) -> config.Config:
        model = dataclasses.replace(
            asked.model, embedding_dim=dim // components,
            hidden_units=tuple(int(width * ratio) for width in hidden),
            bottom_units=tuple(int(width * ratio) for width in bottom),
        )  # fmt: skip
        return dataclasses.replace(asked, model=model, ensemble=dataclasses.replace(asked.ensemble, equal_cost="none"))

    every = {Fraction(part, whole) for whole in (*hidden, *bottom) for part in range(1, whole + 1)}
    fitting = [ratio for ratio in every if ratio * min(*hidden, *bottom, 40) >= 1 and counted(at(ratio), what) <= limit]
    if dim < components or not fitting:
        with pytest.raises(InputError):
            narrowed(asked, ENCODER)
        return
    assert narrowed(asked, ENCODER) == at(max(fitting))
    assert cost(asked, ENCODER) == cost(at(max(fitting)), ENCODER)


def counted(settings: config.Config, what: str) -> int:
    found = cost(settings, ENCODER)
    return found.parameters if what == "parameters" else found.multiply_adds


def test_without_equal_cost_nothing_is_narrowed() -> None:
    asked = run({"components": 3})
    assert narrowed(asked, ENCODER) is asked


def test_narrowing_by_hand() -> None:
    """A network of 14-8-4-1 does 148 multiplications; two of 8-h1-h2-1 with half the embeddings each."""
    asked = run({"components": 2, "equal_cost": "multiplications"})
    found = narrowed(asked, ENCODER)
    # With 3/4 of the units 8 * 6 + 6 * 3 + 3 = 69 each; the next ratio, 7/8, gives 8 * 7 + 7 * 3 + 3 = 80.
    assert found.model.hidden_units == (6, 3)
    assert found.model.embedding_dim == 3
    assert cost(found, ENCODER).multiply_adds == 2 * 69
    # 150 rows of 6 and two networks of 9 * 6 + 7 * 3 + 4 = 79 numbers.
    assert equal_cost_line(asked, ENCODER) == (
        "equal cost  2 components of embedding_dim 3, hidden units 6 3: 1,058 parameters (single network: 1,061), "
        "138 multiplications an example (148), 4 lookups (4)"
    )


def test_wide_networks_come_close_to_the_single_one() -> None:
    sizes = (20_000, 5_000, 1_000, 200, 50)
    demo = Encoder(Schema(tuple(Categorical(f"f{k}", "hash", size) for k, size in enumerate(sizes))))
    for what in ("parameters", "multiplications"):
        asked = config.Config(ensemble=config.Ensemble(components=3, equal_cost=what))
        pair = cost(asked, demo), cost(single(asked), demo)
        ours, of_single = (c.parameters if what == "parameters" else c.multiply_adds for c in pair)
        assert 0.98 * of_single < ours <= of_single


def test_embeddings_narrower_than_the_components_are_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.embedding_dim must be at least ensemble\.components .* got 2 for 3"):
        narrowed(run({"components": 3, "equal_cost": "parameters"}, embedding_dim=2), ENCODER)


def test_numeric_features_alone_need_no_embeddings() -> None:
    numeric = Encoder(SCHEMAS["numeric"])
    asked = run({"components": 3, "equal_cost": "parameters"}, embedding_dim=2)
    found = narrowed(asked, numeric)
    assert found.model.embedding_dim == 2
    assert cost(found, numeric).parameters <= cost(single(asked), numeric).parameters


def test_layers_that_would_go_below_one_unit_are_refused() -> None:
    asked = run({"components": 2, "equal_cost": "multiplications"}, hidden_units=(8, 1))
    with pytest.raises(
        InputError, match=r"^ensemble\.equal_cost multiplications .* 2 components with hidden units 8 1 "
    ):
        narrowed(asked, ENCODER)
