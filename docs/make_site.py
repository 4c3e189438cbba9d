"""Makes a site of the documentation: README, docs, and the API reference, to be read without a network.

  python docs/make_site.py                        dist/site, with the whole reference by pdoc
  python docs/make_site.py --output=/tmp/site --no-reference

The pages are those of the repository, laid out as they lie there. A link that leads nowhere, a heading that is missing
and a page that the contents in mkdocs.yml lack are errors. Formulas become MathML, which browsers show themselves.
"""

from __future__ import annotations

import argparse
import logging
import pathlib
import re
import runpy
import shutil
import tempfile
from urllib.parse import unquote

import latex2mathml.converter
from mkdocs.commands import build
from mkdocs.config import load_config

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DISPLAYED = re.compile(r"^\$\$(.*?)\$\$$", re.MULTILINE | re.DOTALL)
TAG = re.compile(r"\s*\\tag\{(.*?)\}")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def pages() -> list[pathlib.Path]:
    """Every page, by its path in the repository."""
    names = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md")
    return [pathlib.Path(name) for name in names] + sorted(
        path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md")
    )


def mathml(text: str) -> str:
    """The page with its formulas as MathML; a tag, such as the number of an equation, stands beside its own."""

    def formula(match: re.Match[str]) -> str:
        source, tag = TAG.sub("", match[1].strip()), TAG.search(match[1])
        shown = latex2mathml.converter.convert(source, display="block").replace("\n", " ")
        return f'\n<div class="formula">{shown}{f"<p>({tag[1]})</p>" if tag else ""}</div>\n'

    return DISPLAYED.sub(formula, FENCED.sub(formula, text))


def lay_out(folder: pathlib.Path) -> None:
    """Writes the pages into `folder`, and copies what they link or show: pictures, tables, sources."""
    there = pages()
    for page in there:
        text = (ROOT / page).read_text("utf-8")
        for target in LINK.findall(text):
            if ":" in target:
                continue
            linked = (ROOT / page.parent / unquote(target)).resolve()
            if linked.is_file() and linked.relative_to(ROOT) not in there:
                copy = folder / linked.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(linked, copy)
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        (folder / page).write_text(mathml(text), "utf-8")
    shutil.copyfile(ROOT / "docs" / "site.css", folder / "docs" / "site.css")


def add_reference(folder: pathlib.Path) -> None:
    """Writes the whole API reference into `folder`/reference, and links it from the page that lists its names."""
    runpy.run_path(str(ROOT / "docs" / "make_api.py"))["write_html"](folder / "reference")
    front = folder / "reference" / "index.html"
    back = '<p><a href="../docs/api.html">To the documentation</a></p>'
    front.write_text(front.read_text("utf-8").replace("</h1>", f"</h1>\n{back}", 1), "utf-8")
    page = folder / "docs" / "api.md"
    text = page.read_text("utf-8").replace("# API\n", "# API\n\n[The whole reference](../reference/index.html)\n", 1)
    page.write_text(text, "utf-8")


def make(output: pathlib.Path, *, reference: bool) -> None:
    """Builds the site.

    Raises:
      mkdocs.exceptions.Abort: a link, a heading or an entry of the contents leads nowhere.
    """
    with tempfile.TemporaryDirectory() as folder:
        lay_out(pathlib.Path(folder))
        if reference:
            add_reference(pathlib.Path(folder))
        build.build(load_config(str(ROOT / "mkdocs.yml"), docs_dir=folder, site_dir=str(output), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "dist" / "site", help="folder of the site")
    parser.add_argument("--no-reference", action="store_true", help="leave out the API reference, which takes longest")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    make(arguments.output.resolve(), reference=not arguments.no_reference)
    print(f"site       {arguments.output / 'index.html'}")


if __name__ == "__main__":
    main()
