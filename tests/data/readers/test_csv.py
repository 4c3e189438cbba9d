"""Delimited files: what is read, and what is malformed, with its file and line."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import tensorflow as tf

from smooth_recs.data.raw_rows import GOOD, describe
from smooth_recs.data.readers.csv import CsvReader, SideTable
from smooth_recs.errors import InputError
from smooth_recs.schema import Categorical, Numeric, Schema

SCHEMA = Schema((Categorical("shop", "hash", size=10), Numeric("price")))
FULL = Schema(
    (
        Categorical("user", "hash", size=10, dtype="int64"),
        Categorical("tags", "vocabulary", max_values=3),
        Categorical("codes", "vocabulary", dtype="int64", max_values=2, separator=" "),
        Numeric("price"),
    ),
    label="click",
    weight="weight",
    query_id="request",
    timestamp="time",
)


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def problems(reader):
    """[(file, line, why)] of all malformed rows."""
    return [
        (int(chunk["file"]), int(line), describe(reader.schema, int(problem), value))
        for chunk in reader.read().as_numpy_iterator()
        for line, problem, value in zip(chunk["line"], chunk["problem"], chunk["value"], strict=True)
        if problem != GOOD
    ]


def shops(reader, gather):
    return gather(reader.read())["raw"]["shop"].tolist()


def test_every_kind_of_column(tmp_path, gather):
    text = (
        "price,codes,other,click,weight,request,time,tags,user\n"
        "1.5,7 8 9,x,1,2,a,2020-01-01,p|q,4294967296\n"
        ",,,0,0.5,b,1577836801.5,,\n"
        "-2e3,5,,0.0,1e0,a,1577836802,r|s|t|u,-1\n"
    )
    rows = gather(CsvReader([write(tmp_path / "log.csv", text)], FULL).read())
    assert rows["problem"].tolist() == [GOOD] * 3
    assert rows["raw"]["user"].tolist() == [2**32, -1, -1]
    assert rows["raw"]["tags"].tolist() == [[b"p", b"q", b""], [b"", b"", b""], [b"r", b"s", b"t"]]
    assert rows["raw"]["codes"].tolist() == [[7, 8], [-1, -1], [5, -1]]
    np.testing.assert_array_equal(rows["raw"]["price"], [1.5, np.nan, -2000.0])
    assert rows["label"].tolist() == [1, 0, 0]
    assert rows["weight"].tolist() == [2, 0.5, 1]
    assert rows["timestamp"].tolist() == [1577836800, 1577836801.5, 1577836802]
    assert rows["query_id"][0] == rows["query_id"][2] != rows["query_id"][1]
    assert rows["line"].tolist() == [2, 3, 4]
    assert rows["raw"].keys() == {"user", "tags", "codes", "price"}


def test_malformed_rows_are_told_by_file_line_and_reason(tmp_path):
    header = "user,tags,codes,price,click,weight,request,time\n"
    good = "1,a,1,1,1,1,q,1\n"
    first = write(tmp_path / "a.csv", header + good * 2 + "\n" + "1,a,1,1,1,1,q\n" + good)
    bad = [
        ("x,a,1,1,1,1,q,1", "user is no integer of 64 bits, got 'x'"),
        ("1,a,1 x,1,1,1,q,1", "codes is no integer of 64 bits, got '1 x'"),
        ("1,a,1,one,1,1,q,1", "price is no number, got 'one'"),
        ("1,a,1,1,2,1,q,1", "click is neither 0 nor 1, got '2'"),
        ("1,a,1,1,,1,q,1", "click is neither 0 nor 1, got no value"),
        ("1,a,1,1,nan,1,q,1", "click is neither 0 nor 1, got 'nan'"),
        ("1,a,1,1,1,-0.1,q,1", "weight is no number of at least 0, got '-0.1'"),
        ("1,a,1,1,1,,q,1", "weight is no number of at least 0, got no value"),
        ("1,a,1,1,1,inf,q,1", "weight is no number of at least 0, got 'inf'"),
        ("1,a,1,1,1,1,q,", "time is neither a number nor an ISO 8601 time, got no value"),
        ("1,a,1,1,1,1,q,noon", "time is neither a number nor an ISO 8601 time, got 'noon'"),
        ('1,a"b,1,1,1,1,q,1', """wrong number of fields or values, got '1,a"b,1,1,1,1,q,1'"""),
        ("1,a,1,1,1,1,q,1,1", "wrong number of fields or values, got '1,a,1,1,1,1,q,1,1'"),
        ("99999999999999999999,a,1,1,1,1,q,1", "user is no integer of 64 bits, got '99999999999999999999'"),
    ]
    second = write(tmp_path / "b.csv.gz", header + "".join(f"{good}{line}\n" for line, _ in bad))
    found = problems(CsvReader([first, second], FULL))
    assert found[0] == (
        0,
        5,
        "wrong number of fields or values, got '1,a,1,1,1,1,q'",
    )  # the blank line 4 is no row, but counts as a line
    assert found[1:] == [(1, 3 + 2 * number, why) for number, (_, why) in enumerate(bad)]


def test_line_numbers_over_many_chunks_and_from_any_of_them(tmp_path, small_chunks):
    rows = [f"s{number},1,{'x' if number % 10 == 3 else 1}\n" for number in range(100)]
    files = [write(tmp_path / name, "shop,price,label\n" + "".join(rows)) for name in ("a.csv", "b.csv.gz")]
    reader = CsvReader(files, SCHEMA)
    assert [place[:2] for place in problems(reader)] == [
        (file, line) for file in range(2) for line in range(5, 102, 10)
    ]
    chunks = list(reader.read().as_numpy_iterator())
    for position in (0, 1, 14, 15, 20):
        again = list(reader.read(int(chunks[position]["file"]), int(chunks[position]["line"][0])).as_numpy_iterator())
        tf.nest.map_structure(np.testing.assert_array_equal, again, chunks[position:])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ('"a,b"', b"a,b"),
        ('"say ""hi"""', b'say "hi"'),
        ('""', b""),
        ('"plain"', b"plain"),
        ("spaces kept ", b"spaces kept "),
        ("a\tb", b"a\tb"),
    ],
)
def test_quoting(tmp_path, gather, field, value):
    path = write(tmp_path / "log.csv", f'shop,price,label\nx,1,0\n{field},"2","1"\n')
    rows = gather(CsvReader([path], SCHEMA).read())
    assert rows["problem"].tolist() == [GOOD, GOOD]
    assert rows["raw"]["shop"].tolist() == [b"x", value]
    assert (rows["raw"]["price"][1], rows["label"][1]) == (2, 1)


