"""Imports point downward: no module imports one of a higher layer, none imports itself in a circle."""

from __future__ import annotations

import graphlib

from source_imports import imports, modules

# The longest name that a module's name starts with decides.
LAYERS = {
    "smooth_recs._files": 0,
    "smooth_recs.activations._gradients": 0,
    "smooth_recs.activations.functions": 0,
    "smooth_recs.activations.others": 0,
    "smooth_recs.config": 0,
    "smooth_recs.schema": 0,
    "smooth_recs.errors": 0,
    "smooth_recs.fields": 0,
    "smooth_recs.keras_generation": 0,
    "smooth_recs.measures": 0,
    "smooth_recs.prediction_difference": 0,
    "smooth_recs.statistics": 0,
    "smooth_recs.testing": 0,
    "smooth_recs.validation": 0,
    "smooth_recs.version": 0,
    "smooth_recs": 1,
    "smooth_recs.activations": 1,
    "smooth_recs.cluster": 1,
    "smooth_recs.constraints": 1,
    "smooth_recs.data": 1,
    "smooth_recs.layers": 1,
    "smooth_recs.losses": 1,
    "smooth_recs.metrics": 1,
    "smooth_recs.callbacks": 2,
    "smooth_recs.models": 2,
    "smooth_recs.workdir": 2,
    "smooth_recs.comparison": 3,
    "smooth_recs.experiments": 3,
    "smooth_recs.reports": 3,
    "smooth_recs.serving": 3,
    "smooth_recs.training": 3,
    "smooth_recs.bin": 4,
}
WITHOUT_TENSORFLOW = (
    *("smooth_recs.config", "smooth_recs.schema", "smooth_recs.fields", "smooth_recs.validation"),
    *("smooth_recs.bin", "smooth_recs.serving.loader", "smooth_recs.serving.loader_process"),
    "smooth_recs.serving.saved_signatures",
)
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_recommenders"}

MODULES = modules()


def layer(module: str) -> int:
    if module == "smooth_recs":
        return LAYERS[module]
    name = module
    while name not in LAYERS and "." in name:
        name = name.rpartition(".")[0]
    assert name != "smooth_recs", f"{module} stands in no layer: name one in LAYERS"
    return LAYERS[name]


def test_no_import_points_upward():
    upward = {
        module: {other for other in imports(path) if other in MODULES and layer(other) > layer(module)}
        for module, path in MODULES.items()
    }
    assert not {module: others for module, others in upward.items() if others}


def test_every_named_layer_exists():
    assert not set(LAYERS) - set(MODULES)


def test_no_circles():
    graph = {module: imports(path) & set(MODULES) - {module} for module, path in MODULES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert order.index("smooth_recs.errors") < order.index("smooth_recs.config") < order.index("smooth_recs.bin.train")


def loaded_with(module: str) -> set[str]:
    """All that importing `module` imports, packages on the way included, the package's own first file left out."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name == "smooth_recs":
            continue
        found.add(name)
        if name in MODULES:
            waiting += [*imports(MODULES[name], at_import_only=True), name.rpartition(".")[0]]
    return found


def test_no_tensorflow_where_none_is_needed():
    without = [module for module in MODULES if module.startswith(WITHOUT_TENSORFLOW)]
    assert not [module for module in without if loaded_with(module) & TENSORFLOW]


def test_tensorflow_is_seen_where_it_is_loaded():
    assert "tensorflow" in loaded_with("smooth_recs.layers")


def test_tensorflow_recommenders_is_asked_for_in_one_place():
    users = {module for module, path in MODULES.items() if "tensorflow_recommenders" in imports(path)}
    assert users == {"smooth_recs.keras_generation"}


def test_only_the_registration_of_strings_reaches_into_keras():
    users = {module for module, path in MODULES.items() if imports(path) & {"keras", "tf_keras"}}
    assert users <= {"smooth_recs.activations.registry"}
