"""The presets, on files written here in their layouts, and on real ones where they lie."""

from __future__ import annotations

import csv
import gzip
import shutil

import numpy as np
import pytest

from smooth_recs import config
from smooth_recs.data import public_logs
from smooth_recs.data.presets import open_source
from smooth_recs.data.raw_rows import chunks
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Schema

RATINGS = [(196, 242, 3, 300), (186, 302, 4, 100), (22, 302, 5, 500), (196, 302, 1, 200), (186, 242, 4, 400)]
USERS = [(196, 49, "M", "writer", "55105"), (186, 39, "F", "executive", "00000"), (22, 25, "M", "writer", "T8H1N")]
YEAR_1996_GENRES = {b"Comedy", b"Film-Noir"}


def write_original(folder):
    """u.data, u.user and u.item as GroupLens published them: u.item in Latin-1, genres as flags."""
    (folder / "u.data").write_text("".join("\t".join(map(str, row)) + "\n" for row in RATINGS))
    (folder / "u.user").write_text("".join("|".join(map(str, row)) + "\n" for row in USERS))
    flags = ["0|0|0|0|0|1|0|0|0|0|1|0|0|0|0|0|0|0|0", "1" + "|0" * 18]
    (folder / "u.item").write_bytes(
        f"242|Misérables, Les (1996)|24-Jan-1996||http://x|{flags[0]}\n302|unknown||||{flags[1]}\n".encode("latin-1")
    )


