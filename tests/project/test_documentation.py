"""What README and docs show is true: Python runs, and nothing is passed over.

A page's Python runs in order, in one namespace, in an empty folder. Commands are tested in test_documented_commands.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documented_code
import numpy as np
import pytest
import tensorflow as tf
import yaml
from documented_pages import PAGES, blocks, is_command, prose

import smooth_recs as sr
from smooth_recs import config, validation
from smooth_recs import fields as fields_lib

IN_BOTH_GENERATIONS = ("README.md", "docs/keras.md", "docs/beta.md")

# Blocks that are no code, by how they begin.
PROSE = {
    "--- a/keras/src/activations": "a patch; test_keras_proposal.py applies it",
    "equal cost  3 components": "what a run prints",
    "loss = (1 - w) label loss": "a formula",
    "VERSION/saved_model.pb": "a listing of a folder",
}


def given(page: str) -> dict[str, Any]:
    """The names that a page takes for granted."""
    x = np.random.default_rng(1).normal(size=(256, 4)).astype(np.float32)
    y = (x[:, :1] > 0).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    names = {
        "README.md": {"build": build, "dataset": dataset, "validation": dataset},
        "docs/measuring.md": {"live": y * 0.5 + 0.2, "new": y * 0.5 + 0.21},
    }
    return names.get(page, {})


def build() -> Any:
    model = tf.keras.Sequential(
        [tf.keras.layers.Dense(8, activation="smelu"), tf.keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile(optimizer="adagrad", loss="binary_crossentropy")
    return model


def python_pages() -> Iterator[Any]:
    for page in PAGES:
        if any(block.language == "python" for block in blocks(page)):
            yield pytest.param(page, marks=pytest.mark.both_generations if page in IN_BOTH_GENERATIONS else ())


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds, of a machine with much else to do: a page needs up to 15 of a processor
@pytest.mark.parametrize("page", list(python_pages()))
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = given(page)
    for block in blocks(page):
        if block.language == "python":
            documented_code.run(block.text, names, block.place)
    if page == "README.md":
        assert "pd" in names["siblings"].history.history
        assert names["tower"](tf.zeros([2, 4])).shape == (2, 64)


WRONG = ("1 + 1  # 3", "[0.5, 1.5]  # [0.5]", "2 / 3  # 0.6677", "2 / 3  # 0.68...", "{'a': 1}  # {'b': 1}", "1  # (?")
RIGHT = ("2 / 3  # 0.6667", "2 / 3  # 0.66..., two thirds", "[1, 2]  # [1, ...]", "1  # as is")


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_value_is_found(line: str) -> None:
    with pytest.raises(AssertionError, match="page:1"):
        documented_code.run(line, {}, "page:1")


@pytest.mark.parametrize("line", RIGHT)
def test_a_right_value_passes(line: str) -> None:
    documented_code.run(line, {}, "page:1")


def test_every_block_is_checked_or_named() -> None:
    """Python and commands run above, JSON and YAML are read here, formulas belong to test_equations_doc.py."""
    used = set()
    for page, path in PAGES.items():
        assert path.read_text("utf-8").count("```") == 2 * len(list(blocks(page))), f"{page}: a fence of another form"
        for block in blocks(page):
            begins = [start for start in PROSE if block.text.startswith(start)]
            used.update(begins)
            if block.language == "json":
                json.loads(block.text)
            elif block.language == "yaml":
                validation.validate(config.Config.from_dict(yaml.safe_load(block.text)))
            elif block.language not in ("python", "math") and not begins:
                lines = block.text.replace("\\\n", " ").splitlines()
                assert all(is_command(line) for line in lines if line and line[0] != "#"), f"{block.place} is what?"
    assert used == set(PROSE), "PROSE names what is no longer there"


def test_every_field_that_the_prose_names_exists() -> None:
    """`train.epochs` between backticks, with or without a value, is a field of a configuration."""
    fields = {name for name, _, _ in fields_lib.walk(config.Config())}
    sections = "|".join(sorted({name.partition(".")[0] for name in fields if "." in name}))
    pattern = re.compile(rf"`((?:{sections})\.(?!py\b)[a-z_.]+)(?:=[^`]*)?`")
    found = {(page, name) for page in PAGES for name in pattern.findall(prose(page))}
    assert len(found) > 20
    assert not {(page, name) for page, name in found if name not in fields and not is_something_else(name, fields)}


def is_something_else(name: str, fields: set[str]) -> bool:
    """A section of the configuration, a module of `smooth_recs.data`, or a method of a Keras model."""
    is_section = any(field.startswith(f"{name}.") for field in fields)
    owner, _, last = name.partition(".")
    is_module = (Path(sr.__file__).parent / owner / f"{last}.py").exists()
    return is_section or is_module or (owner == "model" and hasattr(tf.keras.Model, last))
