"""A family is listed once: activations, presets and strategies stand in their tables and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from source_imports import ROOT, modules

import smooth_recs as sr
from smooth_recs import activations
from smooth_recs.activations import registry
from smooth_recs.cluster import strategies
from smooth_recs.data import presets


class Family(NamedTuple):
    """Names that stand for the members, member by member, and the module of the table."""

    members: dict[str, set[str]]
    table: str


FAMILIES = {
    "activations": Family(
        {name: {name, row.label, *([row.layer.__name__] if row.layer else [])} for name, row in registry.TABLE.items()},
        "smooth_recs.activations.registry",
    ),
    "presets": Family({name: {name} for name in presets.PRESETS}, "smooth_recs.data.presets"),
    "strategies": Family({name: {name} for name in strategies.TABLE}, "smooth_recs.cluster.strategies"),
}
# Where several members stand side by side nevertheless: (family, module): why.
ALLOWED = {
    ("presets", "smooth_recs.config"): "loads no TensorFlow; tests/test_fields.py compares it with the table",
    ("strategies", "smooth_recs.config"): "loads no TensorFlow; tests/test_fields.py compares it with the table",
    ("activations", "smooth_recs.experiments.demonstration"): "the two that the demo compares",
    ("activations", "smooth_recs.experiments.figures.activation_curves"): "the panels of the paper's figure 1",
}


def listings(path: Path, family: Family) -> Iterator[tuple[int, list[str]]]:
    """Line and members of each literal, or call, in which two members or more stand side by side."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        named = [member for item in _items(node) for member in _named(item, family)]
        if len(set(named)) > 1:
            yield node.lineno, sorted(set(named))


def _items(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return node.elts
    if isinstance(node, ast.Dict):
        return [*filter(None, node.keys), *node.values]
    return node.args if isinstance(node, ast.Call) else []


def _named(item: ast.expr, family: Family) -> list[str]:
    """The member that an item is: its name as a text, or a function, class or module of that name."""
    if isinstance(item, ast.Starred):
        item = item.value
    text = (
        item.value
        if isinstance(item, ast.Constant)
        else item.attr
        if isinstance(item, ast.Attribute)
        else item.id
        if isinstance(item, ast.Name)
        else None
    )
    return [member for member, names in family.members.items() if text in names]


@pytest.mark.parametrize("name", FAMILIES)
def test_no_member_is_listed_a_second_time(name: str) -> None:
    family = FAMILIES[name]
    found = {module: list(listings(path, family)) for module, path in modules().items() if module != family.table}
    listed = {module: places for module, places in found.items() if places}
    allowed = {module for other, module in ALLOWED if other == name}
    assert not {module: places for module, places in listed.items() if module not in allowed}
    assert allowed <= set(listed), f"no longer needed in ALLOWED: {allowed - set(listed)}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NAMES = ('smelu', 'gelu')", [(1, ["gelu", "smelu"])]),
        ("LABELS = {'ReLU': 1, 'SmeLU': 2}", [(1, ["relu", "smelu"])]),
        ("CODE = {\n 'a': activations.swish,\n 'b': layers.GELU}", [(1, ["gelu", "swish"])]),
        ("one_of(*first, mish, relu)", [(1, ["mish", "relu"])]),
        ("one = ['smelu', 'sigmoid', 'smelu']", []),
        ("x = smelu if gelu else relu", []),
    ],
)
def test_what_counts_as_a_listing(text: str, found: list[tuple[int, list[str]]], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(text)
    assert list(listings(path, FAMILIES["activations"])) == found


def test_what_is_offered_is_the_table() -> None:
    functions = {name for name in activations.__all__ if name in registry.TABLE}
    layers = {row.layer.__name__: row.layer for row in registry.TABLE.values() if row.layer}
    assert functions == set(registry.TABLE)
    assert all(getattr(activations, name) is row.function for name, row in registry.TABLE.items())
    for package in (sr.activations, sr.layers):
        assert set(layers) <= set(package.__all__) & set(dir(package))
        assert all(getattr(package, name) is layer for name, layer in layers.items())
        assert len(set(package.__all__)) == len(package.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'NoSuchThing'"):
            _ = package.NoSuchThing


def test_rows_of_activations_are_sound() -> None:
    assert len({row.label for row in registry.TABLE.values()}) == len(registry.TABLE)
    for name, row in registry.TABLE.items():
        assert not row.widths or row.layer is not None, f"{name}: model.beta needs a layer that keeps it"
        if row.has_string:
            assert registry.transition_region(row.function) == (row.region and row.region(**row.defaults))
        if row.served is registry.Served.PARABOLA:
            assert "beta" in row.defaults, f"{name}: the parabola has a beta"
        for width in row.widths:
            assert registry.with_beta(name, 0.75).get_config()[width] == 0.75
        assert registry.takes_beta(name) is bool(row.widths)


def test_the_documentation_has_a_row_for_every_preset_and_strategy() -> None:
    data, scaling = ((ROOT / "docs" / page).read_text("utf-8") for page in ("data.md", "scaling.md"))
    for name, row in presets.PRESETS.items():
        lines = re.findall(rf"^\| `{name}` \|.*$", data, re.MULTILINE)  # of presets, and of ready configurations
        (address,) = re.findall(r"https://\S+", row.about)
        assert [address in line for line in lines].count(True) == 1, name
        assert (ROOT / "configs" / f"{name}.py").is_file()
    assert set(re.findall(r"^\| `(\w+)` \|", scaling, re.MULTILINE)) >= set(strategies.STRATEGIES)
