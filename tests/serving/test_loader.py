"""The C++ loader called through ctypes: values of every kind go in and come out, and what is wrong is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.serving.loader import LoadedModel, LoaderError

TEXTS = [b"", b"a", b"\xff\xfe", b"zero \x00 inside", b"ends in zero\x00", b"x" * 22, b"y" * 23, b"z" * 10_000]


class Module(tf.Module):  # type: ignore[misc]
    """Gives back what it gets, adds up, and looks up in a table that is initialised on loading."""

    def __init__(self) -> None:
        super().__init__()
        keys, values = tf.constant(["red", "blue"]), tf.constant([7, 9], tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
        self.table = tf.lookup.StaticHashTable(initializer, default_value=-1)
        self.weight = tf.Variable(0.5)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.int64, name="number"),
            tf.TensorSpec([None, 2], tf.float32, name="pairs"),
        ]
    )
    def serve(self, text: Any, number: Any, pairs: Any) -> dict[str, Any]:
        return {
            "same": tf.identity(text),
            "twice": number * 2,
            "product": tf.ensure_shape(pairs, [None, 2]) * self.weight,
            "found": self.table.lookup(text),
            "below": number < 0,
        }

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64, name="x")])
    def any_rank(self, x: Any) -> dict[str, Any]:
        return {"half": tf.cast(x, tf.float16), "size": tf.size(x)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path, module = str(tmp_path_factory.mktemp("saved") / "1"), Module()
    tf.saved_model.save(module, path, signatures={"serving_default": module.serve, "any_rank": module.any_rank})
    return path


def inputs(texts: list[bytes], numbers: list[int]) -> dict[str, Any]:
    pairs = np.arange(2 * len(texts), dtype=np.float32).reshape(-1, 2)
    return {"text": texts, "number": np.array(numbers, np.int64), "pairs": pairs}


def test_the_signatures_are_those_that_were_saved(saved: str) -> None:
    with LoadedModel(saved) as model:
        assert set(model.signatures) == {"serving_default", "any_rank"}
        assert model.signatures["serving_default"] == {
            "inputs": {"text": ("string", (None,)), "number": ("int64", (None,)), "pairs": ("float32", (None, 2))},
            "outputs": {
                "same": ("string", (None,)),
                "twice": ("int64", (None,)),
                "product": ("float32", (None, 2)),
                "found": ("int64", (None,)),
                "below": ("bool", (None,)),
            },
            "method_name": "tensorflow/serving/predict",
        }
        assert model.signatures["any_rank"]["inputs"] == {"x": ("float64", None)}


def test_values_of_every_kind_go_in_and_come_out(saved: str) -> None:
    numbers = [2**31, 2**32 + 1, -(2**40), 0, 1, -1, 2**62 - 1, 5]
    with LoadedModel(saved) as model:
        for texts in (TEXTS, np.array(TEXTS, object)):
            outputs = model.run("serving_default", inputs(list(texts), numbers))
            assert outputs["same"].tolist() == TEXTS
        assert outputs["twice"].dtype == np.int64
        assert outputs["twice"].tolist() == [2 * number for number in numbers]
        assert outputs["below"].tolist() == [number < 0 for number in numbers]
        assert outputs["product"].tolist() == [[n, n + 0.5] for n in range(8)]
        found = model.run("serving_default", inputs([b"blue", b"red", b"green"], [1, 2, 3]))["found"]
        assert found.tolist() == [9, 7, -1]
        fixed = model.run("serving_default", inputs([b"red", b"blue!"], [1, 2]) | {"text": np.array([b"red", b"no"])})
        assert fixed["same"].tolist() == [b"red", b"no"]


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3)])
def test_any_shape(saved: str, shape: tuple[int, ...]) -> None:
    values = np.asfortranarray(np.random.default_rng(1).normal(size=shape))
    with LoadedModel(saved) as model:
        outputs = model.run("any_rank", {"x": values})
    assert outputs["half"].dtype == np.float16
    assert outputs["half"].tolist() == values.astype(np.float16).tolist()
    assert (outputs["size"].shape, int(outputs["size"])) == ((), values.size)


def test_no_rows(saved: str) -> None:
    with LoadedModel(saved) as model:
        outputs = model.run("serving_default", inputs([], []))
    assert {name: values.shape for name, values in outputs.items()} == {
        **dict.fromkeys(("same", "twice", "found", "below"), (0,)),
        "product": (0, 2),
    }


WRONG = {
    "another type": ({"number": np.zeros(1, np.int32)}, "int64"),
    "another shape": ({"pairs": np.zeros((1, 3), np.float32)}, "not compatible with expected shape"),
    "another rank": ({"pairs": np.zeros(2, np.float32)}, "not compatible with expected shape"),
    "no bytes": ({"text": ["text"]}, "text must hold bytes, got 'text'"),
    "no such type": ({"number": np.zeros(1, "M8[s]")}, "number must be of a type that TensorFlow has, got datetime64"),
    "no such input": ({"name": np.zeros(1)}, "the inputs of serving_default are number, pairs, text, got name, number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_and_does_no_harm(saved: str, case: str) -> None:
    changed, words = WRONG[case]
    with LoadedModel(saved) as model:
        with pytest.raises(LoaderError, match=re.escape(words)):
            model.run("serving_default", inputs([b"a"], [1]) | changed)
        assert model.run("serving_default", inputs([b"a"], [4]))["twice"].tolist() == [8]


def test_a_prepared_call_may_be_made_again(saved: str) -> None:
    given = inputs([b"red", b"x"], [1, 2])
    with LoadedModel(saved) as model:
        with model.prepared("serving_default", given) as call:
            answers = [call() for _ in range(3)]
        expected = model.run("serving_default", given)
    for answer in answers:
        assert {name: values.tolist() for name, values in answer.items()} == {
            name: values.tolist() for name, values in expected.items()
        }


def test_an_unknown_signature_names_those_that_are_there(saved: str) -> None:
    with LoadedModel(saved) as model, pytest.raises(LoaderError, match="are any_rank, serving_default, got logits"):
        model.run("logits", {})


def test_what_is_no_whole_export_is_refused(saved: str, tmp_path: Path) -> None:
    with pytest.raises(LoaderError, match=r"Could not find SavedModel \.pb"):
        LoadedModel(str(tmp_path))
    whole = (Path(saved) / "saved_model.pb").read_bytes()
    for damaged in (b"\xff\xff", whole[: len(whole) // 2]):
        (tmp_path / "saved_model.pb").write_bytes(damaged)
        with pytest.raises(LoaderError):
            LoadedModel(str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(whole)
    with LoadedModel(str(tmp_path)) as model, pytest.raises(LoaderError, match="uninitialized"):
        model.run("serving_default", inputs([b""], [1]))  # without its variables it loads all the same
