"""The text of a configuration file: what it says is what a run gets."""

from __future__ import annotations

from pathlib import Path

import log_cases
import pytest

from smooth_recs import validation
from smooth_recs.config import Config
from smooth_recs.log_profile import configuration_file, profile_table
from smooth_recs.log_profile.column_roles import Given, roles_of
from smooth_recs.log_profile.layout import GivenLayout, layout_of
from smooth_recs.log_profile.profile import profile_of
from smooth_recs.schema import Categorical, Numeric


def written(path, label="", **layout):
    """The profile, the roles, the text and the configuration that its get_config() returns."""
    profile = profile_of(layout_of(str(path), GivenLayout(**layout)))
    roles = roles_of(profile, Given(label=label))
    text = configuration_file.text_of(profile, roles, "log.py")
    program: dict = {}
    exec(compile(text, "log.py", "exec"), program)
    config = program["get_config"]()
    assert isinstance(config, Config)
    validation.validate(config)
    return profile, roles, text, config


@pytest.mark.parametrize("kind", ["csv", "tsv", "csv.gz", "tfrecord", "parquet"])
def test_a_file_of_every_format_is_described_as_it_is(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # lines are as long as a path is
    path = log_cases.write(Path(), kind)
    profile, roles, text, config = written(path)
    data, schema = config.data, config.data.schema
    assert (data.path, data.split) == (str(path), "time")
    assert (data.source, data.delimiter) == (profile.layout.source, profile.layout.delimiter)
    assert (schema.label, schema.query_id, schema.timestamp, schema.weight) == ("clicked", "request_id", "when", None)
    assert set(schema.features) == {each.feature for each in roles.features if each.used}
    assert {Categorical("user_id", "vocabulary", dtype="int64"), Numeric("price")} == set(schema.features)
    assert 'label="clicked",  # its name and its values say so; 50.00% of the rows are 1' in text
    assert max(map(len, text.splitlines())) <= 120


def test_what_is_left_out_is_there_to_be_uncommented(tmp_path):
    rows = [each | {"liked": row % 3 // 2, "odd\nname": 1} for row, each in enumerate(log_cases.ROWS)]
    _, _, text, _ = written(log_cases.write(tmp_path, "parquet", rows))
    assert "            # liked: suspect, outcome: by its name it is known only after clicked\n" in text
    line = '            # Categorical("liked", "identity", size=2, dtype="int64"),\n'
    assert line in text
    assert "            # odd name: constant: the same value in all rows\n" in text
    program: dict = {}
    exec(compile(text.replace(line, line.replace("# ", "")), "log.py", "exec"), program)
    assert "liked" in [feature.name for feature in program["get_config"]().data.schema.features]


def test_files_without_a_header_and_bad_rows(tmp_path):
    lines = [f"{row % 2},{row * 17 % 90},x{row % 5}" for row in range(100)] + ["1,2"] * 3
    (tmp_path / "a.csv").write_text("\n".join(lines))
    _, _, text, config = written(tmp_path / "a.csv", label="column_1")
    assert (config.data.header, config.data.column_names) == (False, ("column_1", "column_2", "column_3"))
    assert config.data.max_malformed == pytest.approx(0.04)  # 3 of 103, a tenth more, rounded up
    assert "2.9% of the rows cannot be read" in text


def test_labels_that_are_no_numbers_are_counted_with_what_is_missing(tmp_path):
    labels = ["x" if row in (3, 70, 140) else "" if row == 9 else str(row % 2) for row in range(400)]
    (tmp_path / "a.csv").write_text(
        "\n".join(["clicked,x", *(f"{each},v{row % 5}" for row, each in enumerate(labels))])
    )
    _, roles, text, config = written(tmp_path / "a.csv", label="clicked")
    assert roles.label == "clicked"
    assert "max_malformed" not in text  # 4 of 400 are what a run takes by itself
    (tmp_path / "a.csv").write_text((tmp_path / "a.csv").read_text() + "\n,v1" * 2)
    _, _, text, config = written(tmp_path / "a.csv", label="clicked")
    assert "1.5% of the rows cannot be read" in text  # 3 wrong labels and 3 missing ones of 402
    assert config.data.max_malformed == pytest.approx(0.02)


def test_a_threshold_is_written_to_its_last_digit(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(["spent,x", *(f"{1_234_560 + row},v{row % 5}" for row in range(20))]))
    profile = profile_of(layout_of(str(tmp_path / "a.csv")))
    text = configuration_file.text_of(profile, roles_of(profile, Given("spent", label_threshold=1_234_567.0)), "l.py")
    assert "label_threshold=1234567.0," in text


@pytest.mark.parametrize(
    ("rows", "batch", "epochs", "window"), [(1_000, 32, 5, 80), (30_000, 64, 2, 2_000), (200_000, 256, 1, 10_000)]
)
def test_sizes_follow_the_rows(tmp_path, rows, batch, epochs, window):
    """800, 24,000 and 160,000 training rows: 25, 375 and 625 steps a pass; 500 are wanted, in 5 passes at most."""
    (tmp_path / "a.csv").write_text("x,label\n" + "".join(f"{row % 9},{row % 2}\n" for row in range(rows)))
    _, _, _, config = written(tmp_path / "a.csv")
    train = config.train
    assert (train.batch_size, train.epochs, config.data.shuffle_window) == (batch, epochs, window)


def test_the_table_says_what_becomes_of_each_column(tmp_path):
    profile, roles, _, _ = written(log_cases.write(tmp_path, "csv"))
    lines = list(profile_table.lines(profile, roles))
    assert lines[1] == "10 rows, 5 columns"
    assert lines[3:7] == [
        "label   clicked: its name and its values say so; 50.00% of the rows are 1",
        "query   request_id: 2.0 rows each on average",
        "time    when: 2024-01-01 00:00 to 2024-01-01 00:00 UTC, ISO 8601",
        "weight  none",
    ]
    assert lines[9].split() == ["request_id", "text", "0.0%", "5", "r0,", "r1,", "r2,", "r3,", "r4", "query"]
    assert lines[10].split() == ["user_id", "integer", "10.0%", "4", "7", "to", "10", "vocabulary"]
    assert max(map(len, lines[1:])) <= 100
    plain = list(profile_table.lines(profile))
    assert plain[3].split() == ["column", "type", "missing", "distinct", "values"]
