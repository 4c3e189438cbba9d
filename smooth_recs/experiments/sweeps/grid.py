"""The runs of a sweep: every variant of a configuration with every seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments import cells, variants
from smooth_recs.experiments.cells import REFERENCE, Cell
from smooth_recs.experiments.sweeps.sweep import Variant
from smooth_recs.models import from_config


@dataclasses.dataclass(frozen=True)
class Grid:
    """A pair of siblings, or more, for every variant and seed.

    Args:
      config: what all have in common.
      variants: with names that differ.
      seeds: of the pairs.

    Raises:
      InputError: fields that do not exist, break a rule or are the seed; variants that need one that there is not, or
        each other in a circle.

    ```python
    grid = Grid(Config(), sweeps.activation("smelu", 0.1, 0.2), seeds=(1, 2, 3))
    Folder("runs/widths").run(grid.cells())
    ```
    """

    config: Config
    variants: Sequence[Variant]
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        for variant in self.variants:
            self.cell(variant, self.seeds[0])

    def cells(self) -> list[Cell]:
        """Seed by seed, so that what is finished is soon a table."""
        return [self.cell(variant, seed) for seed in self.seeds for variant in self.variants]

    def cell(self, variant: Variant, seed: int) -> Cell:
        """The run of a variant with a seed, and those of the same seed that it needs."""
        return self._cell(variant, seed, ())

    def _cell(self, variant: Variant, seed: int, within: tuple[str, ...]) -> Cell:
        if variant.name in within:
            raise InputError(f"variants need each other in a circle: {' needs '.join((*within, variant.name))}")
        named, needs = {other.name: other for other in self.variants}, dict[str, Cell]()
        for path, name in _references(variant.fields):
            if name not in named:
                raise InputError(
                    f"variant {variant.name}: {path} must name a variant ({', '.join(named)}), got {REFERENCE}{name}"
                )
            needs[f"{REFERENCE}{name}"] = self._cell(named[name], seed, (*within, variant.name))
        keys = {name: f"{REFERENCE}{cell.key}" for name, cell in needs.items()}
        config = self._config(variant, seed, cells.replaced(variant.fields, keys))
        return Cell(f"{variant.label}, seed {seed}", config, tuple(needs.values()))

    def _config(self, variant: Variant, seed: int, fields: Mapping[str, Any]) -> Config:
        if "seed" in fields:
            raise InputError(f"variant {variant.name}: the seed must be left to the pairs, got {fields['seed']!r}")
        try:
            config = variants.with_fields(self.config, {"seed": seed, **fields})
            from_config.layer_activations(config.model)  # raises for an unknown one
        except InputError as error:
            raise InputError(f"variant {variant.name}: {error}") from error
        return config


def _references(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The field and the name of every variant that a field names."""
    for path, value in fields.items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, str) and item.startswith(REFERENCE):
                yield path, item.removeprefix(REFERENCE)
