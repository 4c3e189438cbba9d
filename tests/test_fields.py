"""The vocabulary of annotations, and that no choice of a configuration is listed a second time in the code."""

from __future__ import annotations

import ast
import dataclasses
import doctest
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from source_imports import modules

from smooth_recs import fields, losses
from smooth_recs.cluster import strategies
from smooth_recs.config import Config, FileFormat, Model
from smooth_recs.data import presets
from smooth_recs.errors import InputError
from smooth_recs.models import from_config, interactions
from smooth_recs.reports import verdict
from smooth_recs.schema import Categorical, Numeric, Schema
from smooth_recs.serving import checks
from smooth_recs.training import capacity

CHOICES = {
    **{name: fields.choices(kind) for name, kind, _ in fields.walk(Config()) if fields.choices(kind)},
    **{
        f"schema.{name}": fields.choices(kind)
        for each in (Numeric, Categorical)
        for name, kind in fields.annotations_of(each).items()
        if fields.choices(kind)
    },
}
# What the code looks up by a choice: the table, and the choices that are answered before the look-up.
TABLES: dict[tuple[str, str], tuple[Any, set[str]]] = {
    ("data.source", "smooth_recs.data.presets"): ({**presets.PRESETS, **presets.FORMATS}, {"synthetic"}),
    ("distillation.loss", "smooth_recs.losses"): (losses.LOSSES, set()),
    ("distribution.strategy", "smooth_recs.cluster.strategies"): (strategies.TABLE, {"auto"}),
    ("model.interaction", "smooth_recs.models.interactions"): (interactions.KINDS, set()),
    ("model.precision", "smooth_recs.models.from_config"): (from_config.POLICIES, set()),
    ("model.precision", "smooth_recs.serving.checks"): (checks.TOLERANCES, set()),
    ("siblings.differ", "smooth_recs.reports.verdict"): (verdict.DIFFER, set()),
    ("train.dense_optimizer", "smooth_recs.models.from_config"): (from_config.DENSE_OPTIMIZERS, set()),
    ("train.embedding_optimizer", "smooth_recs.models.from_config"): (from_config.SPARSE_OPTIMIZERS, set()),
    ("train.dense_optimizer", "smooth_recs.training.capacity"): (capacity.SLOTS, set()),
    ("train.embedding_optimizer", "smooth_recs.training.capacity"): (capacity.SLOTS, set()),
}


@pytest.mark.parametrize(("field", "module"), TABLES)
def test_a_table_has_every_choice(field: str, module: str) -> None:
    table, before = TABLES[field, module]
    assert [*table] == [choice for choice in CHOICES[field] if choice not in before]


def test_formats_of_files_have_a_reader_each() -> None:
    assert tuple(presets.FORMATS) == fields.choices(FileFormat)


