"""A small synthetic log and two models of it, and comparisons of them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from comparison_log import DATA, FEW, Log, save

from smooth_recs import config
from smooth_recs.comparison.comparison import compare
from smooth_recs.comparison.settings import Settings
from smooth_recs.data.presets import open_source
from smooth_recs.errors import InputError


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    folder = tmp_path_factory.mktemp("log")
    paths = {}
    for name, slope in {"a": 0.5, "b": 0.8}.items():
        save(folder / name / "7", slope)
        paths[name] = str(folder / name)
    source = open_source(DATA, str(folder / "cache"))
    chunks = list(source.holdout(raw=True).as_numpy_iterator())
    rows = {name: np.concatenate([c[name] for c in chunks]) for name in ("label", "query_id")}
    rows |= {name: np.concatenate([c["raw"][name] for c in chunks]) for name in ("item", "price", "user")}
    for name, path in paths.items():
        serve = tf.saved_model.load(f"{path}/7").signatures["serving_default"]
        feed = {feature: tf.constant(rows[feature]) for feature in ("item", "price")}
        rows[name] = serve(**feed)["probability"].numpy().astype(np.float64)
    return Log(paths["a"], paths["b"], rows, config.Config(data=DATA))


@pytest.fixture
def run(tmp_path, log):
    """Compares, by default the two exports with few slices."""

    def start(output="out.json", **settings):
        given = {"a": log.a, "b": log.b, "config": log.config, "evaluation": FEW} | settings
        return compare(Settings(output=str(tmp_path / output), **given))

    return start


@pytest.fixture
def refused(run):
    def start(**settings):
        with pytest.raises(InputError) as error:
            run(**settings)
        assert "\n" not in str(error.value)
        return str(error.value)

    return start
