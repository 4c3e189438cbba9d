"""The model card beside an export: what the model is, what it was trained on, how good and how repeatable it is."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
import markupsafe
import numpy as np

from smooth_recs import _files, keras_generation
from smooth_recs.activations import registry
from smooth_recs.measures import catalogue
from smooth_recs.measures.measure import ACCURACY
from smooth_recs.reports import formats, slice_tables
from smooth_recs.serving import saved_signatures
from smooth_recs.serving.checks import Passed
from smooth_recs.workdir.finished_runs import Run, activation_label
from smooth_recs.workdir.manifest import Finished

NAME, READABLE = "model_card.json", "model_card.md"
FLAGS = {"--against": "sibling", "--live": "live"}

Card = dict[str, Any]


def build(
    run: Finished,
    model: Any,
    replica: int = 0,
    comparisons: Mapping[str, Mapping[str, Any]] | None = None,
    passed: Passed | None = None,
) -> Card:
    """The content of a card, but for the signatures, which `write` takes from the export itself.

    Args:
      run: what the files of its workdir hold; its metrics may lack `exports`.
      model: the trained model that was exported, whose activations, learned ones included, are read.
      replica: which sibling of the run it is.
      comparisons: with a sibling's export (`--against`) and the version served (`--live`), each as
        `smooth_recs.bin.compare` writes it.
      passed: what the checks found.
    """
    config, metrics = run.config, run.metrics
    # An ensemble of which one component is deployed is exported as that component.
    model = getattr(model, "deployed_model", lambda: model)()
    card = {
        "model": {
            "name": activation_label(config),
            "activations": activations(model),
            "variables": int(sum(np.prod(variable.shape) for variable in model.trainable_variables)),
            "tables": sorted({getattr(v.dtype, "name", v.dtype) for v in getattr(model, "embedding_variables", ())}),
        },
        "data": {"source": config["data"]["source"], **run.manifest["data"]},
        "training": {
            "replica": replica,
            "seeds": run.manifest["seeds"],
            "examples": metrics.get("examples"),
            "command": run.manifest.get("command"),
        },
        "metrics": {**metrics["replicas"][replica], "held_out_examples": metrics.get("eval_examples")},
        "prediction_difference": list(_differences(metrics, replica, comparisons or {})),
        "checks": None if passed is None else dataclasses.asdict(passed),
        "versions": run.manifest["versions"],
        "config": config,
    }
    if tasks := metrics.get("tasks"):
        card["tasks"] = {
            name: {**found["replicas"][replica], "pd": (found["pd"] or {}).get("relative")}
            for name, found in tasks.items()
        }
    return card


def accuracy_table(metrics: Mapping[str, Any]) -> str:
    """The measures of accuracy that tell different things, as a table of one row."""
    measures = [each for each in catalogue.MEASURES if each.family in ACCURACY and each.swept]
    values = [formats.of(each)(metrics.get(each.name)) for each in measures]
    lines = [[each.inside for each in measures], ["---:"] * len(measures), values]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(export: str, card: Card) -> None:
    """Writes `model_card.json` and, for people, `model_card.md` beside `saved_model.pb`."""

    card = {**card, "signatures": signatures(export)}
    _files.write_json(os.path.join(export, NAME), card)
    text = _environment().get_template(f"{READABLE}.j2").render({"tasks": {}, **card})
    _files.write_text(os.path.join(export, READABLE), text)


@functools.cache
def _environment() -> jinja2.Environment:
    """What cards are rendered with, which is made once."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smooth_recs.serving", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,  # so that what is escaped already, which macros and filters give, is not escaped again
        finalize=_shown,
    )
    environment.filters.update(
        percent=formats.percent,
        decimal=formats.decimal,
        change=formats.signed_decimal,
        count=formats.count,
        short=formats.short,
        code=lambda text: markupsafe.Markup(formats.code_in_markdown(text)),
    )
    environment.globals.update(accuracy_table=lambda metrics: markupsafe.Markup(accuracy_table(metrics)))
    return environment


def _shown(value: Any) -> Any:
    """What the template shows of a value: all texts may be those of users, but for what a macro or a filter made."""
    is_text = isinstance(value, str) and not isinstance(value, markupsafe.Markup)
    return markupsafe.Markup(formats.in_markdown(value)) if is_text else value


def signatures(export: str) -> dict[str, Any]:
    """Method, and dtype and shape of the inputs and outputs, for each signature; a free size is None."""
    return {
        name: {
            "method": found.method_name.rpartition("/")[2],
            **{
                side: {tensor: {"dtype": t.dtype, "shape": t.shape} for tensor, t in tensors.items()}
                for side, tensors in (("inputs", found.inputs), ("outputs", found.outputs))
            },
        }
        for name, found in saved_signatures.read(export).items()
    }


def activations(model: Any) -> list[dict[str, Any]]:
    """Name and hyperparameters of the activation, for each layer that has one, as they are in the export.

    A hyperparameter that is one number a unit is given as the least, the mean and the greatest of them.
    """
    found = []
    for layer in keras_generation.all_layers(model):
        activation = getattr(layer, "activation", None)
        name = getattr(activation, "__name__", None) or type(activation).__name__
        if callable(activation) and name != "linear":
            values = registry.hyperparameters(activation)
            shown: dict[str, Any] = {}
            for key, value in values.items():
                array = np.asarray(value)
                numbers = {"min": float(array.min()), "mean": float(array.mean()), "max": float(array.max())}
                shown[key] = numbers if array.ndim else numbers["mean"]
            found.append({"layer": layer.name, "activation": name, **shown})
    return found


def _differences(
    metrics: Mapping[str, Any], replica: int, comparisons: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """PD from each sibling of the run, then what the comparisons found."""
    difference = metrics.get("pd") or {"pairs": []}
    lists = metrics.get("recommendations") or {}
    pair = len(metrics["replicas"]) == 2  # of more replicas, interval, swap rate and slices are means over all pairs
    for a, b, relative in difference["pairs"]:
        if replica in (a, b):
            other = b if a == replica else a
            here, there = (metrics["replicas"][k]["auc_loss"] for k in (replica, other))
            yield {
                "kind": "sibling",
                "against": f"replica {other} of the same run",
                "relative": relative,
                "interval": difference["interval"] if pair else None,
                "swap_rate": lists.get("swap_rate") if pair else None,
                "auc_loss_increase": None if None in (here, there) else here - there,
                "gates": [],
                "slices": _slices(metrics) if pair else [],
            }
    for flag, comparison in comparisons.items():
        increase, lists = comparison["increase"]["auc_loss"], comparison["recommendations"]
        yield {
            "kind": FLAGS[flag],
            "against": comparison["a"]["path"],
            "relative": comparison["pd"]["relative"],
            "interval": comparison["pd"]["interval"],
            "swap_rate": lists and lists["swap_rate"],
            "auc_loss_increase": increase and increase["value"],
            "gates": comparison["gates"],
            "slices": _slices(comparison),
        }


def _slices(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The slices with the highest PD, those of few rows left out."""
    highest = slice_tables.highest(Run("", "", {}, {}, metrics))
    kept = ("rows", "pd", "interval", "weight_share", "pd_share")
    return [{"title": title, "slice": name, **{key: each.get(key) for key in kept}} for title, name, each in highest]
