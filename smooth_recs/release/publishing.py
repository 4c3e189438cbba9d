"""A trained run's model as the next version for TensorFlow Serving, once it has passed all checks and gates."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from smooth_recs import _files, _paths, extras
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import PREDICTIONS
from smooth_recs.comparison import comparison as comparison_lib
from smooth_recs.comparison import predictions
from smooth_recs.comparison.rows import match
from smooth_recs.comparison.settings import IN_CONFIG, Settings, Shard
from smooth_recs.errors import GateNotMet, InputError
from smooth_recs.measures import gates
from smooth_recs.measures.gates import Limits
from smooth_recs.serving import assets, checks, model_card, requests, saved_model
from smooth_recs.serving.checks import Passed
from smooth_recs.training import results
from smooth_recs.training.results import Trained
from smooth_recs.workdir import manifest


@dataclasses.dataclass(frozen=True)
class Release:
    """The flags of `smooth_recs.bin.export`.

    Attributes:
      workdir: folder of a finished run.
      output: folder of versions.
      replica: which of the run's siblings, counted from 0.
      against: an export of a sibling; None: none.
      live: the export, or the folder of versions, that is served now; None: none.
      sibling_limits: gates on the difference from `against`.
      live_limits: gates on the difference from `live`.
      allow_collapsed: whether a model that has learned nothing may be published (`held_out.collapse`).
    """

    workdir: str
    output: str
    replica: int = 0
    against: str | None = None
    live: str | None = None
    sibling_limits: Limits = dataclasses.field(default_factory=Limits)
    live_limits: Limits = dataclasses.field(default_factory=Limits)
    allow_collapsed: bool = False

    def sides(self) -> dict[str, tuple[str, Limits]]:
        """What the export is compared with: path and gates, by flag; InputError for gates without it."""
        given = {"--against": (self.against, self.sibling_limits), "--live": (self.live, self.live_limits)}
        for flag, (path, limits) in given.items():
            for name in limits.given() if path is None else ():
                raise InputError(f"{flag} must be given for the gate --{_flags_of_limits(flag, name)}")
            try:
                limits.check(("label", "query_id"))  # whether the rows have them, the comparison will see
            except InputError as error:
                raise InputError(f"--{_flags_of_limits(flag, str(error))}") from error
            if path is not None and exports.identify(flag, path).kind == PREDICTIONS:
                raise InputError(f"{flag} must be an export or a folder of versions, got {path}")
        return {flag: (path, limits) for flag, (path, limits) in given.items() if path is not None}


@dataclasses.dataclass(frozen=True)
class Published:
    """A new version: `path` of the export, what the checks found, and what it was compared with.

    Attributes:
      path: the folder of the version.
      passed: what the checks found.
      comparisons: as `smooth_recs.bin.compare` writes them, by the flag `--against` or `--live`.
    """

    path: str
    passed: Passed
    comparisons: dict[str, dict[str, Any]]

    def __str__(self) -> str:
        passed = self.passed
        lines = [
            f"checks       {passed.checks} passed, within {passed.largest_difference:.1g} of the trained model, "
            f"loads in {passed.load_seconds:.2f} s"
        ]
        for flag, comparison in self.comparisons.items():
            lines.append(f"{flag[2:]}:\n{_flags_of_limits(flag, comparison_lib.summary(comparison))}")
        return "\n".join([*lines, f"export       {self.path}"])


def publish(release: Release) -> Published:
    """Exports, checks, compares, and only then gives the export a version under `release.output`.

    Args:
      release: what is exported, where to, and what it must not differ from.

    Raises:
      InputError: a flag, the run, or a model to compare with is not what it must be.
      GateNotMet: a check or a gate failed; nothing is left under `release.output`.

    ```python
    print(publish(Release("runs/demo/smelu", "models/ranker")))
    ```
    """
    extras.require("serving")  # before the export is made and checked: what serves must be warmed up
    sides = release.sides()
    found = manifest.read_finished(release.workdir)
    for each in () if release.allow_collapsed else found.metrics.get("collapsed") or ():
        if each["replica"] == release.replica:
            raise GateNotMet(
                f"replica {release.replica} of {release.workdir} {each['reason']}: publish another replica or run, or "
                "accept this one by --allow_collapsed"
            )
    run = results.load(release.workdir)
    if not 0 <= release.replica < len(run.siblings.replicas):
        raise InputError(f"--replica must be below the run's {len(run.siblings.replicas)}, got {release.replica}")
    model = run.siblings.replicas[release.replica]
    with _hidden_folder(release.output) as folder:
        path = saved_model.save(model, run.source.encoder, folder)
        assets.request_writer(run.source)(path)  # before the checks, one of which runs the warm-up
        passed = check(path, run, model)
        comparisons = {}
        for flag, (side, limits) in sides.items():
            settings = Settings(
                a=side,
                b=path,
                # Not written: it names the folder whose cache has what a first pass over the data found.
                output=os.path.join(release.workdir, "release.json"),
                config=run.config,
                evaluation=run.config.evaluation,
                limits=limits,
                named=IN_CONFIG,
                allow_collapsed=release.allow_collapsed,
            )
            both = [exports.identify(flag, side), exports.identify("--output", path)]
            # On the run's own rows: of a stream, whose files may have gone, they could not be opened again.
            a, b, data = predictions.gather(settings, both, Shard(), run.source)
            comparisons[flag] = comparison_lib.measure(settings, a, b, match(a, b), data)
            failure = gates.failure(
                comparison_lib.gates_of(comparisons[flag]), "--", comparison_lib.collapsed(comparisons[flag], settings)
            )
            if failure:
                raise GateNotMet(f"{flag} {both[0].path}: {_flags_of_limits(flag, failure)}")
        model_card.write(path, model_card.build(found, model, release.replica, comparisons, passed))
        # Taken only now: the server, or another release, may have changed the folder of versions meanwhile. A rename
        # within it shows the server the whole version at once.
        target = exports.next_version(release.output)
        _files.place(path, target, exports.SAVED_MODEL)
    return Published(target, passed, comparisons)


def check(path: str, run: Trained, model: Any) -> Passed:
    """Runs the checks of `checks.check` and the warm-up on held-out rows.

    Args:
      path: the export.
      run: whose data give the rows.
      model: the trained model that the export was made of.

    Raises:
      CheckFailed: the export is not what it must be.
    """
    encoder = run.source.encoder
    rows = requests.held_out(run.source, checks.ROWS)
    tolerance = checks.TOLERANCES[run.config.model.precision]
    passed = checks.check(path, encoder.schema, rows, lambda raw: model.task_probabilities(encoder(raw)), tolerance)
    return dataclasses.replace(passed, checks=passed.checks + assets.check_warm_up(path))


def _flags_of_limits(flag: str, text: str) -> str:
    """The text with limits named as the flags are that set them."""
    return text.replace("max_pd", "max_pd_live") if flag == "--live" else text


@contextlib.contextmanager
def _hidden_folder(base: str) -> Iterator[str]:
    """A folder within `base` that is no version for a server, removed at the end.

    Within, so that an export can be renamed into `base`, which works in one file system only. Folders that had to be
    made for it are removed too where they stay empty.
    """
    missing = []
    folder = _paths.absolute(base)
    while not _paths.is_url(folder) and not _files.isdir(folder):
        missing.append(folder)
        folder = _paths.parent(folder)
    _files.check_output("--output", os.path.join(base, "VERSION"))
    try:
        with _files.hidden_folder(base) as hidden:
            yield hidden
    finally:
        for folder in missing:
            _files.remove_empty(folder)
