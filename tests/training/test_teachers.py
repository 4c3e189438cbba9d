"""Students of real teachers: in the pipeline and in the step, resumed, and what is refused before they train."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import shared_runs
import tensorflow as tf

from smooth_recs import config, training
from smooth_recs.data.encoding import Encoder
from smooth_recs.data.feature_statistics import Statistics
from smooth_recs.data.presets import open_source
from smooth_recs.errors import InputError
from smooth_recs.losses import TEACHER_PROBABILITY
from smooth_recs.models import from_config
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import saved_model
from smooth_recs.training import loop, results
from smooth_recs.training import teachers as teaching
from smooth_recs.training.batches import Batches

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOG = config.SyntheticLog(users=100, items=50, publishers=20, campaigns=10, contexts=5)
DATA = config.Data(examples=3000, eval_examples=500, shuffle_window=1000, synthetic=LOG)
MODEL = config.Model(hidden_units=(8, 4), embedding_dim=4, beta=0.2)
TRAIN = config.Train(batch_size=100, steps_per_execution=10, dense_learning_rate=0.1, evaluations=2)
EVALUATION = config.Evaluation(slices=(), estimate=False)


def run_of(seed: int = 1, **sections: Any) -> config.Config:
    return config.Config(
        seed=seed,
        data=sections.pop("data", DATA),
        model=sections.pop("model", MODEL),
        train=sections.pop("train", TRAIN),
        evaluation=EVALUATION,
        **sections,
    )


def student_of(*teachers: pathlib.Path, seed: int = 2, **settings: Any) -> config.Config:
    return run_of(seed, distillation=config.Distillation(teachers=tuple(map(str, teachers)), **settings))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The workdir of a finished run of two siblings."""
    return shared_runs.trained(tmp_path_factory, run_of())


