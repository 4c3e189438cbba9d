"""The figures by name, in the order of the paper, and the page that holds them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable, Sequence

from smooth_recs import _files
from smooth_recs.errors import InputError
from smooth_recs.experiments.drawing_settings import NAMES, Settings
from smooth_recs.experiments.figures import activation_curves, loss_curves, loss_surfaces
from smooth_recs.experiments.figures.panels import Section
from smooth_recs.reports import page
from smooth_recs.reports.formats import settings_table
from smooth_recs.workdir import manifest

_MAKE: tuple[Callable[[Settings, str], Section], ...] = (
    activation_curves.make,
    loss_curves.make_curves,
    loss_surfaces.make,
    loss_curves.make_minima,
)
FIGURES = dict(zip(NAMES, _MAKE, strict=True))


def checked(names: Sequence[str]) -> list[str]:
    """The figures `names` in the order of the paper; InputError where there are none, or one is no figure's."""
    if not names:
        raise InputError(f"--only must be of {', '.join(FIGURES)}, got nothing")
    for name in names:
        if name not in FIGURES:
            raise InputError(f"--only must be of {', '.join(FIGURES)}, got {name!r}")
    return [name for name in FIGURES if name in names]


def opened(workdir: str) -> str:
    """The folder for the figures, made where it does not exist; InputError where it cannot be used."""
    _files.check_output("--workdir", os.path.join(workdir, "figures.html"))
    return workdir


def sections(names: Sequence[str], settings: Settings, folder: str) -> list[Section]:
    """Makes the figures `names` in `folder`, and prints which files each leaves."""
    made = []
    for name in names:
        made.append(FIGURES[name](settings, folder))
        print(f"{name:<12} {' '.join(os.path.join(folder, file) for file in made[-1].files)}", flush=True)
    return made


def write_page(made: Sequence[Section], settings: Settings, folder: str) -> str:
    """Writes figures.html into `folder`; returns its path."""
    output = os.path.join(folder, "figures.html")
    given = dataclasses.asdict(settings)
    versions = manifest.versions() | {"matplotlib": importlib.metadata.version("matplotlib")}
    contents = {
        "verdict": next((section.verdict for section in made if section.verdict), ""),
        "sections": made,
        "settings": settings_table({name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}),
        "versions": settings_table(versions),
        "command": manifest.command(),
    }
    page.write("figures.html.j2", contents, output)
    return output
