"""CHANGELOG.md as a page: its headings, paragraphs, lists, code and links are all the Markdown that it uses."""

import re
from pathlib import Path

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"
UNDERLINES = {1: "=", 2: "-", 3: "~"}


def as_page(markdown):
    """Markdown of a changelog as reStructuredText."""
    lines = []
    for line in markdown.splitlines():
        text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line)
        text = re.sub(r"\[([^\]]+)\]\((https?://[^)]+)\)", r"`\1 <\2>`__", text)
        heading = re.match(r"(#+) (.*)", text)
        lines += [heading[2], UNDERLINES[len(heading[1])] * len(heading[2])] if heading else [text]
    return "\n".join(lines) + "\n"


def write_page(target):
    """Write the page."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(as_page(CHANGELOG.read_text(encoding="utf-8")), encoding="utf-8")