def test_a_tab_separated_file_has_no_quoting(tmp_path, gather):
    path = write(tmp_path / "log.tsv", 'shop\tprice\tlabel\n"a\t1\t0\nb"c, d\t2\t1\n')
    assert shops(CsvReader([path], SCHEMA, delimiter="\t"), gather) == [b'"a', b'b"c, d']


@pytest.mark.parametrize("quoted", [b"caf\xe9", b'"caf\xe9"', b"\xff\xfe\x80", "ça, non".encode().join([b'"', b'"'])])
def test_bytes_that_are_no_utf_8_are_values_like_others(tmp_path, gather, quoted):
    path = write(tmp_path / "log.csv", b"shop,price,label\n" + quoted + b",1,0\n\xe9,\xe9,1\n\xe9,1\n")
    reader = CsvReader([path], SCHEMA)
    assert shops(reader, gather)[0] == quoted.strip(b'"')
    assert problems(reader) == [
        (0, 3, r"price is no number, got '\\xe9'"),
        (0, 4, r"wrong number of fields or values, got '\\xe9,1'"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "label,shop,price",
        "\ufefflabel,shop,price",
        "label:float,shop:token,price:float",
        '"label" , "shop",price',
        "label,shop,price\r",
    ],
)
def test_header_variants(tmp_path, gather, header):
    path = write(tmp_path / "log.csv", f"{header}\n1,a,2\r\n0,b,3")
    rows = gather(CsvReader([path], SCHEMA).read())
    assert rows["raw"]["shop"].tolist() == [b"a", b"b"]
    assert rows["problem"].tolist() == [GOOD, GOOD]