def listed(path: Path) -> Iterator[tuple[type[ast.AST], set[str]]]:
    """The texts of every tuple, list, set and dictionary that the file writes down, and how it writes them."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        texts = {item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)}
        if len(texts) == len(items) > 1:
            yield type(node), texts


def repeated(module: str, path: Path) -> list[str]:
    """The fields whose choices the module lists again: all of them, or all but one of several; TABLES may."""
    return [
        field
        for kind, texts in listed(path)
        for field, choices in CHOICES.items()
        if texts == set(choices) or (texts < set(choices) and len(texts) >= max(3, len(choices) - 1))
        if not (kind is ast.Dict and (field, module) in TABLES)
    ]


DECLARED = ("smooth_recs.config", "smooth_recs.schema")


@pytest.mark.parametrize("module", [module for module in modules() if module not in DECLARED])
def test_choices_are_listed_beside_their_field_only(module: str) -> None:
    assert repeated(module, modules()[module]) == []


def test_a_second_list_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "second.py"
    path.write_text("NAMES = ('concat', 'dot', 'cross')\nTABLE = {'order': 1, 'init': 2, 'both': 3}\n")
    assert repeated("smooth_recs.second", path) == ["model.interaction", "siblings.differ"]
    assert repeated("smooth_recs.reports.verdict", path) == ["model.interaction"]
    assert set(CHOICES["model.normalization"]) == {"weight", "layer", "batch", "none"}


@pytest.mark.parametrize(
    ("kind", "words", "typed"),
    [
        (bool, "true or false", "true or false"),
        (int, "an integer", "an integer"),
        (str, "a text", "a text"),
        (Annotated[float, fields.above(0)], "a number", "a number"),
        (tuple[int, ...], "a tuple of integers", "integers with commas"),
        (tuple[str, ...], "a tuple of texts", "names with commas"),
        (Schema | None, "a Schema or None", "a Schema, or null"),
        (float | tuple[float, ...], "a number or a tuple of numbers", "a number, or numbers with commas"),
        (Literal["a", "b"], "one of a, b", "one of a, b"),
        (fields.annotations_of(Model)["activation"], "a name or a dictionary", "a name or a dictionary"),
    ],
)
def test_a_type_in_words(kind: Any, words: str, typed: str) -> None:
    assert (fields.words(kind), fields.words(kind, typed=True)) == (words, typed)


@pytest.mark.parametrize(
    ("kind", "of_it", "not_of_it"),
    [
        (int, [0, -3], [True, 1.0, "1", None]),
        (float, [0, 0.5], [False, "0.5", None]),
        (bool, [True], [1, 0.0]),
        (tuple[int, ...], [(), (1, 2)], [[1], (1, 2.0), (True,), 1]),
        (float | tuple[float, ...] | None, [1, 0.5, (0.5, 1), None], ["a", ("a",), [0.5]]),
        (str | dict[str, Any], ["", {}, {"a": 1}], [1, None, ("a",)]),
        (Literal["a", "b"], ["a", "b"], ["c", "", 1, ("a",)]),
        (Schema | None, [Schema(()), None], [{}, ()]),
    ],
)
def test_what_is_of_a_type(kind: Any, of_it: list[Any], not_of_it: list[Any]) -> None:
    for annotation in (kind, Annotated[kind, fields.at_least(0)]):
        assert all(fields.is_a(value, annotation) for value in of_it)
        assert not any(fields.is_a(value, annotation) for value in not_of_it)


@pytest.mark.parametrize(
    ("rule", "words", "holds", "broken"),
    [
        (fields.at_least(0), "at least 0", [0, 7.5, None, (0, 1)], [-1, -1e-9, (1, -1)]),
        (fields.at_least(0, below=1), "at least 0 and below 1", [0, 0.99], [1, -0.1]),
        (fields.above(0), "above 0", [1e-9, (1, 2)], [0, 0.0, (1, 0)]),
        (fields.above(0, below=1), "above 0 and below 1", [0.5], [0, 1]),
        (fields.between(0, 1), "from 0 to 1", [0, 0.5, 1], [-0.1, 1.1]),
        (fields.widths, "widths of at least 1", [(), (1, 8)], [(8, 0)]),
        (fields.one_or_more_widths, "one or more widths of at least 1", [(1,)], [(), (0,)]),
        (fields.names_that_differ, "names that differ", [(), ("a", "b")], [("a", "a"), ("a", "")]),
        (fields.one_character, "one character", [",", "\t"], ["", ", "]),
        (fields.once_or_twice, "one or two numbers of at least 0", [0, 2.0, (1.0,), (0, 5)], [-1, (), (1, 2, 3)]),
        (fields.share_once_or_twice, "from 0 to 1, once or twice", [0, 1.0, (0, 1)], [1.5, (0, 1.5), (), (0, 0, 0)]),
    ],
)
def test_rules(rule: fields.Rule, words: str, holds: list[Any], broken: list[Any]) -> None:
    assert rule.words == words
    assert all(rule.holds(value) for value in holds)
    assert not any(rule.holds(value) for value in broken)


@dataclasses.dataclass
class Inner:
    size: Annotated[int, fields.at_least(1)] = 1


@dataclasses.dataclass
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    name: str = "a"


def test_a_section_may_lie_in_a_section() -> None:
    size, name = fields.walk(Outer())
    assert (size[0], size[2], name) == ("inner.size", 1, ("name", str, "a"))
    assert [rule.words for rule in fields.rules(size[1])] == ["at least 1"]
    with pytest.raises(InputError, match=r"^inner must be a test_fields\.Inner, got 3$"):
        list(fields.walk(Outer(inner=3)))  # type: ignore[arg-type]


def test_examples_say_what_happens() -> None:
    assert doctest.testmod(fields).failed == 0
