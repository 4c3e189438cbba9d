"""Runs that were never trained and the pages of their reports: what these hold, must not do, and how wide they are."""

from __future__ import annotations

import base64
import copy
import hashlib
import html.parser
import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from smooth_recs import config
from smooth_recs.reports import page as pages
from smooth_recs.reports import run_report

SCRIPT = Path(pages.__file__).parent / "templates" / "report.js"
ATTACK = "<script>alert(1)</script>"

needs_chromium = pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")


class Page(html.parser.HTMLParser):
    """Tags with their attributes, all text, and per table {row name: [[exact numbers of a cell], ...]}."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
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
    def markup(self) -> str:
        """The source without the one script of the package, and without its marks."""
        found = self.source.replace(f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>", "", 1)
        assert len(found) < len(self.source), "the page has the script of the package"
        return found

    @property
    def prose(self) -> str:
        return " ".join(self.text.split())

    def table(self, row: str) -> dict[str, list[list[float]]]:
        """The first table that has such a row."""
        return next(table for table in self.tables if row in table)


def assert_asks_for_nothing(page: Page) -> int:
    """No network, no script but the package's own, and a policy that forbids both; every reference leads somewhere.

    Returns how many references the page has, to its own parts and to files beside it.
    """
    names = {tag for tag, _ in page.tags}
    assert not {"link", "iframe", "img", "image", "object", "embed", "base", "form"} & names
    assert "<script" not in page.markup.lower()
    references = [
        value or ""
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in {"src", "srcset", "href", "xlink:href", "action", "data", "poster"}
    ]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for each in references:
        if each.startswith("#"):
            assert each[1:] in ids
        else:
            assert each.startswith(("./", "../"))
            assert (page.path.parent / unquote(each)).exists(), each
    assert re.findall(r"url\((?!#)", page.source) == []
    assert not re.search(r"https?:|@import|javascript:", page.source)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.read_bytes()).digest()).decode()
    (policy,) = [attributes["content"] or "" for _, attributes in page.tags if "http-equiv" in attributes]
    assert policy.split("; ")[::2] == ["default-src 'none'", f"script-src 'sha256-{digest}'"]
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


def slice_of(name: str, pd: float, share: float, pd_share: float, rows: int = 20_000) -> dict[str, Any]:
    return {
        "slice": name,
        "rows": rows,
        "weight_share": share,
        "pd": pd,
        "interval": [pd - 0.01, pd + 0.01],
        "pd_share": pd_share,
        "auc_loss": 0.21,
        "log_loss": 0.33,
        "label_mean": 0.14,
        "small": rows < 100,
    }


SLICES: dict[str, Any] = {
    "user": [
        slice_of("tiny", 0.6, 0.0001, 0.0007, rows=10),
        slice_of("17", 0.123, 0.25, 0.36),
        slice_of("other", 0.073, 0.7499, 0.6393),
    ],
    "score": [
        slice_of("decile 10 (0.31 to 0.7)", 0.11, 0.5, 0.6),
        slice_of("decile 9 (0.2 to 0.31)", 0.06, 0.5, 0.4),
    ],
}


METRICS: dict[str, Any] = {
    "replicas": [
        {
            "log_loss": 0.33712345678,
            "auc": 0.7712,
            "auc_loss": 0.2288,
            "normalized_entropy": 0.871,
            "per_query_auc_loss": 0.241,
            "calibration": 0.991,
            "mean_prediction": 0.1353,
        },
        {
            "log_loss": 0.3365,
            "auc": 0.7731,
            "auc_loss": 0.2269,
            "normalized_entropy": 0.869,
            "per_query_auc_loss": 0.239,
            "calibration": 1.002,
            "mean_prediction": 0.1367,
        },
    ],
    "pd": {
        "relative": 0.085312345,
        "pairs": [[0, 1, 0.085312345]],
        "interval": [0.0832, 0.0871],
        "after_matching_means": 0.0812,
        "absolute": 0.0123,
        "relative_norm_1": 0.0427,
        "relative_norm_2": 0.0431,
        "standard_deviation": 0.0062,
        "kl": float("inf"),
        "jensen_shannon": 0.00041,
        "logit_difference": 0.0931,
        "flips": 0.0021,
        "quantiles": {"0.5": 0.061, "0.9": 0.19, "0.99": 0.37},
        "histogram": {"edges": [0.0, 0.1, 0.2, 0.5, 2.0], "counts": [0.7, 0.25, 0.05, 0.0]},
    },
    "recommendations": {
        "k": 3,
        "swap_rate": 0.217,
        "swap_rate_interval": [0.21, 0.224],
        "top_k_overlap": 0.961,
        "kendall_distance": 0.052,
        "requests": 25_000,
        "single_row_requests": 12,
    },
    "slices": SLICES,
    "pd_estimate": {
        "rank_correlation": {
            "units": {"value": 0.62, "interval": [0.6, 0.64]},
            "summaries": {"value": 0.55, "interval": [0.53, 0.57]},
            "prediction_only": {"value": 0.21, "interval": [0.2, 0.23]},
        },
        "rows_fitted": 50_000,
        "rows_tested": 49_000,
        "method": "ridge regression",
    },
    "best_possible": {"auc": 0.8336, "log_loss": 0.3011},
    "history": [
        {"step": 400, "pd": 0.2, "auc": 0.70, "log_loss": 0.40},
        {"step": 1800, "pd": 0.09, "auc": 0.77, "log_loss": 0.34},
    ],
    "layers": [{"name": "dense_0", "pre_activation_rms": 0.62, "transition_share": 0.31}],
    "examples": 1_000_000,
    "examples_per_second": 47123.4,
    "exports": ["export/replica_0/1", "export/replica_1/1"],
}


MANIFEST: dict[str, Any] = {
    "versions": {"smooth_recs": "0.1.0", "tensorflow": "2.21.0"},
    "seeds": {"seed": 1, "replicas": [11, 12]},
    "data": {
        "fingerprint": "sha256:9c11",
        "rows": 1_100_000,
        "malformed": {"rows": 2, "first": ["log.csv:12: label must be 0 or 1, got '2'", "log.csv:99: empty line"]},
    },
    "command": "python -m smooth_recs.bin.train --config=configs/demo.py",
}


def workdir(
    folder: Path, *, activation: str = "smelu", beta: Any = 0.1, metrics: Any = METRICS, manifest: Any = MANIFEST
) -> str:
    folder.mkdir(parents=True)
    settings = config.Config(model=config.Model(activation=activation, beta=beta)).to_dict()
    for name, content in (("config", settings), ("manifest", manifest), ("metrics", metrics)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return str(folder)


def page_of(tmp_path: Path, *workdirs: str) -> Page:
    output = tmp_path / "out" / "report.html"
    run_report.write(workdirs, str(output))
    return Page(output)


def relu(tmp_path: Path, **pd: Any) -> str:
    metrics = copy.deepcopy(METRICS)
    metrics["pd"].update({"relative": 0.144, "interval": [0.141, 0.147], "pairs": [[0, 1, 0.144]], **pd})
    for replica in metrics["replicas"]:
        replica["auc_loss"] += 0.002
    return workdir(tmp_path / "relu", activation="relu", beta=None, metrics=metrics)
