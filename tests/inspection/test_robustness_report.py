"""The report in one page: its tables, its pictures and its names."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import fast_classifier
from numpy.testing import assert_array_equal
from sklearn.ensemble import HistGradientBoostingClassifier

from sklearn_aecf.inspection import robustness_report
from sklearn_aecf.metrics import subset_report

pytestmark = [
    pytest.mark.usefixtures("closed_figures"),
    pytest.mark.filterwarnings("ignore:.*no observed modality"),
]


class TestReport:
    def test_bundles_and_writes(self, trained, data, tmp_path):
        X, y = data
        report = robustness_report(trained, X, y)
        assert_array_equal(report.tables["Each subset of modalities"]["ece"], subset_report(trained, X, y)["ece"])
        assert set(report.displays) >= {"Score against drop rate", "Gate weights", "What the data has"}
        report.to_html(tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text()
        assert page == report.to_html() and page.count("data:image/png;base64,") == len(report.displays)
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
        assert report._repr_html_() in page
        assert plt.get_fignums() == []

    def test_other_classifiers_and_multilabel(self, data):
        X, y = data
        flat = np.asarray(X)
        boosting = HistGradientBoostingClassifier(max_iter=3).fit(flat, y)
        report = robustness_report(boosting, flat, y, modalities=X.column_groups(), scoring="neg_log_loss")
        assert "Gate weights" not in report.displays
        Y = np.eye(3)[y]
        robustness_report(fast_classifier().fit(X, Y), X, Y)

    def test_names_are_escaped(self, data):
        X, y = data
        named = {"<script>alert(1)</script>": X["a"], "b": X["b"]}
        assert "<script>alert" not in robustness_report(fast_classifier().fit(named, y), named, y).to_html()
