"""The patch in docs/keras_proposal.md applies to the installed Keras and passes its tests, which fail without it."""

from __future__ import annotations

import re
import types
import unittest
from pathlib import Path
from typing import Any

import keras
import pytest
from keras.src import activations
from source_imports import ROOT

FILES = ("activations/__init__.py", "activations/activations_test.py")
NEEDS_IT = {"scope", "custom_objects", "registered_name", "instantiated"}


def diff(name: str) -> str:
    """The part of the proposal that is about a file."""
    (text,) = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "keras_proposal.md").read_text("utf-8"), re.DOTALL)
    parts = re.split(r"^--- a/keras/src/.*\n\+\+\+ b/keras/src/(.*)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))[name]


def applied(source: str, patch: str) -> str:
    for hunk in patch.split("@@\n")[1:]:
        lines = hunk.splitlines()
        before, after = ("\n".join(line[1:] for line in lines if line[:1] in (" ", sign)) for sign in "-+")
        assert source.count(before) == 1, before
        source = source.replace(before, after)
    return source


def module(source: str) -> Any:
    """Keras' module with another text; what it exports stays registered as it is."""
    made = types.ModuleType("keras.src.activations")
    exec(compile(re.sub(r"@keras_export\([^@]*?\)\n(?=def )", "", source), "patched", "exec"), vars(made))
    return made


def failures(subject: Any) -> set[str]:
    """Names of the proposal's tests that fail on a module of activations."""
    text = "".join(f"{line[1:]}\n" for line in diff(FILES[1]).splitlines() if line.startswith("+"))
    names = {
        "activations": subject,
        "layers": keras.layers,
        "object_registration": keras.src.saving.object_registration,
        "testing": types.SimpleNamespace(TestCase=unittest.TestCase),
    }
    exec(compile(text, "proposed tests", "exec"), names)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(names["RegisteredActivationsTest"])
    assert suite.countTestCases() == 6
    result = unittest.TestResult()
    suite.run(result)
    return {test.id().rpartition(".")[2] for test, _ in [*result.failures, *result.errors]}


@pytest.fixture
def source() -> str:
    assert activations.__file__ is not None
    return Path(activations.__file__).read_text("utf-8")


def test_the_patch_applies_and_its_tests_pass(source: str) -> None:
    patched = applied(source, diff(FILES[0]))
    assert patched != source
    assert failures(module(patched)) == set()


def test_without_it_they_fail(source: str) -> None:
    """Where this fails, Keras looks registered names up by itself: the page and the private table can go."""
    failed = failures(module(source))
    assert len(failed) == len(NEEDS_IT)
    assert all(any(name.endswith(end) for end in NEEDS_IT) for name in failed)