def write_with_headers(folder):
    ratings = "".join("\t".join(map(str, row)) + "\n" for row in RATINGS)
    (folder / "ml.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + ratings)
    users = "".join("\t".join(map(str, row)) + "\n" for row in USERS)
    header = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    (folder / "ml.user").write_text(header + users)
    (folder / "ml.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "242\tMisérables, Les\t1996\tComedy Film-Noir\n302\tunknown\tunkonwn\tunknown\n"
    )


def open_movielens(path, tmp_path, **settings):
    settings = {"split": "time", "train_fraction": 0.6} | settings
    return open_source(config.Data(source="movielens", path=str(path), **settings), str(tmp_path / "cache"))


@pytest.mark.parametrize("write", [write_original, write_with_headers])
@pytest.mark.parametrize("named", ["folder", "file"])
def test_both_layouts_of_movielens_are_the_same_rows(tmp_path, gather, write, named):
    write(tmp_path)
    file = tmp_path / ("u.data" if write is write_original else "ml.inter")
    source = open_movielens(tmp_path if named == "folder" else file, tmp_path)
    training, statistics = gather(source.train()), source.encoder.statistics
    # by time: (186, 302, 4), (196, 302, 1), (196, 242, 3) | (186, 242, 4), (22, 302, 5)
    assert statistics.vocabularies["user_id"] == (196, 186)
    assert training["label"].tolist() == [1, 0, 0]
    assert gather(source.holdout())["label"].tolist() == [1, 1]
    assert training["features"]["user_id"].tolist() == [1, 0, 0]
    assert gather(source.holdout())["features"]["user_id"].tolist() == [1, 2]
    assert statistics.vocabularies["occupation"] == (b"writer", b"executive")
    assert statistics.vocabularies["zip_region"] == (b"5", b"0")
    assert set(statistics.vocabularies["genres"]) == {b"unknown", *YEAR_1996_GENRES}
    assert statistics.moments["release_year"] == (1996.0, 1.0)
    assert statistics.moments["age"] == pytest.approx((137 / 3, np.std([39, 49, 49])))
    assert [len(set(row[row >= 0])) for row in training["features"]["genres"]] == [1, 1, 2]


def test_without_its_other_files_movielens_is_ids_only(tmp_path):
    write_original(tmp_path)
    (tmp_path / "u.item").unlink()
    assert [f.name for f in open_movielens(tmp_path, tmp_path).schema.features][2:] == [
        "age",
        "gender",
        "occupation",
        "zip_region",
    ]
    (tmp_path / "u.user").unlink()
    assert [f.name for f in open_movielens(tmp_path, tmp_path).schema.features] == ["user_id", "item_id"]


def test_the_folds_of_movielens_can_be_named(tmp_path, gather):
    write_original(tmp_path)
    shutil.copy(tmp_path / "u.data", tmp_path / "u1.base")
    (tmp_path / "u1.test").write_text("22\t242\t5\t1\n")
    source = open_movielens(tmp_path / "u1.base", tmp_path, eval_path=str(tmp_path / "u1.test"), split="tail")
    assert (source.train_rows, source.eval_rows) == (5, 1)


def test_an_explicit_schema_wins(tmp_path):
    write_original(tmp_path)
    schema = Schema((Categorical("movie_title", "hash", size=9),), label="rating", label_threshold=5.0)
    source = open_movielens(tmp_path, tmp_path, schema=schema, split="tail")
    assert source.schema == schema


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "u.user").write_text("1|2|3\n"), r"must have 5 fields, got 3 in .*u\.user:1"),
        (lambda folder: (folder / "u.user").write_text(""), r"a side table must have rows, got none in .*u\.user"),
        (lambda folder: (folder / "u.data").unlink(), r"the folder has no file \*\.inter or u\.data"),
    ],
)
def test_damaged_movielens_is_refused(tmp_path, damage, message):
    write_original(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        open_movielens(tmp_path, tmp_path)


def write_criteo(path, rows, malformed=()):
    random = np.random.default_rng(3)
    lines = []
    for _ in range(rows):
        integers = ["" if random.random() < 0.3 else str(random.integers(-2, 10_000)) for _ in range(13)]
        categories = ["" if random.random() < 0.1 else f"{random.integers(2**32):08x}" for _ in range(26)]
        lines.append("\t".join([str(random.integers(2)), *integers, *categories]))
    for line in malformed:
        lines[line - 1] = "2" + lines[line - 1][1:]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def test_criteo(tmp_path, gather):
    write_criteo(tmp_path / "day_0.gz", 300, malformed=(17,))
    (tmp_path / "readme.txt").write_text("not a log")
    source = open_source(config.Data(source="criteo", path=str(tmp_path)), str(tmp_path / "cache"))
    assert (source.train_rows, source.eval_rows) == (239, 60)
    assert source.summary["first_malformed"] == [f"{tmp_path}/day_0.gz:17 (label is neither 0 nor 1, got '2')"]
    rows = gather(source.train())
    assert list(rows["features"]) == [f"I{n}" for n in range(1, 14)] + [f"C{n}" for n in range(1, 27)]
    first = gzip.decompress((tmp_path / "day_0.gz").read_bytes()).decode().split("\n")[0].split("\t")
    assert rows["label"][0] == int(first[0])
    for number, text in enumerate(first[1:14], start=1):
        mean, std = source.encoder.statistics.moments[f"I{number}"]
        value = 0 if text == "" else (np.sign(int(text)) * np.log1p(abs(int(text))) - mean) / std
        assert rows["features"][f"I{number}"][0] == pytest.approx([value, float(text == "")], abs=1e-5)
    sizes = {f.name: source.encoder.table_rows(f) for f in source.schema.categorical}
    assert (sizes["C9"], sizes["C3"]) == (26, 100_002)
    for name, size in sizes.items():
        missing = np.mean(rows["features"][name] == size - 1)
        assert 0.02 < missing < 0.2


def test_criteo_takes_the_training_files_of_a_folder(tmp_path):
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text("x")
    assert public_logs.criteo(config.Data(path=str(tmp_path))).training.files == (f"{tmp_path}/train.txt",)


def write_open_bandit(folder):
    names = ["", "timestamp", "item_id", "position", "click", "propensity_score"]
    names += [f"user_feature_{n}" for n in range(4)] + ["user-item_affinity_0", "user-item_affinity_1"]
    rows = [
        [0, "2019-11-24 00:00:03.25+00:00", 0, 1, 0, 0.5, "a", "b", "c", "d", 0.0, 1.0],
        [1, "2019-11-24 00:00:01+00:00", 1, 3, 1, 0.5, "a", "e", "c", "f", 3.0, 0.0],
        [2, "2019-11-24 00:00:02+00:00", 7, 2, 0, 0.5, "g", "b", "c", "d", 0.0, 0.0],
    ]
    (folder / "men.csv").write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]) + "\n")
    header = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n"
    (folder / "item_context.csv").write_text(header + "0,0,-0.5,p,q,r\n1,1,1.5,p,s,r\n")


