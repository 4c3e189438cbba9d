"""Every page: its contents, its one script, and links that lead somewhere, with and without the script."""

from __future__ import annotations

import doctest
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_pages import SCRIPT, assert_asks_for_nothing, page_of, relu, workdir

from smooth_recs.reports import links
from smooth_recs.reports import page as pages


def test_contents_name_every_section_once_and_in_order(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    listed = re.findall(r'<a href="#([^"]*)">([^<]*)</a>', page.source.split("<nav")[1].split("</nav>")[0])
    headed = re.findall(r'<h2 id="([^"]*)">([^<]*)</h2>', page.source)
    assert listed == headed
    assert len(headed) >= 10
    assert page.source.index("<nav") < page.source.index("<h2")


def test_pages_of_one_process_know_nothing_of_each_other(tmp_path: Path) -> None:
    """Their templates are compiled once, for all pages."""
    (tmp_path / "first").mkdir()
    run = workdir(tmp_path / "smelu")
    before = page_of(tmp_path, run).source
    page_of(tmp_path / "first", relu(tmp_path), run)
    assert page_of(tmp_path, run).source == before


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2 between two colours such as #1e2228."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def test_texts_and_charts_can_be_read_in_light_and_dark(tmp_path: Path) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    light, dark = page.source.split("@media (prefers-color-scheme: dark)")[:2]
    for mode in (light, dark):
        colours = dict(re.findall(r"--([a-z]+(?:-\d)?): (#[0-9a-f]{6})", mode))
        # Numbers in charts have the colours of their lines; grey, the baseline's, is never one of text.
        texts = ["ink", "muted", "accent", *(f"series-{number}" for number in range(1, 6))]
        faint = {name: contrast(colours[name], colours[on]) for name in texts for on in ("page", "panel")}
        assert min(faint.values()) >= 4.5, faint
        assert contrast(colours["series-0"], colours["page"]) >= 3


def test_equal_headings_get_different_anchors() -> None:
    text = pages.with_contents('<nav class="contents"></nav>' + "<h2>A &amp; b</h2>" * 2 + "<h2>C</h2><h2>Äö</h2>")
    ids = re.findall(r'id="([^"]*)"', text)
    assert len(set(ids)) == 4
    assert re.findall(r'href="#([^"]*)"', text) == ids
    assert "nav" not in pages.with_contents('<nav class="contents"></nav><h2>Alone</h2>')


def test_a_run_links_its_files_and_exports_and_a_comparison_its_runs(tmp_path: Path) -> None:
    runs = [Path(relu(tmp_path)), Path(workdir(tmp_path / "smelu %2e#"))]
    for path in runs:
        (path / "export/replica_0/1").mkdir(parents=True)
        (path / "report.html").write_text("")
    page = page_of(tmp_path, str(runs[0]))
    linked = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    files = [each for each in linked if each and not each.startswith("#")]
    assert files == [
        f"../relu/{name}"
        for name in ("report.html", "metrics.json", "config.json", "manifest.json", "export/replica_0/1/")
    ], "and not replica 1, which is not there"
    page = page_of(tmp_path, *map(str, runs))
    assert_asks_for_nothing(page)
    assert '<a href="../smelu%20%252e%23/report.html">SmeLU 0.1: report.html</a>' in page.source


def test_an_odd_name_is_a_path_and_the_page_itself_is_no_link(tmp_path: Path) -> None:
    odd = tmp_path / "javascript:alert(1)"
    odd.mkdir()
    page = str(tmp_path / "report.html")
    assert links.address(str(odd), page) == "./javascript%3Aalert%281%29/"
    assert links.address(str(tmp_path / "missing"), page) is None
    Path(page).write_text("")
    assert links.existing([("this", page), ("odd", str(odd))], page) == [("odd", "./javascript%3Aalert%281%29/")]


def test_a_model_is_linked_with_the_report_of_its_run(tmp_path: Path) -> None:
    model = tmp_path / "run/export/replica_0/1"
    model.mkdir(parents=True)
    (tmp_path / "run/metrics.json").write_text("{}")
    assert links.of_model("A", str(model)) == [
        ("A: 1", str(model)),
        ("A: the report of its run", str(tmp_path / "run/report.html")),
    ]
    assert links.of_model("B", str(tmp_path / "b.csv")) == [("B: b.csv", str(tmp_path / "b.csv"))]


def test_long_tables_are_folded_and_short_ones_are_not(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    opened = re.sub(r"<details>.*?</details>", "", page.markup, flags=re.DOTALL)
    rows = [len(re.findall(r'<th scope="row">', table)) for table in opened.split("<table")[1:]]
    assert rows
    assert max(rows) <= 12
    assert max(len(table) for table in page.tables) > 50, "all settings, folded"


def test_nothing_is_hidden_from_a_reader_without_the_script(tmp_path: Path) -> None:
    page = page_of(tmp_path, workdir(tmp_path / "smelu"))
    assert not [tag for tag, attributes in page.tags if {"hidden", "disabled"} & set(attributes)]
    assert "display: none" not in page.source
    assert "button" not in {tag for tag, _ in page.tags}, "what only the script can do, it adds itself"


def node(expression: str) -> object:
    program = (
        f"const {{ order, matches }} = require({json.dumps(str(SCRIPT))}); console.log(JSON.stringify({expression}))"
    )
    return json.loads(subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_the_script_sorts_numbers_by_value_and_what_is_missing_last() -> None:
    assert node("[order([0.2, -1, null, 10], false), order([0.2, -1, null, 10], true)]") == [[1, 0, 3, 2], [3, 0, 1, 2]]
    assert node('order(["SmeLU 10", "SmeLU 2", "ReLU"], false)') == [2, 1, 0]
    assert node("order([1, 1, 0], true)") == [0, 1, 2], "equal ones keep their order"
    assert node('[matches("SmeLU 0.1", "0.1 smelu"), matches("ReLU", "smelu"), matches("ReLU", "")]') == [
        True,
        False,
        True,
    ]


def test_the_script_is_plain_and_asks_for_nothing() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert not re.search(r"fetch|XMLHttpRequest|import\b|WebSocket|innerHTML|eval|localStorage|</script", text)


def test_examples_in_docstrings() -> None:
    found = doctest.testmod(pages)
    assert found.attempted
    assert not found.failed


def test_a_page_is_well_formed(tmp_path: Path) -> None:
    """Every element that is opened is closed, in order: browsers would repair the rest, each in its way."""
    page = page_of(tmp_path, relu(tmp_path), workdir(tmp_path / "smelu"))
    text = re.sub(r"<!DOCTYPE html>|<style>.*?</style>", "", page.markup, flags=re.DOTALL)
    opened: list[str] = []
    for closing, name, itself in re.findall(r'<(/?)([a-zA-Z]\w*)(?:"[^"]*"|[^>"])*?(/?)>', text):
        if closing:
            assert opened.pop() == name
        elif not itself and name not in {"meta", "br", "wbr"}:
            opened.append(name)
    assert opened == []
