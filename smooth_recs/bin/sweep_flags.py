"""What a sweep is on the command line: a file with a `get_sweep()`, or a configuration and what is varied in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags

from smooth_recs import fields
from smooth_recs.bin import config_flag
from smooth_recs.bin.field_parsers import FieldParser
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments.sweeps import Sweep

flags.disclaim_key_flags()

_PAIRS = 3
_of_file: list[Sweep] = []


def read(path: str) -> Config:
    """The configuration that all variants of a sweep's file have in common, or the configuration of another file."""
    if not path.endswith(".json"):
        module = config_flag.execute(path)
        if hasattr(module, "get_sweep"):
            _of_file[:] = [config_flag.call(module, "get_sweep", Sweep)]
            return _of_file[0].config
    return config_flag.load(path)


def sweep(config: Config, activations: str, grid: Sequence[str], pairs: int | None) -> Sweep:
    """The sweep of the file, with overrides in `config`; of a configuration, that of the two flags.

    Raises:
      InputError: flags that contradict the file, name what there is not, or are missing.
    """
    from smooth_recs.experiments import variants
    from smooth_recs.experiments.sweeps import crossed  # here, so that --help does not wait for TensorFlow

    if _of_file:
        if activations or grid:
            raise InputError(
                "--activations and --grid must not be given where get_sweep() of --config has the variants"
            )
        (found,) = _of_file
        return dataclasses.replace(found, config=config, pairs=pairs or found.pairs)
    if not activations and not grid:
        raise InputError("--activations or --grid must be given where the file of --config has no get_sweep()")
    texts = variants.listed(activations)
    if activations and not texts:
        raise InputError(f"--activations must be one or more, got {activations!r}")
    values = dict(_values(text) for text in grid)
    if len(values) < len(grid):
        raise InputError(f"--grid must be given once a field, got {', '.join(grid)}")
    found_variants = crossed.crossed(config, texts, values)
    return Sweep(config, found_variants, found_variants[0].name, pairs or _PAIRS)


def _values(text: str) -> tuple[str, list[Any]]:
    """`model.norm_value=1.0,1.4` as the field and its values."""
    from smooth_recs.experiments import variants

    path, equals, values = text.partition("=")
    if not equals or not variants.listed(values):
        raise InputError(f"--grid must be FIELD=VALUE,VALUE,..., got {text!r}")
    config_flag.check_field(path)
    (kind,) = (kind for name, kind, _ in fields.walk(Config()) if name == path)
    try:
        return path, [FieldParser(kind).parse(value) for value in variants.listed(values)]
    except ValueError as error:
        raise InputError(f"--grid: every value of {path} {error}, got {values!r}") from error
