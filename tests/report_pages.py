"""Pages of reports: what they hold, what they must not do, and how wide they are in a browser."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

ATTACK = "<script>alert(1)</script>"

needs_chromium = pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")


class Page(html.parser.HTMLParser):
    """Tags with their attributes, all text, and per table {row name: [[exact numbers of a cell], ...]}."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.tables: list[dict[str, list[list[float]]]] = []
        self._row = ""
        self._in_row_name = False
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "table":
            self.tables.append({})
        elif tag == "small":
            self._in_row_name = False
        elif tag == "th" and attributes.get("scope") == "row":
            self._row, self._in_row_name = "", True
        elif tag == "td":
            self.tables[-1].setdefault(self._row, []).append([])
        elif tag == "data":
            self.tables[-1][self._row][-1].append(float(attributes["value"] or "nan"))

    def handle_endtag(self, tag: str) -> None:
        self._in_row_name = self._in_row_name and tag != "th"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_row_name:
            self._row += data

    @property
    def prose(self) -> str:
        return " ".join(self.text.split())

    def table(self, row: str) -> dict[str, list[list[float]]]:
        """The first table that has such a row."""
        return next(table for table in self.tables if row in table)


def assert_asks_for_nothing(page: Page) -> int:
    """No script, no network, and a policy that would forbid them; returns how many references to itself it has."""
    names = {tag for tag, _ in page.tags}
    assert not {"script", "link", "iframe", "img", "image", "object", "embed", "base", "form"} & names
    references = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in {"src", "srcset", "href", "xlink:href", "action", "data", "poster"}
    ]
    assert all(value and value.startswith("#") for value in references)
    assert re.findall(r"url\((?!#)", page.source) == []
    assert not re.search(r"https?:|@import|javascript:", page.source)
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    return len(references)


def assert_nothing_overflows(page: Page, folder: Path, width: int, charts: int) -> None:
    """In a browser window of so many pixels, with every part unfolded, nothing reaches beyond the right edge."""
    opened = page.source.replace("<details>", "<details open>")
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{escape(opened)}"></iframe>'
        "<script>onload = () => {"
        "const page = document.querySelector('iframe').contentDocument.documentElement;"
        "const charts = [...page.querySelectorAll('svg')].map(chart => chart.getBoundingClientRect());"
        "document.body.innerHTML = `width ${page.scrollWidth} of ${page.clientWidth},"
        " charts ${charts.filter(box => box.width > 200 && box.right <= page.clientWidth).length}`}</script>",
        encoding="utf-8",
    )
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={folder / 'profile'}", "--dump-dom", "--window-size=1400,1000", frame.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r"width (\d+) of (\d+), charts (\d+)", shown)
    assert found, shown[-300:]
    scroll_width, client_width, seen = map(int, found.groups())
    assert scroll_width == client_width
    assert width - 20 <= client_width <= width
    assert seen == charts