def test_without_a_header_the_names_are_given(tmp_path, gather):
    path = write(tmp_path / "log.csv", "\ufeffa,1,0\nb,2,1\n")
    reader = CsvReader([path], SCHEMA, header=False, column_names=("shop", "price", "label"))
    rows = gather(reader.read())
    assert rows["raw"]["shop"].tolist() == [b"a", b"b"]
    assert rows["line"].tolist() == [1, 2]


def test_a_name_that_is_no_identifier_is_found(tmp_path, gather):
    path = write(tmp_path / "log.csv", "the shop,price,was-clicked\na,1,1\n")
    schema = Schema((Categorical("the_shop", "hash", size=3), Numeric("price")), label="was-clicked")
    assert gather(CsvReader([path], schema).read())["raw"]["the_shop"].tolist() == [b"a"]


def test_a_threshold_makes_the_label(tmp_path, gather):
    path = write(tmp_path / "log.csv", "shop,price,stars\na,1,3.5\nb,1,4\nc,1,5\nd,1,\n")
    schema = Schema(SCHEMA.features, label="stars", label_threshold=4.0)
    reader = CsvReader([path], schema)
    assert gather(reader.read())["label"].tolist()[:3] == [0, 1, 1]
    assert problems(reader) == [(0, 5, "stars is no number, got no value")]


def test_one_column_in_two_roles(tmp_path, gather):
    path = write(tmp_path / "log.csv", "shop,price,label\na,1,0\na,2,1\nb,,1\n")
    schema = Schema(SCHEMA.features, weight="price", query_id="shop", timestamp="price")
    reader = CsvReader([path], schema)
    rows = gather(reader.read())
    assert rows["weight"].tolist()[:2] == rows["timestamp"].tolist()[:2] == [1, 2]
    assert rows["query_id"][0] == rows["query_id"][1] != rows["query_id"][2]
    assert problems(reader) == [(0, 4, "price is no number of at least 0, got no value")]


def test_one_column_alone(tmp_path, gather):
    reader = CsvReader(
        [write(tmp_path / "one.csv", 'price\n1\n"0"\nx\n0\n')], Schema((Numeric("price"),), label="price")
    )
    assert gather(reader.read())["problem"].astype(bool).tolist() == [False, False, True, False]
    assert gather(reader.read())["label"][[0, 1, 3]].tolist() == [1, 0, 0]


def test_wide_files(tmp_path, gather, capfd):
    names = [f"c{number}" for number in range(20_000)]
    quoted = ",".join(["1"] * 9_999 + ['"a ""b"", c"'] + ["7"] * 10_000)
    odd = {
        3: ",".join(["1"] * 19_999),
        4: ",".join(["1"] * 20_001),
        5: '1,"' + ",1" * 19_998,
        6: '1,a"b' + ",1" * 19_998,
    }
    good = [",".join(map(str, range(20_000))), quoted]
    text = "\n".join([",".join(names), good[0], *odd.values(), good[1], good[0]])
    schema = Schema((Numeric("c19999"), Categorical("c9999", "hash", size=9)), label="c1")
    reader = CsvReader([write(tmp_path / "wide.csv", text)], schema)
    raw = gather(reader.read())["raw"]
    assert raw["c19999"][[0, -2, -1]].tolist() == [19999, 7, 19999]
    assert raw["c9999"][[0, -2]].tolist() == [b"9999", b'a "b", c']
    assert [place[:2] for place in problems(reader)] == [(0, line) for line in odd]
    assert "DFA" not in capfd.readouterr().err


