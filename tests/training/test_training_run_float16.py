"""Runs whose tables are in float16: killed and resumed, exported, begun with others' weights, and what is refused."""

from __future__ import annotations

import dataclasses
import re
import signal
import types
from pathlib import Path
from typing import Any

import binaries_in_process
import numpy as np
import pytest
import shared_runs
import tensorflow as tf
from train_runs import PATIENCE, Run

from smooth_recs import keras_generation, training, validation
from smooth_recs._files import read_json
from smooth_recs.callbacks.checkpoints import newest_first, reader
from smooth_recs.config import Config, Data, Ensemble, Evaluation, Model, Siblings, SyntheticLog, Train
from smooth_recs.data import stream
from smooth_recs.errors import InputError
from smooth_recs.serving.loader import LoadedModel
from smooth_recs.training import loop, results, warm_start
from smooth_recs.training.batches import Batches

pytestmark = [pytest.mark.both_generations, pytest.mark.slow, pytest.mark.timeout(3 * PATIENCE)]

CONFIG = """
from smooth_recs.config import *

def get_config():
    return Config(
        data=Data(examples=6_000, eval_examples=500, shuffle_window=1_000,
                  synthetic=SyntheticLog(users=200, items=100)),
        model=Model(hidden_units=(8, 4), embedding_dim=4, embedding_precision="float16", admission=2, linear=True),
        train=Train(batch_size=10, deterministic=True, threads=1, checkpoint_seconds=0, steps_per_execution=10,
                    evaluations=0, average=50, patience=0),
        evaluation=Evaluation(slices=(), estimate=False),
    )
"""