@pytest.fixture
def copy(teacher: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copytree(teacher, tmp_path / "teacher")
    return tmp_path / "teacher"


def opened(run: config.Config, workdir: pathlib.Path) -> tuple[Any, teaching.Teachers]:
    source = open_source(run.data, str(workdir / "cache"))
    return source, teaching.open_teachers(run, str(workdir), source)


def refused(run: config.Config, workdir: pathlib.Path) -> str:
    """The one line that ends the run before it begins."""
    with pytest.raises(InputError) as error:
        opened(run, workdir)
    assert "\n" not in str(error.value)
    return str(error.value)


def predicted(workdir: pathlib.Path, chunks: Any) -> np.ndarray:
    """What the siblings of a run predict for encoded rows."""
    siblings = results.load(str(workdir)).siblings
    return np.concatenate([siblings(rows["features"]).numpy() for rows in chunks])


def asked(source: Any, start: int = 0) -> np.ndarray:
    chunks = [rows["features"][TEACHER_PROBABILITY].numpy() for rows in source.train(start)]
    return np.concatenate(chunks)


def test_the_pipeline_asks_all_siblings_of_a_run_and_averages(teacher: pathlib.Path, tmp_path: pathlib.Path) -> None:
    source, teachers = opened(student_of(teacher), tmp_path)
    expected = predicted(teacher, source.train())
    assert expected.shape == (3000, 2)
    assert np.abs(np.diff(expected)).max() > 0.001  # siblings that differ
    np.testing.assert_allclose(asked(teachers.source(source)), expected.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(asked(teachers.source(source, elsewhere=True)), expected.mean(axis=1), atol=1e-6)
    for one in (teacher / "export/replica_1/1", teacher / "export/replica_1"):
        _, teachers = opened(student_of(one), tmp_path)
        np.testing.assert_allclose(asked(teachers.source(source)), expected[:, 1], atol=1e-6)


def test_the_step_asks_the_same(teacher: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run = student_of(teacher, where="step")
    source, teachers = opened(run, tmp_path)
    assert teachers.source(source) is source
    distillation = loop.distillation(Batches(run, str(tmp_path), source, teachers=teachers))
    assert distillation is not None
    chunks = [distillation.with_teacher(rows["features"])[TEACHER_PROBABILITY].numpy() for rows in source.train()]
    np.testing.assert_allclose(np.concatenate(chunks), predicted(teacher, source.train()).mean(axis=1), atol=1e-6)


def test_without_teachers_nothing_changes(tmp_path: pathlib.Path) -> None:
    source, teachers = opened(run_of(), tmp_path)
    assert teachers.source(source) is source
    assert loop.distillation(Batches(run_of(), str(tmp_path), source, teachers=teachers)) is None
    teachers.save(str(tmp_path))
    assert not (tmp_path / "teachers.json").exists()


def test_students_of_both_kinds_are_equal_and_have_nothing_of_the_teacher(
    teacher: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    for name, where in (("pipeline", "pipeline"), ("step", "step")):
        training.train_and_evaluate(student_of(teacher, weight=(1.0, 0.5), where=where), str(tmp_path / name))
    source = open_source(DATA, str(tmp_path))
    found = {name: predicted(tmp_path / name, source.holdout()) for name in ("pipeline", "step")}
    np.testing.assert_allclose(found["pipeline"], found["step"], atol=1e-4)
    remembered = json.loads((tmp_path / "pipeline/teachers.json").read_text())
    assert [(entry["path"], entry["models"]) for entry in remembered] == [
        (str(teacher), ["export/replica_0/1", "export/replica_1/1"])
    ]
    workdirs = [teacher, tmp_path / "pipeline", tmp_path / "step"]
    for place in ("checkpoints/ckpt-30", "export/replica_0/1/variables/variables"):
        shapes = [sorted(map(str, tf.train.list_variables(str(workdir / place)))) for workdir in workdirs]
        assert shapes[0] == shapes[1] == shapes[2], place


def test_a_student_goes_towards_its_teacher(tmp_path: pathlib.Path) -> None:
    schema = open_source(DATA, str(tmp_path)).schema
    high = exported(schema, tmp_path / "high", scale=1.5)  # near 0.75, where hardly any label is 1
    metrics = training.train_and_evaluate(student_of(high, weight=1.0), str(tmp_path / "student"))
    for replica in metrics["replicas"]:
        assert replica["mean_prediction"] == pytest.approx(0.75, abs=0.05)
        assert replica["calibration"] > 2


class Interrupted(Exception):
    pass


def trained_up_to(run: config.Config, workdir: pathlib.Path, stop: int) -> dict[str, np.ndarray]:
    """The siblings' variables at the end, or after `stop` steps, when the run is interrupted."""
    source, teachers = opened(run, workdir)
    batches = Batches(run, str(workdir), source, teachers=teachers)
    siblings = loop.build(batches)
    teachers.save(str(workdir))

    def on_train_batch_end(self: Any, batch: int, logs: Any = None) -> None:
        self._done = self._begun + batch + 1
        if self._done == stop:
            self.save()
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Interrupted):
        patch.setattr(loop.Checkpoints, "on_train_batch_end", on_train_batch_end)
        loop.fit(batches, siblings)
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints"))
    keys = [key for key in reader.get_variable_to_shape_map() if key.startswith("model/") and "loss_mean" not in key]
    return {key: reader.get_tensor(key) for key in keys}


def test_an_interrupted_student_goes_on_as_if_nothing_had_happened(
    teacher: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    run = student_of(teacher, weight=(1.0, 0.3))
    run.train = dataclasses.replace(TRAIN, steps_per_execution=7, evaluations=0)
    for name in ("whole", "twice"):
        (tmp_path / name).mkdir()
    whole = trained_up_to(run, tmp_path / "whole", stop=30)
    half = trained_up_to(run, tmp_path / "twice", stop=21)
    twice = trained_up_to(run, tmp_path / "twice", stop=30)
    assert whole.keys() == twice.keys()
    for key, values in sorted(whole.items()):
        np.testing.assert_array_equal(twice[key], values, err_msg=key)
    assert any((half[key] != values).any() for key, values in whole.items() if key in half)


def test_a_run_keeps_the_version_that_it_began_with(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    base = copy / "export/replica_0"
    run, workdir = student_of(base), tmp_path / "student"
    workdir.mkdir()
    source, teachers = opened(run, workdir)
    before = asked(teachers.source(source))
    teachers.save(str(workdir))
    shutil.copytree(copy / "export/replica_1/1", base / "2")  # exported in the meantime
    (base / "10").mkdir()  # of no export
    np.testing.assert_array_equal(asked(opened(run, workdir)[1].source(source)), before)
    assert np.abs(asked(opened(run, tmp_path)[1].source(source)) - before).max() > 0.001  # a new run takes the newest
    shutil.rmtree(base / "1")
    stale = f"distillation.teachers: {base} is stale: its version 1, with which this run began, "
    assert refused(run, workdir) == stale + "is gone: put it back or take another workdir"
    shutil.copytree(base / "2", base / "1")
    assert refused(run, workdir) == stale + "has changed: put it back or take another workdir"


def test_a_checkpoint_that_changed_is_stale(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run = student_of(copy, where="step")
    _, teachers = opened(run, tmp_path)
    teachers.save(str(tmp_path))
    data = copy / "checkpoints/ckpt-30.data-00000-of-00001"
    data.write_bytes(bytes(1) + data.read_bytes()[1:])
    assert "its version checkpoints/ckpt-30, with which this run began, has changed" in refused(run, tmp_path)
    (copy / "encoder.json").rename(tmp_path / "encoder.json")
    assert "with which this run began, is gone" in refused(run, tmp_path)
    (tmp_path / "encoder.json").rename(copy / "encoder.json")
    data.unlink()
    (copy / "checkpoints/ckpt-30.index").unlink()
    assert "with which this run began, is gone" in refused(run, tmp_path)


@pytest.mark.parametrize("where", ["pipeline", "step"])
def test_what_is_no_teacher(copy: pathlib.Path, tmp_path: pathlib.Path, where: str) -> None:
    assert str(tmp_path / "nowhere") in refused(student_of(tmp_path / "nowhere", where=where), tmp_path)
    assert refused(student_of(copy / "checkpoints", where=where), tmp_path).startswith("distillation.teachers must be ")
    (copy / "metrics.json").unlink()
    line = f"distillation.teachers: workdir {copy} must hold a finished run, got no metrics.json there"
    assert refused(student_of(copy, where=where), tmp_path) == line


def test_what_is_missing_of_a_run(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    shutil.rmtree(copy / "export/replica_1")
    assert refused(student_of(copy), tmp_path).endswith("must still have its exports, got no export/replica_1/1")
    assert "where step, got" in refused(student_of(copy / "export/replica_0/1", where="step"), tmp_path)
    (copy / "encoder.json").unlink()
    assert refused(student_of(copy, where="step"), tmp_path).endswith("encodes its data, got no encoder.json")
    shutil.rmtree(copy / "checkpoints")
    assert refused(student_of(copy, where="step"), tmp_path).endswith("must still have its checkpoints, got none")


def test_a_damaged_export(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (copy / "export/replica_1/1/saved_model.pb").write_bytes(b"no model")
    assert "export/replica_1/1 is no whole SavedModel" in refused(student_of(copy), tmp_path)


def test_a_run_of_another_version(copy: pathlib.Path, tmp_path: pathlib.Path) -> None:
    content = json.loads((copy / "config.json").read_text())
    content["model"]["wings"] = 2
    (copy / "config.json").write_text(json.dumps(content))
    line = refused(student_of(copy, where="step"), tmp_path)
    assert line.startswith(
        f"distillation.teachers: the run in {copy} is of another version: model.wings: no such field"
    )


def exported(
    schema: Schema, base: pathlib.Path, scale: float = 1.0, statistics: Statistics | None = None
) -> pathlib.Path:
    """The export of an untrained model for these features; its prediction is multiplied."""
    encoder = Encoder(schema, statistics or Statistics())
    model = from_config.model(config.Config(model=MODEL), encoder)

    class Scaled(tf.keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def call(self, inputs: Any, training: bool = False) -> tf.Tensor:
            return scale * self.model(inputs)

    raw = {
        name: tf.fill([1] * len(s.shape), "a") if s.dtype == tf.string else tf.zeros([1] * len(s.shape), s.dtype)
        for name, s in encoder.raw_signature().items()
    }
    scaled = Scaled()
    scaled(encoder(raw))
    return pathlib.Path(saved_model.save(scaled, encoder, str(base)))


def test_inputs_that_are_no_features_are_all_named(tmp_path: pathlib.Path) -> None:
    schema = Schema(
        (
            Categorical("shop", "hash", 5),
            Categorical("user", "hash", 5),
            Categorical("topics", "hash", 5, "int64"),
            Numeric("price", "log", "zero"),
        )
    )
    line = refused(student_of(exported(schema, tmp_path / "other")), tmp_path)
    assert line.startswith("distillation.teachers: the inputs of the export ")
    assert line.endswith(
        "must be features: 'shop' is no feature of the data; 'topics' has shape [None], the feature [None, None]; "
        "'user' is string, the feature int64"
    )


def test_a_teacher_may_use_fewer_features_or_encode_them_in_another_way(tmp_path: pathlib.Path) -> None:
    schema = Schema((Categorical("user", "hash", 7, "int64"), Numeric("price", "log", "zero")))
    source, teachers = opened(student_of(exported(schema, tmp_path / "other")), tmp_path)
    assert np.ptp(asked(teachers.source(source))) > 0


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_teacher_with_a_vocabulary_of_its_own(tmp_path: pathlib.Path, elsewhere: bool) -> None:
    schema = Schema((Categorical("user", "vocabulary", dtype="int64"),))
    teacher = exported(schema, tmp_path / "other", statistics=Statistics({"user": (3, 1, 2)}))
    source, teachers = opened(student_of(teacher), tmp_path)
    probability = asked(teachers.source(source, elsewhere))
    assert len(set(probability.round(6).tolist())) == 4  # three users and all others
    others = ~np.isin(np.concatenate([rows["raw"]["user"] for rows in source.train(raw=True)]), (3, 1, 2))
    assert 0 < others.sum() < others.size
    assert np.ptp(probability[others]) < 1e-6


def test_a_graph_holds_so_many_constants_and_no_more(
    teacher: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching, "MOST_BYTES", 10_000)
    source, teachers = opened(student_of(teacher), tmp_path)
    with pytest.raises(InputError, match="GiB together can predict in the pipeline of parameter_server, got 0 MiB"):
        teachers.source(source, elsewhere=True)


def test_a_lookup_table_does_not_travel_to_other_processes(tmp_path: pathlib.Path) -> None:
    class Foreign(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = tf.lookup.KeyValueTensorInitializer(tf.constant([1], tf.int64), [0.25])
            self.table = tf.lookup.StaticHashTable(pairs, 0.75)

        @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.int64)])
        def serve(self, user: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"click": self.table.lookup(user)}

    module = Foreign()
    tf.saved_model.save(module, str(tmp_path / "foreign"), signatures={"anything": module.serve})
    source, teachers = opened(student_of(tmp_path / "foreign"), tmp_path)
    assert set(asked(teachers.source(source)).tolist()) == {0.25, 0.75}  # an input [n, 1], an output of another name
    with pytest.raises(InputError, match="an export with a lookup table cannot predict in the pipeline of param"):
        teachers.source(source, elsewhere=True)


def test_what_is_no_probability(tmp_path: pathlib.Path) -> None:
    schema = Schema((Categorical("user", "hash", 7, "int64"), Numeric("price", "log", "zero")))
    line = refused(student_of(exported(schema, tmp_path / "logits", scale=-5.0)), tmp_path)
    assert "must return probabilities, got -2" in line


def test_rows_that_are_encoded_in_another_way_need_the_pipeline(teacher: pathlib.Path, tmp_path: pathlib.Path) -> None:
    run = student_of(teacher, where="step")
    run.data = dataclasses.replace(DATA, synthetic=dataclasses.replace(LOG, users=99), features=("user", "item"))
    line = refused(run, tmp_path)
    assert "got another encoding of 'campaign', 'context', 'hour', 'price', 'publisher', 'topics', 'user': take" in line


def test_a_feature_of_the_predictions_name_is_refused(teacher: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "log.csv").write_text(f"{TEACHER_PROBABILITY},label\n" + "0.5,1\n" * 10)
    run = student_of(teacher)
    schema = Schema((Numeric(TEACHER_PROBABILITY, "identity"),))
    run.data = config.Data(source="csv", path=str(tmp_path / "log.csv"), schema=schema)
    assert refused(run, tmp_path).startswith("data.schema: with distillation.teachers no feature may have the name")
