"""The command line of bin/train, from real processes: one line tells what is wrong, before TensorFlow is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from source_imports import ROOT

from smooth_recs import fields
from smooth_recs.config import Config, Data, Model, SyntheticLog

COMMAND = [sys.executable, "-m", "smooth_recs.bin.train"]
CONFIG = "from smooth_recs import config\n\ndef get_config():\n    return config.Config()\n"
CUSTOM = """
from smooth_recs.config import Config, Data
from smooth_recs.schema import Numeric, Schema

def get_config():
    return Config(data=Data(source="csv", path="log.csv", schema=Schema(features=(Numeric("price"),))))
"""


def train(*arguments):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, cwd=ROOT)


def refused(*arguments) -> str:
    """The one line that says what is wrong; what is being read may be said before."""
    done = train(*arguments)
    assert done.returncode == 2
    assert all(line.startswith("reading ") for line in done.stdout.splitlines())
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("error: ").removesuffix("\n")


@pytest.fixture
def config(tmp_path):
    """`--config` with a file of the given text."""

    def write(text=CONFIG):
        (tmp_path / "run.py").write_text(text)
        return f"--config={tmp_path / 'run.py'}"

    return write


@pytest.fixture
def workdir(tmp_path):
    return f"--workdir={tmp_path / 'work'}"


def test_help_is_for_people_and_loads_no_tensorflow():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert done.stdout.startswith("Trains siblings of one model")
    for words in ("--config ", "--workdir ", "--verbosity=1 ", "hidden_units=256,128,64,32,16", "Exit status: 0 done"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "smooth_recs.validation" in loaded
    assert not loaded & {"tensorflow", "keras", "tf_keras", "pyarrow", "matplotlib"}


@pytest.mark.parametrize("flag", ["-h", "--helpshort", "--helpfull"])
def test_every_help_ends_well(flag):
    done = train(flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--workdir" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--workdir must be given: folder that receives the results"),
        (["--workdir=w"], "--config must be given: "),
        (["--workdir=w", "--config.seed=3"], "--config must be given: "),
        (["--config=nowhere.py", "--workdir=w"], "flag --config=nowhere.py: no such file"),
        (["--config=setup.py/x.py", "--workdir=w"], "flag --config=setup.py/x.py: no such file"),
        (["--config=smooth_recs", "--workdir=w"], "flag --config=smooth_recs: no such file"),
        (["--config=LICENSE", "--workdir=w"], "flag --config=LICENSE: must be a Python file (.py)"),
        (["--flagfile=nowhere"], "ERROR:: Unable to open flagfile"),
    ],
)
def test_a_flag_that_is_missing_or_leads_nowhere(arguments, words):
    assert refused(*arguments).startswith(words)


def test_an_empty_workdir_is_none(config):
    assert refused(config(), "--workdir=").startswith("--workdir must be given")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--workdri=w", "Unknown command line flag 'workdri'. Did you mean: workdir ?"),
        ("--nonsense", "Unknown command line flag 'nonsense'"),
        ("relu", "arguments must be flags (--name=value), got 'relu'"),
        ("--config.sed=3", "--config.sed: no such field; did you mean seed? fields of config: seed, data, model,"),
        (
            "--config.model.unit=3",
            "--config.model.unit: no such field; fields of model: activation, beta, relative_beta,",
        ),
        (
            "--config.model.actvation=relu",
            "--config.model.actvation: no such field; did you mean activation or interaction?",
        ),
        ("--config.modl.beta=1", "--config.modl: no such field; did you mean model? fields of config: seed"),
        ("--noconfig.train.detrministic", "--config.train.detrministic: no such field; did you mean deterministic?"),
        ("--config.seed.low=3", "--config.seed.low: seed has no fields"),
        ("--config.model=relu", "--config.model must name a field of model: activation, beta"),
        ("--config.data.synthetic=1", "--config.data.synthetic must name a field of data.synthetic: users, items"),
        ("--config.data.schema=build", "--config.data.schema cannot be a flag: a schema is set in the configuration"),
        ("--config.data.schema.label=x", "--config.data.schema.label: data.schema has no fields"),
        ("--config.=3", "--config: no such field;"),
        ("--config.seed=a", "flag --config.seed=a: must be an integer"),
        ("--config.seed=1.5", "flag --config.seed=1.5: must be an integer"),
        ("--config.seed=", "flag --config.seed=: must be an integer"),
        ("--config.seed", "Missing value for flag --config.seed"),
        ("--config.model.clip=six", "flag --config.model.clip=six: must be a number"),
        ("--config.model.beta=wide", "flag --config.model.beta=wide: must be a number, numbers with commas, or null"),
        ("--config.model.hidden_units=a,b", "flag --config.model.hidden_units=a,b: must be integers with commas"),
        ("--config.model.hidden_units=64,,32", "flag --config.model.hidden_units=64,,32: must be integers with commas"),
        ("--config.data.column_names='a", "flag --config.data.column_names='a: must be names with commas"),
        ("--config.train.deterministic=maybe", "flag --config.train.deterministic=maybe: must be true or false"),
        ("--noconfig.train.deterministic=1", "--noconfig.train.deterministic=1 does not take an argument"),
        ("--config.model.clip=nan", "model.clip must be finite, got nan"),
        ("--config.model.beta=-1", "model.beta must be 0 or from 1e-06 to 10000.0, got -1.0"),
        ("--config.model.beta=0.2,0.1", "model.beta must have one number for each of the 5 hidden layers"),
        ("--config.siblings.differ=seed", "siblings.differ must be one of order, init, both, nothing, got 'seed'"),
        ("--config.data.source=criteo", "data.path must name a file, a folder or a glob"),
    ],
)
def test_a_wrong_override_names_the_field(config, workdir, argument, words):
    assert refused(config(), workdir, argument).startswith(words)


def test_an_override_before_the_file_is_refused(config, workdir):
    assert "--config.seed=3" in refused("--config.seed=3", config(), workdir)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def get_config(:\n    pass", "line 1 is not Python: "),
        ("import nonsense_module", "the file failed in line 1: ModuleNotFoundError: No module named 'nonsense_module'"),
        ("x = 1", "the file has no function get_config()"),
        ("get_config = 1", "the file has no function get_config()"),
        ("def get_config():\n    pass", "get_config() must return a smooth_recs.config.Config, got NoneType"),
        ("def get_config():\n    return {}", "get_config() must return a smooth_recs.config.Config, got dict"),
        ("def get_config():\n    return 1 / 0", "get_config() failed in line 2: ZeroDivisionError: division by zero"),
        ("def get_config():\n    raise OSError('a\\nb')", "get_config() failed in line 2: OSError: a"),
        (
            "from smooth_recs.config import Config\ndef get_config():\n    return Config(sed=1)",
            "get_config() failed in line 3: TypeError: ",
        ),
    ],
)
def test_a_broken_configuration_file_names_the_line(config, workdir, text, words):
    flag = config(text)
    assert refused(flag, workdir).startswith(f"flag {flag}: {words}")


def test_a_wrong_value_in_the_file_is_refused(config, workdir):
    text = CONFIG.replace("Config()", "Config(train=config.Train(epochs='3'))")
    assert refused(config(text), workdir) == "train.epochs must be an integer, got '3'"


def test_nothing_is_written_where_something_is_wrong(config, workdir, tmp_path):
    refused(config(), workdir, "--config.seed=a")
    assert not (tmp_path / "work").exists()


SHOW = """
from smooth_recs.bin import _command, _flags
config = _flags.define()
_command.run(lambda: print(config.value))
"""


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            [
                "seed=7",
                "data.source=criteo",
                "data.path=a,b*.csv",
                "data.features=price,item",
                "data.delimiter=\t",
                "data.synthetic.users=10",
            ],
            Config(
                seed=7,
                data=Data(
                    source="criteo",
                    path="a,b*.csv",
                    features=("price", "item"),
                    delimiter="\t",
                    synthetic=SyntheticLog(users=10),
                ),
            ),
        ),
        (
            [
                "model.hidden_units=256,128",
                "model.bottom_units=()",
                "model.beta=0.2,0.1",
                "model.clip=0",
                "model.linear",
            ],
            Config(model=Model(hidden_units=(256, 128), bottom_units=(), beta=(0.2, 0.1), clip=0.0, linear=True)),
        ),
        (
            ["model.hidden_units=(64, 32,)", "model.bottom_units=[8]", "model.beta=(0.2, 0.1)", "model.linear=true"],
            Config(model=Model(hidden_units=(64, 32), bottom_units=(8,), beta=(0.2, 0.1), linear=True)),
        ),
        (
            ["model.hidden_units=64", "model.beta=0.3", "model.norm_value=1e-1", "model.linear=False", "seed=1_000"],
            Config(seed=1000, model=Model(hidden_units=(64,), beta=0.3, norm_value=0.1)),
        ),
        (
            ["model.beta=0.3", "model.beta=null", "model.bottom_units=", "data.column_names='a', \"b\""],
            Config(model=Model(beta=None), data=Data(column_names=("a", "b"))),
        ),
    ],
)
def test_an_override_has_the_type_of_the_field(config, tmp_path, overrides, expected):
    folder = tmp_path / "smooth_recs" / "bin"  # started as a binary, beside a stand-in for TensorFlow
    folder.mkdir(parents=True)
    (folder / "show.py").write_text(SHOW)
    (folder / "tensorflow.py").touch()
    command = [sys.executable, folder / "show.py", config(), *(f"--config.{override}" for override in overrides)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{expected}\n"


def test_every_field_takes_the_value_that_it_has(config, workdir):
    def written(value):
        return ",".join(map(str, value)) if isinstance(value, tuple) else "null" if value is None else value

    values = [(name, value) for name, _, value in fields.walk(Config()) if name != "data.schema"]
    flags = [f"--config.{name}={written(value)}" for name, value in values]
    assert refused(config(), workdir, *flags, "--config.train.epochs=0") == "train.epochs must be at least 1, got 0"


def test_a_schema_of_the_file_takes_no_part_in_overrides(config, workdir):
    said = refused(config(CUSTOM), workdir, "--config.data.header=false")
    assert said.startswith("data.column_names must name the columns")


@pytest.mark.slow
def test_a_text_among_numbers_is_refused_or_counted_and_a_missing_label_is_named(config, workdir, tmp_path):
    log, flags = tmp_path / "log.csv", (config(CUSTOM), workdir, f"--config.data.path={tmp_path}/log.csv")
    log.write_text("price,label\n" + "".join(f"{'twelve' if n % 20 == 3 else n},{n % 2}\n" for n in range(100)))
    place = f"{log}:5 (price is no number, got 'twelve'; 5 such rows)"
    said = refused(*flags)
    assert said == f"data.max_malformed: 5 of the first 100 rows are malformed, above 1.00%: {place}"
    done = train(*flags, "--config.data.max_malformed=0.1", "--dry_run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nwarning           5.0% of the rows are malformed and left out\n" in done.stdout
    log.write_text("price\n" + "1\n" * 100)
    assert refused(*flags) == f"data.path: the column 'label' is not in {log}, which has price"


def test_keras_3_trains_exports_and_is_in_the_manifest(tmp_path):
    small = Config(data=Data(source="synthetic", examples=600, eval_examples=200, shuffle_window=256))
    small.model.hidden_units, small.train.batch_size, small.evaluation.estimate = (4,), 100, False
    (tmp_path / "run.json").write_text(json.dumps(small.to_dict()))
    done = train("--keras=3", f"--config={tmp_path / 'run.json'}", f"--workdir={tmp_path / 'work'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "work" / "manifest.json").read_text())["keras"] == 3
    metrics = json.loads((tmp_path / "work" / "metrics.json").read_text())
    assert [len(metrics["replicas"]), metrics["diverged"]] == [2, []]
    for export in metrics["exports"]:
        assert (tmp_path / "work" / export / "saved_model.pb").exists()


def test_keras_3_on_another_backend_is_refused(config, workdir, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    said = refused("--keras=3", config(), workdir)
    assert said == "--keras=3 is Keras 3 on TensorFlow: unset KERAS_BACKEND, which is jax"


@pytest.mark.slow
def test_tables_that_cannot_fit_are_refused_before_rows_are_read(config, workdir, tmp_path):
    """1,000,000 rows x 16 with Adagrad's sums are 128,000,000 bytes a sibling, all others 577,548; no rows exist."""
    text = CUSTOM.replace("Numeric", "Categorical").replace('("price")', '("user", "hash", 999_998)')
    said = refused(config(text), workdir, "--config.data.path=nowhere.csv", "--memory_gib=0.125")
    assert said == (
        "model.embedding_dim must be such that tables fit: 1,000,000 rows x 16 of 2 siblings need 245 MiB with adagrad"
        ", this process may take 128 MiB: take model.embedding_dim=8, siblings.replicas=1, at most 519,775 rows, "
        "parameter servers, or say --memory_gib=1 if there is more"
    )
    assert not (tmp_path / "work").exists()
    with_enough = refused(config(text), workdir, "--config.data.path=nowhere.csv", "--memory_gib=1")
    assert "nowhere.csv" in with_enough


@pytest.mark.slow
def test_a_vocabulary_that_cannot_fit_is_refused_once_it_is_known(config, workdir, tmp_path):
    """802 rows of 128 bytes; the other weights of the model take 876, which fit."""
    text = CUSTOM.replace("Numeric", "Categorical").replace('("price")', '("price", "vocabulary")')
    log = tmp_path / "log.csv"
    log.write_text("price,label\n" + "".join(f"v{n},{n % 2}\n" for n in range(1_000)))
    small = (f"--config.data.path={log}", "--config.model.hidden_units=4", "--config.siblings.replicas=1")
    said = refused(config(text), workdir, *small, "--memory_gib=0.00005")
    assert said.startswith("model.embedding_dim must be such that tables fit: 802 rows x 16 of 1 sibling need 101 KiB")
    done = train(config(text), workdir, *small, "--memory_gib=0.0001", "--dry_run")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nmemory here       105 KiB that this process may take" in done.stdout
