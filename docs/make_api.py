"""Makes the API reference out of the docstrings.

  python docs/make_api.py                     api.md, beside this file: every public name with its first line
  python docs/make_api.py --html=dist/docs    and the whole reference as HTML, by pdoc; it needs no network to be read

What is public stands here, and nowhere else: a test holds every name to the house's rules for docstrings.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import pathlib
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # the ranking models need it
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PAGE = pathlib.Path(__file__).resolve().parent / "api.md"
PACKAGE = pathlib.Path(importlib.import_module("smooth_recs").__file__ or "").resolve().parent

# Modules of smooth_recs by chapter, with their public names; none: those of `__all__`.
PUBLIC: dict[str, dict[str, tuple[str, ...]]] = {
    "In your own Keras model": {
        "activations": (),
        "layers": (),
        "constraints": ("RowNorm", "normalized_rows"),
        "metrics": (),
        "callbacks": (),
        "losses": (),
    },
    "Differences and accuracy, in NumPy": {
        "prediction_difference": (),
        "measures.accuracy": (
            *("log_loss", "normalized_entropy", "calibration", "auc_loss", "per_query_auc_loss"),
            *("PerQuery", "Weighting"),
        ),
        "measures.recommendations": (
            *("swap_rate", "top_k_overlap", "top_k_jaccard", "kendall_distance", "rank_biased_overlap"),
            *("statistics", "statistics_over_pairs"),
        ),
        "measures.predictive_churn": ("negative_flips", "positive_flips", "Unstable", "unstable_rows"),
        "measures.slices": ("Groups", "by_value", "by_decile", "by_position", "by_frequency", "measure"),
        "measures.gates": ("Limits", "Gate", "judge", "failure"),
        "testing": ("assert_reproducible",),
    },
    "Models": {
        "models": ("RankingModel", "EnsembleModel", "SiblingModel"),
        "models.interactions": ("Concatenation", "Dot", "Cross"),
    },
    "Configured runs": {
        "config": (
            *("Config", "Data", "SyntheticLog", "Model", "Ensemble", "Distillation"),
            *("Siblings", "Train", "Evaluation", "Distribution"),
        ),
        "validation": ("validate",),
        "errors": ("InputError", "GateNotMet"),
        "training": ("train_and_evaluate", "plan"),
        "cluster": ("Task",),
        "cluster.strategies": ("strategy",),
        "cluster.servers": ("serve",),
        "cluster.local": ("LocalCluster",),
        "cluster.watchdog": ("Watchdog",),
    },
    "Data": {
        "schema": ("Schema", "Categorical", "Numeric"),
        "data.presets": ("open_source",),
        "data.readers.csv": ("CsvReader",),
        "data.encoding": ("Encoder",),
        "data.synthetic": ("SyntheticSource",),
        "data.shuffling": ("shuffled", "SiblingBatches"),
        "data.readers.parquet": ("parquet_to_tfrecord",),
    },
    "Comparing, publishing, serving": {
        "comparison.comparison": ("compare",),
        "comparison.settings": ("Settings",),
        "release.publishing": ("publish", "Release", "Published"),
        "release.predicting": ("predict", "PredictSettings"),
        "serving.requests": ("predict", "classify", "regress", "rest_body"),
        "serving.loader": ("LoadedModel",),
        "serving.saved_model": ("PeriodicExports",),
    },
    "Experiments": {
        "experiments.sweeps": ("Sweep", "Variant", "activation", "config_of"),
        "experiments.sweeps.workflow": ("run",),
        "experiments.churn_budget": ("run", "Plan"),
        "experiments.cells": ("Folder", "Cell"),
        "experiments.landscape.landscape_runs": ("at_runs", "at_exports"),
        "experiments.drawing_settings": ("Plan",),
    },
}

HEAD = """\
# API

Every public name with the first line of its docstring. Names are as after `import smooth_recs as sr`, and lead to the
source, where the docstring has the rest: formula, arguments, shapes, errors, an example. All of it as HTML, to be read
without a network: `make docs` builds a site in dist/site, and `python docs/make_api.py --html=dist/docs` the reference
alone (`pip install 'pdoc>=16'`).
"""


def modules() -> Iterator[tuple[str, ModuleType, tuple[str, ...]]]:
    """Chapter, module and public names of each module."""
    for chapter, of_chapter in PUBLIC.items():
        for name, names in of_chapter.items():
            module = importlib.import_module(f"smooth_recs.{name}")
            yield chapter, module, names or tuple(module.__all__)


def page() -> str:
    """The text of api.md."""
    lines = [HEAD]
    last = ""
    for chapter, module, names in modules():
        if chapter != last:
            lines.append(f"## {chapter}\n")
            last = chapter
        lines += [f"### sr.{module.__name__.partition('.')[2]}\n", f"{_first_paragraph(module)}\n"]
        lines += ["| name | |", "| --- | --- |", *(_row(module, name) for name in names), ""]
    return "\n".join(lines)


def _row(module: ModuleType, name: str) -> str:
    thing = getattr(module, name)
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return f"| `{name}` | {_constant(thing)} |"
    source = pathlib.Path(inspect.getsourcefile(inspect.unwrap(thing)) or "").resolve().relative_to(PACKAGE.parent)
    text = (inspect.getdoc(thing) or "").partition("\n")[0].replace("|", "\\|")
    return f"| [`{name}`](../{source}) | {text} |"


def _constant(thing: Any) -> str:
    return f"`{thing!r}`".replace("typing.", "").replace("numpy.", "np.").replace("|", "\\|")


def _first_paragraph(module: ModuleType) -> str:
    return " ".join((module.__doc__ or "").strip().partition("\n\n")[0].split())


def write_html(folder: pathlib.Path) -> None:
    """The reference by pdoc: a page for each module, an index, and search in the browser."""
    import pdoc.doc
    import pdoc.render

    warnings.filterwarnings("ignore", "Error parsing type annotation")  # they stay as they are written
    of_name: dict[str, pdoc.doc.Module] = {}
    for _, module, names in modules():
        module.__all__ = list(names)  # what pdoc shows, if it finds it: some are loaded on first use
        vars(module).update({name: getattr(module, name) for name in names})
        of_name[module.__name__] = pdoc.doc.Module(module)
    templates = pathlib.Path(__file__).resolve().parent / "reference"
    how: dict[str, Any] = {"docformat": "google", "show_source": True, "footer_text": "smooth_recs", "search": True}
    pdoc.render.configure(**how, template_directory=templates)
    for name, documented in of_name.items():
        file = folder / f"{name.replace('.', '/')}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(pdoc.render.html_module(documented, of_name), "utf-8")
    (folder / "index.html").write_text(pdoc.render.html_index(of_name), "utf-8")
    (folder / "search.js").write_text(pdoc.render.search_index(of_name), "utf-8")
    print(f"reference  {folder / 'index.html'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--html", type=pathlib.Path, metavar="FOLDER", help="receives the HTML reference")
    folder = parser.parse_args().html
    PAGE.write_text(page(), "utf-8")
    print(f"page       {PAGE}")
    if folder:
        write_html(folder)


if __name__ == "__main__":
    main()