def test_open_bandit_is_joined_with_its_items(tmp_path, gather):
    write_open_bandit(tmp_path)
    data = config.Data(source="open_bandit", path=str(tmp_path), split="time", train_fraction=0.7)
    source = open_source(data, str(tmp_path / "cache"))
    rows, held_out = gather(source.train()), gather(source.holdout())
    assert rows["label"].tolist() == [1, 0]  # by time: rows 1, 2 | 0
    assert rows["features"]["position"].tolist() == [3, 2]
    assert source.encoder.statistics.moments["item_feature_0"] == (1.5, 1.0)  # item 7 has no features
    assert held_out["features"]["item_feature_0"].tolist() == [[-2.0]]
    assert rows["features"]["item_feature_2"].tolist() == [0, 2]
    np.testing.assert_allclose(rows["features"]["user_item_affinity_0"], [[np.log(4)], [0]], rtol=1e-6)
    assert "query_id" not in rows


def test_a_folder_without_a_log_is_refused(tmp_path):
    write_open_bandit(tmp_path)
    (tmp_path / "men.csv").unlink()
    with pytest.raises(InputError, match=r"data\.path must name a log beside item_context\.csv"):
        open_source(config.Data(source="open_bandit", path=str(tmp_path)), str(tmp_path / "cache"))


USER = ["full_active", 0, -124, 1, 1, "(150,250]", 1, "[10,100)", 1, "[1,5)", 1, "366-730", *range(18)]
USER_COLUMNS = [
    *("user_active_degree", "is_lowactive_period", "is_live_streamer", "is_video_author", "follow_user_num"),
    *("follow_user_num_range", "fans_user_num", "fans_user_num_range", "friend_user_num", "friend_user_num_range"),
    *("register_days", "register_days_range", *(f"onehot_feat{n}" for n in range(18))),
]
VIDEO_COLUMNS = ["author_id", "video_type", "upload_dt", "upload_type", "music_id", "music_type", "tag"]
VIDEOS = {5: ["a", "NORMAL", "2022-04-11", "Web", 11, 9.0, "39,12"], 6: ["b", "AD", "2022-04-10", "Web", 0, "", ""]}
# user, video, time, click, milliseconds; the log of the second file lies before that of the first.
EXPOSURES = [(1, 5, 300, 1, 999), (2, 6, 400, 0, 0), (1, 6, 500, 0, 999)], [(1, 5, 100, 1, 999), (3, 5, 200, 0, 99)]
OUTCOMES = ["is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view", "play_time_ms"]


def write_table(path, header, rows):
    with gzip.open(path, "wt", newline="") if path.name.endswith(".gz") else open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def write_kuairand(folder):
    """The authors' files: logs, and the features of users and videos, of which user 3 has none."""
    header = [
        "user_id",
        "video_id",
        "date",
        "hourmin",
        "time_ms",
        "is_click",
        "duration_ms",
        "is_rand",
        "tab",
        *OUTCOMES,
    ]
    for name, rows in zip(("4_22_to_5_08", "4_08_to_4_21"), EXPOSURES, strict=True):
        log = [[user, video, 20220425, 1800, time, click, ms, 0, 1, *[1] * 7] for user, video, time, click, ms in rows]
        write_table(folder / f"log_standard_{name}_pure.csv", header, log)
    (folder / "log_random_4_22_to_5_08_pure.csv").write_text("not read\n")
    write_table(folder / "user_features_pure.csv", ["user_id", *USER_COLUMNS], [[1, *USER], [2, *USER]])
    videos = [[video, *values] for video, values in VIDEOS.items()]
    write_table(folder / "video_features_basic_pure.csv", ["video_id", *VIDEO_COLUMNS], videos)


def write_joined_kuairand(folder):
    """One log in time order whose rows have it all, and a session."""
    header = ["time_ms", "date", "hourmin", "session_id", "user_id", "video_id", "tab", "is_rand", "duration_ms"]
    header += ["is_click", *OUTCOMES, *VIDEO_COLUMNS, *USER_COLUMNS]
    rows = [
        [time, 20220425, 1800, f"s{user}", user, video, 1, 0, ms, click, *[1] * 7, *VIDEOS[video]]
        + ([""] * len(USER) if user == 3 else USER)
        for user, video, time, click, ms in (*EXPOSURES[1], *EXPOSURES[0])
    ]
    write_table(folder / "log.csv.gz", header, rows)


