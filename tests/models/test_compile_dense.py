"""Ranking models, ensembles and siblings whose training steps are compiled train as they do otherwise, to last bits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs import config as config_lib
from smooth_recs.config import Config
from smooth_recs.data.encoding import Encoder
from smooth_recs.layers import compiled
from smooth_recs.models import SiblingModel, from_config
from smooth_recs.models.trackable import trackable
from smooth_recs.schema import Categorical, Numeric, Schema

pytestmark = pytest.mark.both_generations
ENCODER = Encoder(Schema((Categorical("user", "identity", 7, "int64"), Numeric("price", "identity", "zero"))))
ROWS = 40
SMALL = config_lib.Model(hidden_units=(8,), embedding_dim=3, clip=1.0, compile_dense="always", linear=True)


def data(batch_size: int = 16) -> tf.data.Dataset:
    """Batches of 16, 16 and 8 rows."""
    random = np.random.default_rng(1)
    features = {
        "user": random.integers(0, 7, ROWS),
        "price": random.normal(size=(ROWS, 1)).astype(np.float32),
    }
    label = (random.uniform(size=ROWS) < 0.4).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((features, label)).batch(batch_size)


def built(config: Config) -> Any:
    tf.keras.utils.set_random_seed(3)
    model = from_config.model(config, ENCODER, total_steps=12)
    model.compile(optimizer=from_config.optimizer(model, config.train, 12), steps_per_execution=1)
    model(next(iter(data()))[0])
    model.make_slots()
    return model


def weights(model: Any) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in model.trainable_variables]


def configured(**model: Any) -> Config:
    return Config(model=dataclasses.replace(SMALL, **model))


ALL = {"dropout": 0.3, "l2": 0.01, "bottom_units": (4,), "interaction": "dot"}


@pytest.mark.parametrize(
    "config",
    [
        configured(**ALL),
        configured(relative_beta=0.3, precision="bfloat16"),
        dataclasses.replace(configured(), ensemble=config_lib.Ensemble(components=2, decorrelation=0.1)),
    ],
    ids=["all parts", "relative width and bfloat16", "ensemble"],
)
def test_a_compiled_model_trains_as_one_that_is_not(config: Config) -> None:
    models = [
        built(dataclasses.replace(config, model=dataclasses.replace(config.model, compile_dense=form)))
        for form in ("never", "always")
    ]
    assert [model.compile_dense for model in models] == [False, True]
    losses = [model.fit(data(), epochs=2, verbose=0).history["loss"] for model in models]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for one, other in zip(*map(weights, models), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_predictions_are_never_compiled() -> None:
    model = built(configured())
    model.fit(data(), verbose=0)
    graph = tf.function(lambda x: model(x), autograph=False).get_concrete_function(next(iter(data()))[0]).graph
    definitions = graph.as_graph_def()
    nodes = [*definition_nodes(definitions)]
    assert len(nodes) > 10
    assert not any(node.attr["_XlaMustCompile"].b for node in nodes)


def definition_nodes(definitions: Any) -> list[Any]:
    return [*definitions.node, *(node for function in definitions.library.function for node in function.node_def)]


def test_siblings_that_differ_in_nothing_stay_equal_and_a_resumed_run_is_that_which_was_not_stopped(
    tmp_path: Any,
) -> None:
    def siblings() -> SiblingModel:
        made = SiblingModel(lambda: built(configured(dropout=0.2)), replicas=2, differ="nothing")
        made.compile()
        made.build_replicas(data().element_spec)
        return made

    whole, begun, resumed = siblings(), siblings(), siblings()
    whole.fit(data(), epochs=2, verbose=0)
    begun.fit(data(), epochs=1, verbose=0)
    path = tf.train.Checkpoint(model=trackable(begun)).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=trackable(resumed)).read(path).assert_existing_objects_matched()
    resumed.fit(data(), epochs=1, verbose=0)
    first, *others = (weights(replica) for made in (whole, resumed) for replica in made.replicas)
    assert len(first) > 5
    for other in others:
        for one, same in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, same)


LEAST = compiled.LEAST_OUTPUTS


@pytest.mark.parametrize(
    ("form", "batch_size", "normalization", "found"),
    [
        ("auto", LEAST, "weight", (True, "")),
        ("auto", LEAST // 100, "weight", (False, "")),
        ("auto", LEAST, "batch", (False, "")),
        ("always", 1, "weight", (True, "")),
        ("always", LEAST, "batch", (False, "model.normalization is batch, not weight")),
        ("never", LEAST, "weight", (False, "")),
    ],
)
def test_the_form_follows_from_the_configuration(
    form: Any, batch_size: int, normalization: Any, found: tuple[bool, str]
) -> None:
    config = dataclasses.replace(
        configured(compile_dense=form, normalization=normalization), train=config_lib.Train(batch_size=batch_size)
    )
    assert from_config.compiles_dense(config) == found


@pytest.mark.parametrize("form", ["auto", "always"])
def test_without_a_compiler_the_line_says_so(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "missing", lambda: "no compiler")
    config = dataclasses.replace(configured(compile_dense=form), train=config_lib.Train(batch_size=LEAST))
    assert from_config.compiles_dense(config) == (False, "no compiler")
    assert not built(config).compile_dense


def test_a_gpu_is_left_alone_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU:0"] if kind == "GPU" else [])
    large = config_lib.Train(batch_size=LEAST)
    forms = [dataclasses.replace(configured(compile_dense=form), train=large) for form in ("auto", "always")]
    assert [from_config.compiles_dense(config) for config in forms] == [(False, ""), (True, "")]


class Served(tf.distribute.ParameterServerStrategy):  # type: ignore[misc]
    """A strategy of parameter servers without any."""

    num_replicas_in_sync = 1

    def __init__(self) -> None:
        pass


def test_parameter_servers_are_left_alone_and_it_is_said_where_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tf.distribute, "get_strategy", Served)
    large = config_lib.Train(batch_size=LEAST)
    forms = [dataclasses.replace(configured(compile_dense=form), train=large) for form in ("auto", "always")]
    assert [from_config.compiles_dense(config) for config in forms] == [
        (False, ""),
        (False, "the strategy is a Served"),
    ]


MIRRORED = """
import sys

sys.path.insert(0, "HERE")
import json, os
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import test_compile_dense as case
from smooth_recs.models import SiblingModel
found = []
for form in ("never", "always"):
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        siblings = SiblingModel(lambda: case.built(case.configured(compile_dense=form)), replicas=2, differ="nothing")
        siblings.compile(steps_per_execution=2)
        siblings.build_replicas(case.data().element_spec)
    siblings.fit(case.data(15).repeat(), epochs=2, steps_per_epoch=3, verbose=0)
    found.append([[np.asarray(v).tolist() for v in replica.trainable_variables] for replica in siblings.replicas])
print(json.dumps(found))
"""


def test_devices_in_step_train_as_they_do_otherwise(in_fresh_process: Callable[[str], Any]) -> None:
    plain, fast = in_fresh_process(MIRRORED.replace("HERE", str(Path(__file__).parent)))
    assert fast[0] == fast[1]
    for one, other in zip(plain[0], fast[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert plain != fast  # last bits: something is compiled
