"""One page on what a classifier does when modalities are missing or broken."""

import base64
import html
import io
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sklearn_aecf._data import form_of
from sklearn_aecf.inspection._drop_rate import DropRateDisplay
from sklearn_aecf.inspection._gate import GateDisplay
from sklearn_aecf.inspection._importance import modality_importance
from sklearn_aecf.inspection._missingness import MissingnessDisplay
from sklearn_aecf.inspection._reliability import ReliabilityDisplay
from sklearn_aecf.inspection._subsets import SubsetDisplay
from sklearn_aecf.metrics import corruption_report, monotonicity_report, subset_report
from sklearn_aecf.metrics._inside import modalities_of, unwrapped

_STYLE = """
.aecf-report {font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 0 auto; padding: 0 1rem}
.aecf-report h1 {font-size: 1.5rem} .aecf-report h2 {font-size: 1.15rem; margin-top: 2rem}
.aecf-report table {border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px}
.aecf-report th, .aecf-report td {padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #e5e5e5}
.aecf-report th:first-child, .aecf-report td:first-child {text-align: left}
.aecf-report th button {all: unset; cursor: pointer; font-weight: 600}
.aecf-report th button:focus-visible {outline: 2px solid #0072B2}
.aecf-report th[aria-sort=ascending] button::after {content: " \\25B2"}
.aecf-report th[aria-sort=descending] button::after {content: " \\25BC"}
.aecf-report img {max-width: 100%; height: auto}
.aecf-report .numbers {display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; padding: 0}
.aecf-report .numbers div {list-style: none} .aecf-report .numbers b {display: block; font-size: 1.3rem}
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


@dataclass
class RobustnessReport:
    """Tables and pictures on how a classifier bears missing and broken modalities.

    Attributes
    ----------
    title : str
    numbers : dict of str to str
        What stands at the top.
    tables : dict of str to dict of str to ndarray
        Columns of each table: ``"subsets"``, ``"importance"``, ``"monotonicity"``.
    displays : dict of str to Display
    """

    title: str
    numbers: dict
    tables: dict
    displays: dict = field(repr=False)

    def to_html(self, path=None):
        """Write one page that needs no network: pictures embedded, tables sortable.

        Parameters
        ----------
        path : str or path-like, default=None
            Where to write it; None returns the page.

        Returns
        -------
        str or None
        """
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title></head><body>{self._repr_html_()}</body></html>"
        )
        if path is None:
            return page
        with open(path, "w", encoding="utf-8") as file:
            file.write(page)
        return None

    @cached_property
    def _images(self):
        return {name: _picture(display, name) for name, display in self.displays.items()}

    def _repr_html_(self):
        numbers = "".join(f"<div>{html.escape(k)}<b>{html.escape(v)}</b></div>" for k, v in self.numbers.items())
        tables = "".join(f"<h2>{html.escape(name)}</h2>{_table(columns)}" for name, columns in self.tables.items())
        pictures = "".join(f"<h2>{html.escape(name)}</h2>{image}" for name, image in self._images.items())
        return (
            f'<style>{_STYLE}</style><div class="aecf-report"><h1>{html.escape(self.title)}</h1>'
            f'<div class="numbers">{numbers}</div>{pictures}{tables}</div><script>{_SCRIPT}</script>'
        )


def robustness_report(estimator, X, y, *, scoring=None, n_repeats=3, random_state=0, modalities=None):
    """Bundle the measures and pictures of robustness to missing and broken modalities.

    Parameters
    ----------
    estimator : fitted classifier with ``predict_proba``
    X : dict, MultimodalData, array-like or DataFrame
        Rows that the estimator was not fitted on.
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
    scoring : str or None, default=None
        None is accuracy.
    n_repeats : int, default=3
        Draws a drop rate.
    random_state : int, RandomState instance or None, default=0
    modalities : dict of str to columns, default=None
        Column groups, where X is an array or DataFrame and the estimator does not know them.

    Returns
    -------
    RobustnessReport
        With ``to_html(path)``; a notebook shows it as it is.

    Examples
    --------
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> from sklearn_aecf.inspection import robustness_report
    >>> X, y = make_multimodal_classification(200, random_state=0)
    >>> report = robustness_report(AECFClassifier(max_epochs=3, random_state=0).fit(X, y), X, y)
    >>> list(report.tables)[2:]
    ['Confidence without a modality', 'What if a sensor lies']
    """
    from sklearn.utils._optional_dependencies import check_matplotlib_support

    check_matplotlib_support("robustness_report")
    import matplotlib.pyplot as plt

    name = type(estimator).__name__
    estimator, X = unwrapped(estimator, X)
    subsets = subset_report(estimator, X, y, scoring=scoring, modalities=modalities)
    importance = modality_importance(
        estimator, X, y, scoring=scoring, method="shapley", random_state=random_state, modalities=modalities
    )
    tables = {
        "Each subset of modalities": subsets,
        "Importance of each modality": {
            "modality": np.array(importance.modality_names),
            "shapley": importance.importances_mean,
            "std. error": importance.importances_sem,
        },
    }
    score = "accuracy" if scoring is None else scoring
    worst = int(np.nanargmin(subsets[score]))
    numbers = {
        "rows": str(len(np.asarray(y))),
        f"{score}, all modalities": f"{subsets[score][0]:.3f}",
        f"{score}, worst subset ({subsets['subset'][worst]})": f"{subsets[score][worst]:.3f}",
        "ECE, all modalities": f"{subsets['ece'][0]:.3f}",
        "ECE, largest": f"{np.nanmax(subsets['ece']):.3f}",
    }
    if len(importance.modality_names) > 1:
        monotone = monotonicity_report(estimator, X, modalities=modalities)
        tables["Confidence without a modality"] = monotone.pairs
        numbers["rows surer with less"] = f"{monotone.violation_rate:.1%}"
        lying = _lying(estimator, X, y, random_state, modalities)
        if lying is not None:
            tables["What if a sensor lies"] = lying
            worst = int(np.nanargmin(lying["lying"]))
            label = f"accuracy, {lying['modality'][worst]} lying ({lying['kind'][worst]})"
            numbers[label] = f"{lying['lying'][worst]:.3f} (missing: {lying['missing'][worst]:.3f})"
    with plt.ioff():
        displays = _displays(estimator, X, y, scoring, n_repeats, random_state, modalities, subsets, score, importance)
    return RobustnessReport(f"{name} without some modalities", numbers, tables, displays)


def _lying(estimator, X, y, random_state, modalities):
    """The report on corruption, or None where no modality is made of numbers or no row has two."""
    names, _ = (form := form_of(X, modalities_of(estimator, X, modalities))).presence()
    if all(form.values(name).dtype.kind not in "biuf" for name in names):
        return None
    report = corruption_report(estimator, X, y, random_state=random_state, modalities=modalities)
    return None if np.isnan(report["lying"]).all() else report


def _displays(estimator, X, y, scoring, n_repeats, random_state, modalities, subsets, score, importance):
    import matplotlib.pyplot as plt

    displays = {
        "Score against drop rate": DropRateDisplay.from_estimator(
            estimator, X, y, scoring=scoring, n_repeats=n_repeats, random_state=random_state, modalities=modalities
        ),
        "Score of each subset": SubsetDisplay(subsets, importance.modality_names, score=score).plot(),
        "Reliability by number of modalities": ReliabilityDisplay.from_estimator(
            estimator, X, y, random_state=random_state, modalities=modalities
        ),
    }
    if hasattr(estimator, "gate_weights"):
        displays["Gate weights"] = GateDisplay.from_estimator(estimator, X, y, modalities=modalities)
    displays["What the data has"] = MissingnessDisplay.from_data(X, modalities=modalities_of(estimator, X, modalities))
    for display in displays.values():
        plt.close(display.figure_)
    return displays


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


def _picture(display, name):
    stream = io.BytesIO()
    display.figure_.savefig(stream, format="png", dpi=110, bbox_inches="tight")
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{data}">'
