"""The report as one page of HTML that needs no network: on a screen, and on paper of A4."""

import base64
import html
import io

import numpy as np

_STYLE = """
.aecf-report {font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: #222832; background: #fff;
  max-width: 60rem; margin: 0 auto; padding: 0 1rem 2rem}
.aecf-report h1 {font-size: 1.6rem; line-height: 1.2; margin: 1.2rem 0 .2rem}
.aecf-report h2 {font-size: 1.15rem; margin: 2.2rem 0 .2rem; padding-top: .6rem; border-top: 1px solid #d1d5da}
.aecf-report p {max-width: 46rem; margin: .3rem 0 .8rem; color: #48566b; font-size: 14px}
.aecf-report nav {display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: 14px; margin-bottom: 1rem}
.aecf-report nav a {color: #0072B2; text-decoration: none} .aecf-report nav a:hover {text-decoration: underline}
.aecf-report .short {border-left: 4px solid #0072B2; background: #f3f7fb; padding: .6rem 1rem .6rem 2.2rem;
  margin: 1rem 0; font-size: 16px; max-width: 46rem} .aecf-report .short li {margin: .3rem 0}
.aecf-report .numbers {display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .6rem}
.aecf-report .numbers div {border: 1px solid #d1d5da; border-radius: 6px; padding: .5rem .8rem; color: #48566b;
  font-size: 13px; overflow-wrap: anywhere}
.aecf-report .numbers b {display: block; font-size: 1.25rem; line-height: 1.3; color: #222832}
.aecf-report .scroll {overflow-x: auto}
.aecf-report table {border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; color: #222832}
.aecf-report th, .aecf-report td {padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #e5e5e5;
  background: #fff}
.aecf-report th {border-bottom: 2px solid #48566b; vertical-align: bottom}
.aecf-report tbody tr:hover td {background: #f3f7fb}
.aecf-report th:first-child, .aecf-report td:first-child {text-align: left}
.aecf-report td:first-child {min-width: 14rem}
.aecf-report th button {all: unset; cursor: pointer; font-weight: 600}
.aecf-report th button:focus-visible {outline: 2px solid #0072B2}
.aecf-report th[aria-sort=ascending] button::after {content: " \\25B2"}
.aecf-report th[aria-sort=descending] button::after {content: " \\25BC"}
.aecf-report img {max-width: 100%; height: auto}
@page {size: A4; margin: 14mm}
@media print {
  .aecf-report {font-size: 11pt; max-width: none; padding: 0} .aecf-report nav {display: none}
  .aecf-report h2 {break-after: avoid} .aecf-report .drawn, .aecf-report tr {break-inside: avoid}
  .aecf-report .drawn img {max-height: 95mm} .aecf-report .numbers div {break-inside: avoid}
  .aecf-report table {font-size: 8.5pt; width: 100%} .aecf-report td:first-child {min-width: 0}
  .aecf-report th, .aecf-report td {padding: .1rem .3rem} .aecf-report .scroll {overflow: visible}
}
"""

_SCRIPT = """
for (const table of document.querySelectorAll(".aecf-report table:not([data-ready])")) {
  table.dataset.ready = "1";
  table.querySelectorAll("th").forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "descending" && head.hasAttribute("aria-sort") ? false : true;
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const body = table.tBodies[0];
    [...body.rows].sort((one, two) => {
      const a = key(one), b = key(two), order = isNaN(a - b) ? a.localeCompare(b) : a - b;
      return up ? order : -order;
    }).forEach(row => body.append(row));
  }));
}
"""


def report_as_html(report, images):
    """The report without the frame of a page, as a notebook shows it.

    Parameters
    ----------
    report : RobustnessReport
    images : dict of str to str
        What `picture` made of each display, by heading.

    Returns
    -------
    str
    """
    numbers = "".join(f"<div>{html.escape(k)}<b>{html.escape(v)}</b></div>" for k, v in report.numbers.items())
    short = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in report.summary)
    contents = [(name, "drawn", image) for name, image in images.items()]
    contents += [(name, "scroll", _table(columns)) for name, columns in report.tables.items()]
    links = "".join(f'<a href="#{_anchor(n)}">{html.escape(name)}</a>' for n, (name, *_) in enumerate(contents))
    sections = "".join(
        f'<section id="{_anchor(n)}" class="{kind}"><h2>{html.escape(name)}</h2>{_caption(report, name)}{content}'
        "</section>"
        for n, (name, kind, content) in enumerate(contents)
    )
    return (
        f'<style>{_STYLE}</style><div class="aecf-report"><h1>{html.escape(report.title)}</h1>'
        + (f'<ul class="short">{short}</ul>' if short else "")
        + f'<nav>{links}</nav><div class="numbers">{numbers}</div>{_caption(report, "numbers")}{sections}</div>'
        f"<script>{_SCRIPT}</script>"
    )


def as_page(title, body):
    """A whole document."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title></head><body>{body}</body></html>"
    )


def picture(display, name):
    """The figure of a display as an image that the page carries itself."""
    stream = io.BytesIO()
    display.figure_.savefig(stream, format="png", dpi=110, bbox_inches="tight")
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{data}">'


def _anchor(n):
    # Headings may hold anything.
    return f"aecf-section-{n + 1}"


def _caption(report, name):
    return f"<p>{html.escape(report.captions[name])}</p>" if name in report.captions else ""


def _table(columns):
    heads = "".join(
        f"<th scope=col><button>{html.escape(str(name).replace('_', ' '))}</button></th>" for name in columns
    )
    rows = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in zip(*columns.values(), strict=True))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value):
    if isinstance(value, float | np.floating):
        return f'<td data-value="{value}">{"" if np.isnan(value) else f"{value:.3f}"}</td>'
    return f"<td>{html.escape(str(value))}</td>"
