"""Docstrings of what is public: they say what is given, what comes back and what is refused, and their examples run.

What is public stands in docs/make_api.py, which makes the reference out of these docstrings.
"""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import math
import re
import runpy
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import documented_code
import numpy as np
import pytest
import tensorflow as tf
from source_imports import ROOT

import smooth_recs as sr
from smooth_recs import keras_generation

KERAS_3 = not keras_generation.is_legacy()
API = runpy.run_path(str(ROOT / "docs" / "make_api.py"))
IN_BOTH_GENERATIONS = ("In your own Keras model", "Differences and accuracy, in NumPy")

# Examples that cannot run here; they are read as Python, and what they show is tested with real runs elsewhere.
NOT_HERE = {
    "training.train_and_evaluate": "trains on 100,000 rows: tests/training/test_training_run.py",
    "comparison.comparison.compare": "compares two files of the reader: tests/bin/test_compare.py",
    "release.publishing.publish": "exports a trained run: tests/release/test_publishing.py",
    "release.predicting.predict": "needs a trained export: tests/release/test_predicting.py",
    "serving.loader.LoadedModel": "needs a trained export: tests/serving/test_loader.py",
    "serving.saved_model.PeriodicExports": "trains: tests/serving/test_saved_model_periodic.py",
    "experiments.sweeps.workflow.run": "trains many pairs: tests/bin/test_sweep.py",
    "experiments.churn_budget.run": "trains many runs: tests/bin/test_churn.py",
    "experiments.cells.Folder": "trains three pairs: tests/bin/test_sweep.py",
    "experiments.landscape.landscape_runs.at_runs": "needs trained runs: tests/experiments/",
    "experiments.landscape.landscape_runs.at_exports": "needs trained exports: tests/experiments/",
    "experiments.sweeps.config_of": "names its own file",
}
# Names whose example would show nothing that their package's does not.
NO_EXAMPLE = {
    "activations.Activation": "abstract",
    "layers.clip": "what Clip does, as a function",
    "models.interactions.Concatenation": "stands in the example of RankingModel",
    "models.interactions.Dot": "called as Concatenation is",
    "models.interactions.Cross": "called as Concatenation is",
    "data.readers.parquet.parquet_to_tfrecord": "converts files of the reader",
    "training.plan": "called as train_and_evaluate is",
}
# What every Keras object takes.
OF_KERAS = {"name", "dtype", "kwargs"}
# Calls that refuse wrong arguments.
REFUSING = re.compile(r"_?(check|validate|refuse)|number|floating")


def public() -> Iterator[Any]:
    """A parameter for each name: its module and the name."""
    for chapter, of_chapter in API["PUBLIC"].items():
        both = chapter in IN_BOTH_GENERATIONS
        if KERAS_3 and not both:
            continue
        for module_name, names in of_chapter.items():
            module = importlib.import_module(f"smooth_recs.{module_name}")
            for name in names or module.__all__:
                needs_legacy = not both or name == "TPUStackedEmbedding"
                if needs_legacy and KERAS_3:
                    continue
                if inspect.isclass(getattr(module, name)) or inspect.isfunction(getattr(module, name)):
                    marks = () if needs_legacy else pytest.mark.both_generations
                    yield pytest.param(module, name, id=f"{module_name}.{name}", marks=marks)


PUBLIC = list(public())


def documentation(thing: Any) -> str:
    """Its own docstring: a class does not inherit one."""
    return inspect.cleandoc(thing.__doc__ or "")


def around(thing: Any) -> str:
    """The docstring with those of its module and package, and of what it refers to: `Args: those of X`."""
    home = sys.modules[thing.__module__]
    package = sys.modules[thing.__module__.rpartition(".")[0]]
    text = documentation(thing)
    for name in re.findall(r"(?:those of|as of|as|see) `(\w+)`", text):
        other = getattr(home, name, None)
        if other is not None and other is not thing and callable(other):
            text += f"\n{around(other)}"
    return "\n".join([text, home.__doc__ or "", package.__doc__ or ""])


def arguments(thing: Any) -> set[str]:
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return set()
    call = thing.__init__ if inspect.isclass(thing) and "__init__" in vars(thing) else thing
    return set(inspect.signature(call).parameters) - {"self", "args"} - OF_KERAS


def helped(thing: Any) -> set[str]:
    """Fields of a dataclass whose texts are those of flags."""
    fields = dataclasses.fields(thing) if dataclasses.is_dataclass(thing) else ()
    return {field.name for field in fields if "help" in field.metadata}


