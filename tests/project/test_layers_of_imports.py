"""Packages import downward and without circles, read from the sources: package by package, and file by file."""

from __future__ import annotations

import graphlib

from source_imports import imports, modules

# Packages and modules at the top, from the bottom up; each imports what is in its own layer or below.
LAYERS = (
    (
        "_memory",
        "_paths",
        "_files",
        "_locks",
        "_processes",
        "_status",
        "config",
        "errors",
        "extras",
        "fields",
        "interruption",
        "keras_generation",
        "schema",
        "validation",
        "version",
    ),
    ("measures", "prediction_difference", "statistics", "testing"),
    ("activations", "backends", "constraints", "layers", "losses", "metrics"),
    ("cluster", "data"),
    ("callbacks", "models", "sibling_fits"),
    ("artifacts", "log_profile", "reports", "workdir"),
    ("serving", "training"),
    ("comparison", "release"),
    ("experiments",),
    ("__main__", "bin"),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
WITHOUT_TENSORFLOW = (
    *("smooth_recs.config", "smooth_recs.schema", "smooth_recs.fields", "smooth_recs.validation"),
    *("smooth_recs.measures", "smooth_recs.prediction_difference", "smooth_recs.statistics", "smooth_recs.testing"),
    *("smooth_recs.__main__", "smooth_recs.bin", "smooth_recs.serving.loader", "smooth_recs.serving.loader_process"),
    "smooth_recs.serving.saved_signatures",
)
TENSORFLOW = {"tensorflow", "tf_keras", "keras", "tensorflow_recommenders"}

MODULES = modules()


def package(module: str) -> str:
    """The package, or the module at the top, that a module belongs to."""
    return module.split(".")[1]


def packages() -> dict[str, set[str]]:
    """What each package imports of the others, functions that import when they are called included."""
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if module != "smooth_recs":
            found = {package(other) for other in imports(path) if other in MODULES and other != "smooth_recs"}
            graph.setdefault(package(module), set()).update(found)
    return {name: others - {name} for name, others in graph.items()}


def test_every_package_has_its_layer():
    assert set(LAYER) == set(packages())


def test_no_package_imports_one_of_a_higher_layer():
    upward = {name: {other for other in others if LAYER[other] > LAYER[name]} for name, others in packages().items()}
    assert not {name: others for name, others in upward.items() if others}


def test_packages_import_each_other_in_no_circle():
    order = list(graphlib.TopologicalSorter(packages()).static_order())  # raises CycleError, which names the circle
    assert order.index("config") < order.index("training") < order.index("bin")


def test_files_import_each_other_in_no_circle():
    graph = {module: imports(path) & set(MODULES) - {module} for module, path in MODULES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
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
    assert len(without) > 30
    assert not [module for module in without if loaded_with(module) & TENSORFLOW]


def test_tensorflow_is_seen_where_it_is_loaded():
    assert "tensorflow" in loaded_with("smooth_recs.layers.embedding")


def test_tensorflow_recommenders_is_asked_for_in_one_place():
    users = {module for module, path in MODULES.items() if "tensorflow_recommenders" in imports(path)}
    assert users == {"smooth_recs.keras_generation"}


def test_keras_itself_is_imported_where_it_is_chosen_and_where_strings_are_registered():
    users = {module for module, path in MODULES.items() if imports(path) & {"keras", "tf_keras"}}
    assert users == {"smooth_recs.activations.registry", "smooth_recs.keras_generation"}
