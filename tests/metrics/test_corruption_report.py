"""What happens when one modality lies, in a table."""

import numpy as np
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose
from sklearn.ensemble import HistGradientBoostingClassifier

from sklearn_aecf.compose import corrupt_modalities, hide
from sklearn_aecf.metrics import corruption_report


@pytest.mark.parametrize("form", FORMS)
def test_numbers_are_those_of_the_parts(data, form):
    X, y = data
    given, modalities = in_form(X, form)
    clf = fast_classifier(modalities=modalities).fit(given, y)
    report = corruption_report(clf, given, y, kinds=["dead", "saturated"])
    assert report["modality"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert report["kind"].tolist() == ["dead", "saturated"] * 3
    several = X.present.sum(axis=1) > 1
    rows = X.present[:, 1] & several
    broken = np.zeros_like(X.present)
    broken[rows, 1] = True
    lying = corrupt_modalities(X, broken, kind="dead")
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(UserWarning)
        predicted = fast_classifier().fit(X, y)
        assert_allclose(report["n_rows"][2], rows.sum())
        assert_allclose(report["genuine"][2], predicted.score(X[rows], y[rows]), atol=0.02)
        assert_allclose(report["missing"][2], predicted.score(hide(X, "b")[rows], y[rows]), atol=0.02)
        assert_allclose(report["lying"][2], predicted.score(lying[rows], y[rows]), atol=0.02)
    assert ((report["noticed"] >= 0) & (report["noticed"] <= 1)).all()


def test_other_classifiers_notice_nothing(data):
    X, y = data
    boosting = HistGradientBoostingClassifier(max_iter=5).fit(np.asarray(X), y)
    report = corruption_report(boosting, np.asarray(X), y, kinds=["noise"], modalities=X.column_groups())
    assert np.isnan(report["noticed"]).all() and np.isfinite(report["lying"]).all()
    off = fast_classifier(corruption_rate=0).fit(X, y)
    assert np.isnan(corruption_report(off, X, y, kinds=["noise"])["noticed"]).all()


def test_a_single_modality_leaves_nothing_to_compare(data):
    X, y = data
    rows = X.present[:, 0]
    one = {"a": X["a"][rows]}
    report = corruption_report(fast_classifier().fit(one, y[rows]), one, y[rows], kinds=["noise"])
    assert report["n_rows"].tolist() == [0] and np.isnan(report["lying"]).all()


def test_order_of_x_need_not_be_that_of_the_fit(data):
    X, y = data
    clf = fast_classifier().fit(X, y)
    turned = {name: X[name] for name in ("c", "a", "b")}
    report = corruption_report(clf, turned, y, kinds=["saturated"])
    expected = corruption_report(clf, X, y, kinds=["saturated"])
    order = [expected["modality"].tolist().index(name) for name in report["modality"]]
    assert_allclose(report["noticed"], expected["noticed"][order])


def test_what_is_left_out_and_what_is_refused(data):
    X, y = data
    texts = {**X, "text": np.array(["yes", "no", None] * 50, dtype=object)}

    class Ignoring(HistGradientBoostingClassifier):
        def predict_proba(self, X):
            return super().predict_proba(np.column_stack([X[name] for name in "abc"]))

    boosting = Ignoring(max_iter=5).fit(np.asarray(X), y)
    report = corruption_report(boosting, texts, y, kinds="noise")
    assert report["modality"].tolist() == ["a", "b", "c"]
    with pytest.raises(
        ValueError, match=r"^X has no modality that is made of numbers, so that no sensor of it can be b"
    ):
        corruption_report(boosting, {"text": texts["text"]}, y)
    for kinds, found in (([], "none"), ("nois", "'nois'"), ([["noise"]], r"\['noise'\]")):
        with pytest.raises(ValueError, match=rf"^kind must be among noise, .*, blended\. Got {found}\.$"):
            corruption_report(boosting, X, y, kinds=kinds)


def test_a_modality_that_training_never_had(data):
    X, y = data
    clf = fast_classifier().fit({**X, "new": np.full((150, 2), np.nan)}, y)
    report = corruption_report(clf, {**X, "new": np.ones((150, 2))}, y, kinds=["dead"])
    assert np.isnan(report["noticed"][-1]) and np.isfinite(report["noticed"][:-1]).all()
