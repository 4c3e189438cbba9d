"""The process that runs the C++ loader, and the files between that process and this one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from source_imports import ROOT

from smooth_recs._processes import read_arrays, write_arrays
from smooth_recs.serving import loader_process, saved_signatures
from smooth_recs.serving.loader import LoaderError
from smooth_recs.serving.loader_process import Request


class Module(tf.Module):  # type: ignore[misc]
    """Gives texts back as they came, and doubles numbers."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="text"),
            tf.TensorSpec([None], tf.int64, name="number"),
        ]
    )
    def serve(self, text: Any, number: Any) -> dict[str, Any]:
        return {"same": tf.identity(text), "twice": number * 2}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float64, name="x")])
    def any_rank(self, x: Any) -> dict[str, Any]:
        return {"half": tf.cast(x, tf.float16), "size": tf.size(x)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    path, module = str(tmp_path_factory.mktemp("saved") / "1"), Module()
    tf.saved_model.save(module, path, signatures={"serving_default": module.serve, "any_rank": module.any_rank})
    return path


def test_the_process_answers_request_by_request(saved: str) -> None:
    texts = np.array([b"b\x00", b"\xff"], object)
    requests = [
        Request("serving_default", {"text": texts, "number": np.array([1, 2**40])}),
        Request("serving_default", {"text": np.array([b""], object)}),
        Request("any_rank", {"x": np.array(3.0)}),
        Request("missing", {}),
    ]
    answers = loader_process.ask(saved, requests)
    assert answers.signatures == saved_signatures.read(saved)
    assert answers.seconds > 0
    assert answers.answers[0].outputs["same"].tolist() == [b"b\x00", b"\xff"]
    assert answers.answers[0].outputs["twice"].tolist() == [2, 2**41]
    assert [answer.error is None for answer in answers.answers] == [True, False, True, False]
    assert answers.answers[1].outputs == {}
    assert float(answers.answers[2].outputs["half"]) == 3.0


def test_the_process_that_loads_exports_has_no_python_tensorflow(saved: str, tmp_path: Path) -> None:
    about = {"signatures": saved_signatures.to_json(saved_signatures.read(saved)), "requests": ["any_rank"]}
    write_arrays(str(tmp_path / "in.npz"), about, [{"x": np.zeros(2)}])
    command = [sys.executable, "-X", "importtime", "-m", "smooth_recs.serving.loader_process"]
    command += [saved, str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    about, outputs = read_arrays(str(tmp_path / "out.npz"))
    assert about["errors"] == [None]
    assert int(outputs[0]["size"]) == 2
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "smooth_recs.serving.loader" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"tensorflow", "keras", "tf_keras", "google"}


def test_an_export_that_cannot_be_loaded_and_a_process_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LoaderError, match="Could not find SavedModel"):
        loader_process.ask(str(tmp_path), [])
    monkeypatch.setattr(loader_process, "_MODULE", "smooth_recs.serving.no_such_process")
    with pytest.raises(LoaderError, match=r"ended with status 1: .*no_such_process"):
        loader_process.ask(str(tmp_path), [])