def run_of(precision: Any = "float16", **train: Any) -> Config:
    """60 steps."""
    return Config(
        data=Data(examples=3_000, eval_examples=500, shuffle_window=500, synthetic=SyntheticLog(users=100, items=50)),
        model=Model(hidden_units=(8, 4), embedding_dim=4, embedding_precision=precision, linear=True),
        train=Train(batch_size=50, evaluations=0, **train),
        evaluation=Evaluation(slices=(), estimate=False),
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_runs.trained(tmp_path_factory, run_of())


@pytest.fixture(scope="module")
def in_float32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_runs.trained(tmp_path_factory, run_of("float32"))


def variables(workdir: Path) -> dict[str, np.ndarray]:
    """The variables in the newest checkpoint, by their names there, without what counts since the process began."""
    found = reader(newest_first(str(workdir / "checkpoints"))[0])
    others = re.compile("_CHECKPOINTABLE|save_counter|.*/loss_mean/")
    return {name: found.get_tensor(name) for name in found.get_variable_to_shape_map() if not others.match(name)}


def tables(workdir: Path, replica: int = 0) -> list[np.ndarray]:
    """The embeddings, and the linear part's weights, in the newest checkpoint."""
    found, ending = variables(workdir), "/.ATTRIBUTES/VARIABLE_VALUE"
    names = ("embeddings/embeddings", "linear/table/embeddings")
    return [found[f"model/replicas/{replica}/{name}{ending}"] for name in names]


def test_a_killed_run_ends_with_the_bits_of_one_that_was_left_alone(tmp_path: Path) -> None:
    config = tmp_path / "run.py"
    config.write_text(CONFIG)
    whole, run = Run(config, tmp_path / "whole"), Run(config, tmp_path / "run")
    ended = whole.finish()
    process = run.start()
    run.wait_until(process, lambda: run.reached > 50)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 50 < run.reached < 600
    resumed = run.finish()
    assert "resumed" in run.said
    for name in ("examples", "replicas", "pd"):
        assert resumed[name] == ended[name], name
    expected, found = variables(whole.workdir), variables(run.workdir)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    kinds = {name: value.dtype.name for name, value in expected.items() if "/embeddings/." in name}
    of_averages = [kind for name, kind in kinds.items() if name.startswith("average/")]
    of_slots = [kind for name, kind in kinds.items() if "/.OPTIMIZER_SLOT/" in name]
    assert (of_averages, of_slots) == (["float32"] * 4, ["float32"] * 4)  # two tables of two siblings
    assert sorted(kinds.values()) == ["float16"] * 4 + ["float32"] * 8
    exported = tf.train.load_checkpoint(str(run.workdir / ended["exports"][0] / "variables" / "variables"))
    assert {kind for kind in exported.get_variable_to_dtype_map().values() if kind.is_floating} == {tf.float32}


def test_siblings_that_differ_in_nothing_stay_equal(tmp_path: Path) -> None:
    run = dataclasses.replace(run_of(), siblings=Siblings(differ="nothing"))
    assert training.train_and_evaluate(run, str(tmp_path))["pd"]["relative"] == 0
    for one, other in zip(tables(tmp_path, 0), tables(tmp_path, 1), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_learns_as_in_float32(workdir: Path, in_float32: Path) -> None:
    half, whole = (read_json(path / "metrics.json")["replicas"][0] for path in (workdir, in_float32))
    assert half["log_loss"] != whole["log_loss"]
    assert half["log_loss"] == pytest.approx(whole["log_loss"], abs=1e-3)
    for one, other in zip(tables(workdir), tables(in_float32), strict=True):
        assert (one.dtype, other.dtype) == (np.float16, np.float32)
        np.testing.assert_allclose(one, other, atol=0.02)


def test_the_export_holds_the_table_as_it_is_stored_and_predicts_what_the_model_does(workdir: Path) -> None:
    loaded = results.load(str(workdir))
    rows = next(iter(loaded.source.holdout(raw=True).rebatch(500)))
    expected = loaded.siblings(rows["features"])[:, 1]
    export = workdir / "export" / "replica_1" / "1"
    found = tf.train.load_checkpoint(str(export / "variables" / "variables"))
    stored = found.get_variable_to_dtype_map()
    assert [stored[name] for name, shape in found.get_variable_to_shape_map().items() if shape[:1] > [100]] == [
        tf.float16,
        tf.float16,
    ]
    serve = tf.saved_model.load(str(export)).signatures["serving_default"]
    raw = {name: rows["raw"][name] for name in serve.structured_input_signature[1]}
    exported = serve(**raw)["probability"]
    np.testing.assert_allclose(exported, expected, rtol=0, atol=1e-6)
    assert np.std(exported) > 0.01
    with LoadedModel(str(export)) as model:  # TensorFlow Serving's own code
        answer = model.run("serving_default", {name: value.numpy() for name, value in raw.items()})
    np.testing.assert_array_equal(answer["probability"], exported)


def test_what_is_published_passes_all_checks_and_its_card_says_how_tables_are_stored(
    workdir: Path, tmp_path: Path
) -> None:
    binaries_in_process.main("export", f"--workdir={workdir}", f"--output={tmp_path}")
    assert read_json(tmp_path / "1" / "model_card.json")["model"]["tables"] == ["float16"]
    assert "trained numbers, those of tables in float16." in (tmp_path / "1" / "model_card.md").read_text("utf-8")


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_a_run_begins_with_the_weights_of_the_other_precision(
    workdir: Path, in_float32: Path, tmp_path: Path, precision: Any
) -> None:
    before = in_float32 if precision == "float16" else workdir
    run = run_of(precision, warm_start=str(before))
    source = stream.open_run(run.data, str(tmp_path))
    siblings = loop.build(Batches(run, str(tmp_path), source))
    begun = warm_start.begin(siblings, run, str(tmp_path), source.encoder)
    assert begun is not None
    assert not begun.left
    replica = siblings.replicas[0]
    here = [replica.embeddings.embeddings, replica.linear.table.embeddings]
    for variable, there in zip(here, tables(before), strict=True):
        assert tf.as_dtype(variable.dtype) == tf.as_dtype(precision)
        np.testing.assert_array_equal(tf.convert_to_tensor(variable), there.astype(precision))
        slot = replica.optimizer.optimizers[1].get_slot(keras_generation.stored(variable), "accumulator")
        assert slot.dtype == tf.float32
    metrics = training.train_and_evaluate(run, str(tmp_path / "run"))
    assert metrics["replicas"][0]["log_loss"] < read_json(before / "metrics.json")["replicas"][0]["log_loss"] + 0.01


def test_an_ensemble_patience_and_adam_go_with_it(tmp_path: Path) -> None:
    run = dataclasses.replace(
        run_of(embedding_optimizer="adam", patience=1, average=5),
        ensemble=Ensemble(components=2, tables="separate"),
    )
    run.train.evaluations, run.data.validation_fraction = 4, 0.2
    metrics = training.train_and_evaluate(run, str(tmp_path))
    assert np.isfinite(metrics["replicas"][0]["log_loss"])


def test_what_is_refused(tmp_path: Path) -> None:
    run = run_of()
    with pytest.raises(InputError, match=r"^model\.embedding_l2 must be 0 .* float16.*, got 0\.1$"):
        validation.validate(dataclasses.replace(run, model=dataclasses.replace(run.model, embedding_l2=0.1)))
    with pytest.raises(InputError, match=r"^model\.embedding_precision .* got 'bfloat16'"):
        validation.validate(run_of("bfloat16"))
    for name in ("parameter_server", "tpu"):
        role = types.SimpleNamespace(strategy_name=name, coordinates=name == "parameter_server")
        with pytest.raises(InputError, match=rf"^model\.embedding_precision must be float32 under {name}, .* float16$"):
            loop.check(run, None, role)  # type: ignore[arg-type]