@pytest.mark.parametrize("write", [write_kuairand, write_joined_kuairand])
def test_both_layouts_of_kuairand_are_the_same_rows(tmp_path, gather, write):
    write(tmp_path)
    data = config.Data(source="kuairand", path=str(tmp_path), split="time", train_fraction=0.6)
    source = open_source(data, str(tmp_path / "cache"))
    training, held_out, known = gather(source.train()), gather(source.holdout()), source.encoder.statistics.vocabularies
    assert training["label"].tolist() == [1, 0, 1]  # by time: 100, 200, 300 | 400, 500
    assert held_out["label"].tolist() == [0, 0]
    assert set(known["tag"]) == {b"39", b"12"}
    assert known["follow_user_num_range"] == (b"(150,250]",)  # a quoted comma
    assert training["features"]["follow_user_num_range"].tolist() == [0, 2, 0]  # user 3 is unknown: missing
    assert held_out["features"]["video_id"].tolist() == [1, 1]  # video 6 was not trained on
    assert (training["features"]["duration_ms"] > 0).tolist() == [[True], [False], [True]]
    sessions = np.concatenate([training["query_id"], held_out["query_id"]])
    assert [int(np.flatnonzero(sessions == one)[0]) for one in sessions] == [0, 1, 0, 3, 0]
    names = {feature.name for feature in source.schema.features}
    assert len(names) == 37
    assert names.isdisjoint({"is_click", "is_rand", "date", "time_ms", *OUTCOMES})


def test_kuairand_learns_other_labels_of_its_log(tmp_path, gather):
    write_joined_kuairand(tmp_path)
    data = config.Data(source="kuairand", path=str(tmp_path), split="time", labels=("is_click", "long_view"))
    rows = gather(open_source(data, str(tmp_path / "cache")).train())
    assert rows["label"].tolist() == [1, 0, 1, 0]
    assert rows["labels"].tolist() == [[1, 1], [0, 1], [1, 1], [0, 1]]
    data.labels = ("long_view",)
    alone = gather(open_source(data, str(tmp_path / "cache")).train())
    assert alone["label"].tolist() == [1] * 4
    assert "labels" not in alone
    data.labels = ("is_click", "longview")
    with pytest.raises(
        InputError, match=r"^data.path: the column 'longview' is not in .*log.csv.gz, which has"
    ) as raised:
        open_source(data, str(tmp_path / "cache"))
    assert "\n" not in str(raised.value)
    data.labels = ("is_click", "tab")
    with pytest.raises(InputError, match="the label column 'tab' must not be a feature"):
        open_source(data, str(tmp_path / "cache"))


def test_kuairand_without_its_other_files_is_the_log_only(tmp_path):
    write_kuairand(tmp_path)
    for file in tmp_path.glob("*_features_*"):
        file.unlink()
    source = open_source(config.Data(source="kuairand", path=str(tmp_path)), str(tmp_path / "cache"))
    names = [feature.name for feature in source.schema.features]
    assert names == ["user_id", "video_id", "tab", "hourmin", "duration_ms"]


def test_kuairands_side_file_without_a_key_is_refused(tmp_path):
    write_kuairand(tmp_path)
    write_table(tmp_path / "user_features_pure.csv", ["user", "age"], [[1, 20]])
    with pytest.raises(
        InputError, match=r"the column 'user_id' is not in .*user_features_pure\.csv, which has user, age"
    ):
        open_source(config.Data(source="kuairand", path=str(tmp_path)), str(tmp_path / "cache"))


TRIVAGO_COLUMNS = [
    *("request_id", "user_id", "session_id", "timestamp", "step", "position", "n_shown", "item_id", "price"),
    *("price_rank", "platform", "city", "device", "first_filter", "n_filters", "prev_action"),
    *("item_seen_in_session", "item_is_last_seen", "clicks_so_far", "label"),
]


def write_trivago(folder, requests=5):
    rows = []
    for request in range(requests):
        for position in (1, 2):
            now = 1541548955 + request
            row = [f"s_{request}", "u", "s", now, 1 + request, position, 2, 100 + position, 10 * position, position]
            row += ["AU", "Bendigo, Australia", "mobile", "", 0, "start", request, int(position == 2), request]
            rows.append([*row, int(position == 1)])
    write_table(folder / "impressions.csv.gz", TRIVAGO_COLUMNS, rows)


