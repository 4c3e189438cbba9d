"""A trained run's model as the next version for TensorFlow Serving, once it has passed all checks and gates."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from smooth_recs._files import check_output
from smooth_recs.artifacts import exports
from smooth_recs.artifacts.exports import PREDICTIONS
from smooth_recs.comparison import comparison as comparison_lib
from smooth_recs.comparison import predictions
from smooth_recs.comparison.rows import match
from smooth_recs.comparison.settings import Settings, Shard
from smooth_recs.errors import GateNotMet, InputError
from smooth_recs.measures import gates
from smooth_recs.measures.gates import Gate, Limits
from smooth_recs.serving import assets, checks, model_card, requests, saved_model
from smooth_recs.serving.checks import Passed
from smooth_recs.training import results
from smooth_recs.training.results import Trained
from smooth_recs.workdir import manifest


@dataclasses.dataclass(frozen=True)
class Release:
    """The flags of `smooth_recs.bin.export`.

    Attributes:
      workdir: of a finished run.
      output: folder of versions.
      replica: which of the run's siblings, counted from 0.
      against: an export of a sibling; None: none.
      live: the export, or the folder of versions, that is served now; None: none.
      sibling_limits: gates on the difference from `against`.
      live_limits: gates on the difference from `live`.
    """

    workdir: str
    output: str
    replica: int = 0
    against: str | None = None
    live: str | None = None
    sibling_limits: Limits = dataclasses.field(default_factory=Limits)
    live_limits: Limits = dataclasses.field(default_factory=Limits)

    def sides(self) -> dict[str, tuple[str, Limits]]:
        """What the export is compared with: path and gates, by flag; InputError for gates without it."""
        given = {"--against": (self.against, self.sibling_limits), "--live": (self.live, self.live_limits)}
        for flag, (path, limits) in given.items():
            for name in limits.given() if path is None else ():
                raise InputError(f"{flag} must be given for the gate --{_named(flag, name)}")
            with _named_as_flags(flag):
                limits.check(("label", "query_id"))  # whether the rows have them, the comparison will see
            if path is not None and exports.identify(flag, path).kind == PREDICTIONS:
                raise InputError(f"{flag} must be an export or a folder of versions, got {path}")
        return {flag: (path, limits) for flag, (path, limits) in given.items() if path is not None}


@dataclasses.dataclass(frozen=True)
class Published:
    """`path` of the export; what the checks found; `comparisons` as `smooth_recs.bin.compare` writes them, by flag."""

    path: str
    passed: Passed
    comparisons: dict[str, dict[str, Any]]

    def __str__(self) -> str:
        passed = self.passed
        lines = [
            f"checks       {passed.checks} passed, within {passed.largest_difference:.1g} of the trained model, "
            f"loads in {passed.load_seconds:.2f} s"
        ]
        lines += [f"{flag[2:]}:\n{comparison_lib.summary(comparison)}" for flag, comparison in self.comparisons.items()]
        return "\n".join([*lines, f"export       {self.path}"])


def publish(release: Release) -> Published:
    """Exports, checks, compares, and only then gives the export a version under `release.output`.

    Raises:
      InputError: a flag, the run, or a model to compare with is not what it must be.
      GateNotMet: a check or a gate failed; nothing is left under `release.output`.

    ```python
    print(publish(Release("runs/demo/smelu", "models/ranker")))
    ```
    """
    sides = release.sides()
    run = results.load(release.workdir)
    if not 0 <= release.replica < len(run.siblings.replicas):
        raise InputError(f"--replica must be below the run's {len(run.siblings.replicas)}, got {release.replica}")
    model = run.siblings.replicas[release.replica]
    with _beside(release.output) as folder:
        path = saved_model.save(model, run.source.encoder, folder)
        assets.request_writer(run.source)(path)
        passed = check(path, run, model)
        comparisons = {
            flag: _compared(flag, side, path, limits, run, release.workdir) for flag, (side, limits) in sides.items()
        }
        found = manifest.read_finished(release.workdir)
        model_card.write(path, model_card.build(found, model, release.replica, comparisons, passed))
        target = exports.following(release.output)
        os.rename(path, target)
    return Published(target, passed, comparisons)


def check(path: str, run: Trained, model: Any) -> Passed:
    """All checks of `checks.check` and the warm-up, on held-out rows; `model` is what the export was made of."""
    encoder = run.source.encoder
    rows = requests.held_out(run.source, checks.ROWS)
    tolerance = checks.TOLERANCES[run.config.model.precision]
    passed = checks.check(path, encoder.schema, rows, lambda raw: model(encoder(raw), training=False), tolerance)
    return dataclasses.replace(passed, checks=passed.checks + assets.check_warm_up(path))


def _compared(flag: str, side: str, path: str, limits: Limits, run: Trained, folder: str) -> dict[str, Any]:
    """The comparison of `side` with the new export; raises GateNotMet."""
    settings = Settings(
        a=side,
        b=path,
        output=os.path.join(folder, "release.json"),  # the folder that has what a first pass over the data found
        config=run.config,
        evaluation=run.config.evaluation,
        limits=limits,
    )
    both = [exports.identify(flag, side), exports.identify("--output", path)]
    a, b, data = predictions.gather(settings, both, Shard(), run.source)
    comparison = comparison_lib.measure(settings, a, b, match(a, b), data)
    failure = gates.failure([Gate(each["name"], each["limit"], each["value"]) for each in comparison["gates"]])
    if failure:
        raise GateNotMet(f"{flag} {both[0].path}: {_named(flag, failure)}")
    return comparison


@contextlib.contextmanager
def _named_as_flags(flag: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"--{_named(flag, str(error))}") from error


def _named(flag: str, text: str) -> str:
    """The text with limits called as their flags are."""
    return text.replace("max_pd", "max_pd_live") if flag == "--live" else text


@contextlib.contextmanager
def _beside(base: str) -> Iterator[str]:
    """A folder within `base` that serving does not see, for as long as it is needed.

    Folders that had to be made are gone again where nothing came to lie in them.
    """
    missing = []
    folder = os.path.abspath(base)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    check_output("--output", os.path.join(base, "VERSION"))
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=base) as beside:
            yield beside
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):  # it has the export
                os.rmdir(folder)