def refuses(thing: Any) -> bool:
    """Whether the code of a function, or of how an object of a class is made, has a `raise` or a call that checks."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(thing))))
    body: list[ast.AST] = list(tree.body)
    if inspect.isclass(thing):
        (definition,) = tree.body
        makers = ("__init__", "__post_init__")
        body = [each for each in definition.body if isinstance(each, ast.FunctionDef) and each.name in makers]
    for node in (node for part in body for node in ast.walk(part)):
        if isinstance(node, ast.Raise):
            return True
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if REFUSING.match(called):
                return True
    return False


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_a_docstring_says_what_one_needs(module: ModuleType, name: str) -> None:
    thing = getattr(module, name)
    summary, _, rest = documentation(thing).partition("\n")
    assert summary.endswith("."), "the summary is one line"
    assert not rest or rest.startswith("\n"), "the summary is one line"
    whole = around(thing)
    unsaid = {each for each in arguments(thing) - helped(thing) if not re.search(rf"\b{each}\b", whole)}
    assert not unsaid
    if refuses(thing):
        assert re.search(r"\b[Rr]aises\b|Error\b", whole), "it does not say what is refused, and how"


def is_record(thing: Any) -> bool:
    return inspect.isclass(thing) and (
        dataclasses.is_dataclass(thing) or issubclass(thing, tuple) or issubclass(thing, Exception)
    )


# Keras 3 says so of a dataset whose length it does not know.
@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_the_example_of_a_docstring_runs(
    module: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    thing, key = getattr(module, name), f"{module.__name__}.{name}".removeprefix("smooth_recs.")
    text, home = documentation(thing), sys.modules[thing.__module__]
    examples = list(documented_code.blocks(text, "python"))
    dialogues = doctest.DocTestParser().get_doctest(text, {**vars(home)}, key, None, None)
    assert is_record(thing) or key in NO_EXAMPLE or examples or dialogues.examples, "it has no example"
    for example in examples:
        if key in NOT_HERE:
            ast.parse(example)
        else:
            documented_code.run(example, given(home, example), key)
    said: list[str] = []
    doctest.DocTestRunner().run(dialogues, out=said.append)
    assert not said, "".join(said)


def given(home: ModuleType, example: str) -> dict[str, Any]:
    """The namespace of an example: its module's, the usual imports, and of the rest what it mentions."""
    names = {**vars(home), "tf": tf, "np": np, "sr": sr}
    missing = {node.id for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Name)}
    return names | {name: make() for name, make in GIVEN.items() if name in missing}


def rows() -> tuple[Any, Any]:
    x = np.random.default_rng(1).normal(size=(256, 4)).astype(np.float32)
    return x, (x[:, :1] > 0).astype(np.float32)


def dataset() -> Any:
    return tf.data.Dataset.from_tensor_slices(rows()).batch(32)


def model() -> Any:
    smooth = tf.keras.layers.Dense(8, activation=sr.layers.SmeLU(beta=0.25))
    found = tf.keras.Sequential([smooth, tf.keras.layers.Dense(1, activation="sigmoid")])
    found.compile(optimizer="adagrad", loss="binary_crossentropy")
    found(rows()[0])
    return found


def siblings() -> Any:
    found = sr.models.SiblingModel(model, replicas=2, differ="init")
    found.compile(progressive=True)
    return found


def open_rows(start: int) -> Any:
    return tf.data.Dataset.from_tensor_slices(rows()).repeat(24).skip(start).batch(100)


GIVEN = {
    "model": model,
    "build": lambda: model,
    "batch": lambda: rows()[0],
    "data": dataset,
    "dataset": dataset,
    "validation": dataset,
    "siblings": siblings,
    "open_rows": lambda: open_rows,
    "users": lambda: np.arange(256) % 100,
    "clicks": lambda: np.arange(256) % 2,
    "path": lambda: "saved",
    "serve": lambda: tf.function(lambda x: x, input_signature=[tf.TensorSpec([None])]),
    "EmbeddedFeature": lambda: sr.layers.EmbeddedFeature,
    "StackedEmbedding": lambda: sr.layers.StackedEmbedding,
    "shuffled": lambda: importlib.import_module("smooth_recs.data.shuffling").shuffled,
    "interactions": lambda: importlib.import_module("smooth_recs.models.interactions"),
    "Columns": lambda: importlib.import_module("smooth_recs.layers.embedding").Columns,
    "math": lambda: math,
}


def test_every_exception_is_needed() -> None:
    keys = {parameter.id for parameter in PUBLIC}
    assert KERAS_3 or keys >= {*NOT_HERE, *NO_EXAMPLE}


def test_the_page_of_the_reference_is_up_to_date() -> None:
    assert API["PAGE"].read_text("utf-8") == API["page"](), "python docs/make_api.py writes it again"


def test_the_html_reference_has_every_name_and_needs_no_network(tmp_path: Path) -> None:
    API["write_html"](tmp_path)
    for module, name in (parameter.values for parameter in PUBLIC):
        page = tmp_path / f"{module.__name__.replace('.', '/')}.html"
        assert f'id="{name}"' in page.read_text("utf-8"), f"{page} has no {name}"
    front = (tmp_path / "index.html").read_text("utf-8")
    assert "Keras metrics of reproducibility, ranking and calibration" in front, "what each module is for"
    for page in tmp_path.rglob("*.html"):
        assert not re.search(r'(src|rel="stylesheet" href)="(https?:)?//', page.read_text("utf-8"))