def test_trivago(tmp_path, gather):
    write_trivago(tmp_path)
    (tmp_path / "item_metadata.csv").write_text("not read\n")
    data = config.Data(source="trivago", path=str(tmp_path), split="time")
    source = open_source(data, str(tmp_path / "cache"))
    training, held_out = gather(source.train()), gather(source.holdout())
    assert (source.summary["malformed"], source.train_rows, source.eval_rows) == (0, 8, 2)
    assert held_out["label"].tolist() == [1, 0]
    assert training["features"]["position"].tolist() == [1, 2] * 4
    assert training["features"]["item_is_last_seen"].tolist() == [0, 1] * 4
    assert source.encoder.statistics.vocabularies["city"] == (b"Bendigo, Australia",)
    assert source.encoder.statistics.moments["price"] == pytest.approx((np.log(11 * 21) / 2, np.log(21 / 11) / 2))
    assert len(set(training["query_id"].tolist())) == 4
    names = {feature.name for feature in source.schema.features}
    assert names == set(TRIVAGO_COLUMNS) - {"request_id", "user_id", "session_id", "timestamp", "label"}


def test_the_real_kuairand_and_trivago_are_read_to_the_last_row(tmp_path, real_data):
    for name, path, rows, clicks in (
        ("kuairand", "kuairand", 228_329, 0.4419),
        ("trivago", "trivago", 312_539, 0.0435),
    ):
        data = config.Data(
            source=name, path=real_data(path), features=("user_id",) if name == "kuairand" else ("device",)
        )
        source = open_source(data, str(tmp_path / name))
        labels = np.concatenate([c["label"] for part in (source.train(), source.holdout()) for c in chunks(part)])
        assert (labels.size, source.summary["malformed"]) == (rows, 0)
        assert labels.mean() == pytest.approx(clicks, abs=1e-4)


def test_the_real_movielens_is_read_to_the_last_rating(tmp_path, real_data, gather):
    source = open_movielens(real_data("ml-100k"), tmp_path, train_fraction=0.8)
    assert (source.train_rows, source.eval_rows) == (80_000, 20_000)
    assert (source.summary["rows"], source.summary["malformed"]) == (100_000, 0)
    training, held_out = gather(source.train()), gather(source.holdout())
    assert (training["label"].size, held_out["label"].size) == (80_000, 20_000)
    ratings = np.loadtxt(f"{real_data('ml-100k')}/ml-100k.inter", skiprows=1, dtype=np.int64)
    ratings = ratings[np.argsort(ratings[:, 3], kind="stable")]
    labels = (ratings[:, 2] >= 4).astype(np.float32)
    np.testing.assert_array_equal(np.concatenate([training["label"], held_out["label"]]), labels)
    users = np.array(source.encoder.statistics.vocabularies["user_id"])
    np.testing.assert_array_equal(users[training["features"]["user_id"]], ratings[:80_000, 0])
    unseen = np.mean(held_out["features"]["user_id"] == users.size)
    assert unseen == np.mean(~np.isin(ratings[80_000:, 0], ratings[:80_000, 0])) > 0.8
    assert len(np.unique(np.concatenate([training["query_id"], held_out["query_id"]]))) == 943


def test_the_real_movielens_by_user_and_with_settings_chosen_inside_the_training_rows(tmp_path, real_data):
    by_user = open_movielens(real_data("ml-100k"), tmp_path, split="user_time", train_fraction=0.8)
    assert by_user.train_rows == pytest.approx(80_000, abs=943 / 2)
    assert len(by_user.encoder.statistics.vocabularies["user_id"]) == 943
    inside = open_movielens(real_data("ml-100k"), tmp_path, train_fraction=0.64, eval_examples=16_000)
    assert (inside.train_rows, inside.eval_rows) == (64_000, 16_000)


def test_the_real_open_bandit_slice(tmp_path, real_data, gather):
    data = config.Data(source="open_bandit", path=real_data("open-bandit"), split="time")
    source = open_source(data, str(tmp_path / "cache"))
    assert (source.train_rows, source.eval_rows, source.summary["malformed"]) == (8000, 2000, 0)
    rows = gather(source.train())
    assert 0 < rows["label"].mean() < 0.01
    assert set(rows["features"]["position"].tolist()) == {1, 2, 3}
    assert (rows["features"]["item_feature_1"] < source.encoder.known_values(source.schema.categorical[6])).all()
    assert sum(f.name.startswith("user_item_affinity_") for f in source.schema.features) == 34


def test_the_presets_are_sound_schemas():
    for schema in (public_logs.CRITEO, public_logs.MOVIELENS, public_logs.KUAIRAND, public_logs.TRIVAGO):
        schema.validate()