def test_side_tables_are_joined(tmp_path, gather):
    table = SideTable("shop", [b"a", b"b"], {"city": [b"Ulm", b"K\xf6ln"], "price": [b"3", b""]})
    schema = Schema((Categorical("city", "hash", size=9), Numeric("price")))
    path = write(tmp_path / "log.csv", "shop,label\nb,0\nc,1\na,1\n,0\n")
    raw = gather(CsvReader([path], schema, side_tables=[table]).read())["raw"]
    assert raw["city"].tolist() == [b"K\xf6ln", b"", b"Ulm", b""]
    np.testing.assert_array_equal(raw["price"], [np.nan, np.nan, 3, np.nan])


def test_a_key_twice_in_a_side_table_is_refused():
    with pytest.raises(InputError, match=r"side table of shop must hold every key once .* got 'a'"):
        SideTable("shop", [b"a", b"b", b"a"], {"city": [b"1", b"2", b"3"]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("shop,cost,label\na,1,0\n", "the column 'price' is not in .*log.csv, which has shop, cost, label"),
        ("shop,price,price,label\na,1,1,0\n", "the column 'price' is twice in .*log.csv"),
        ("", "a header must name the columns, got none in the first line of .*log.csv"),
        ("\nshop,price,label\n", "a header must name the columns, got none in the first line of .*log.csv"),
        ("a,1,0\nb,2,1\n", "the column 'shop' is not in .*log.csv"),
        ("shop,price,label\na,1,0\n".encode("utf-16"), "data.path: .*log.csv must be UTF-8, got UTF-16"),
        ("shop,price,label\ra,1,0\r", "lines must end in LF or CRLF, got CR alone in .*log.csv"),
    ],
)
def test_a_wrong_header_is_refused_before_anything_is_read(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as raised:
        CsvReader([write(tmp_path / "log.csv", content)], SCHEMA)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("other", "how"),
    [
        ("price,shop,label", "has another order"),
        ("shop,price,label,city", "has 'city'"),
        ("shop,cost,label", "has 'cost'"),
        ("shop,label", "lacks 'price'"),
    ],
)
def test_headers_must_agree(tmp_path, other, how):
    files = [write(tmp_path / "a.csv", "shop,price,label\n"), write(tmp_path / "b.csv", f"{other}\n")]
    with pytest.raises(InputError, match=rf"the header of .*b\.csv differs from that of .*a\.csv: it {how}$"):
        CsvReader(files, SCHEMA)


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n", "é"])
def test_a_delimiter_is_one_ascii_character(tmp_path, delimiter):
    with pytest.raises(InputError, match=r"data\.delimiter must be one ASCII character"):
        CsvReader([write(tmp_path / "log.csv", "shop,price,label\n")], SCHEMA, delimiter=delimiter)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_asked_for(tmp_path, delimiter):
    path = write(tmp_path / "log.csv", delimiter.join(["shop", "price", "label"]) + "\n")
    with pytest.raises(InputError) as raised:
        CsvReader([path], SCHEMA)
    assert str(raised.value).endswith(f"; is the delimiter {delimiter!r}?")
    assert CsvReader([path], SCHEMA, delimiter=delimiter).files == (path,)


def test_a_header_of_one_column_has_no_other_delimiter(tmp_path):
    path = write(tmp_path / "log.csv", "price\n")
    with pytest.raises(InputError, match=r"the column 'shop' is not in .*log\.csv, which has price$"):
        CsvReader([path], SCHEMA)


def test_a_tab_may_be_typed_as_a_shell_passes_it(tmp_path, gather):
    path = write(tmp_path / "log.tsv", 'shop\tprice\tlabel\n"a\t1\t0\n')
    assert shops(CsvReader([path], SCHEMA, delimiter=r"\t"), gather) == [b'"a']


def test_gzip_is_known_by_its_first_bytes(tmp_path, gather):
    text = b"shop,price,label\na,1,0\n"
    (tmp_path / "part-0").write_bytes(gzip.compress(text))
    (tmp_path / "plain.gz").write_bytes(text)
    reader = CsvReader([f"{tmp_path}/part-0", f"{tmp_path}/plain.gz"], SCHEMA)
    assert shops(reader, gather) == [b"a", b"a"]
