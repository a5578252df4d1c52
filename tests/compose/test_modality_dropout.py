"""Modalities hidden on purpose, as a step before any classifier."""

import pickle
import re

import numpy as np
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline

from sklearn_aecf.compose import ModalityDropout, drop_modalities


class TestModalityDropout:
    @pytest.mark.parametrize(
        ("when", "at_fit", "at_transform"), [("fit", True, False), ("transform", False, True), ("both", True, True)]
    )
    def test_when(self, data, when, at_fit, at_transform):
        X, y = data
        dropout = ModalityDropout(0.5, when=when, random_state=0)
        hidden = drop_modalities(X, 0.5, random_state=0)
        assert dropout.fit_transform(X, y) == (hidden if at_fit else X)
        assert dropout.fit(X).transform(X) == (hidden if at_transform else X)

    @pytest.mark.parametrize("form", FORMS)
    def test_augment_every_form(self, data, form):
        X, y = data
        given, modalities = in_form(X, form)
        more, y_more = ModalityDropout(0.5, modalities=modalities, random_state=0).augment(given, y, n_copies=2)
        assert type(more) is type(given)
        assert_array_equal(y_more, np.tile(y, 3))
        values = np.column_stack(list(more.values())) if isinstance(more, dict) else np.asarray(more, dtype=float)
        assert_array_equal(values[:150], np.asarray(X))
        assert np.isnan(values[150:]).mean() > np.isnan(values[:150]).mean() + 0.15

    def test_makes_boosting_robust(self, data):
        X, y = data
        hidden = drop_modalities(X, 0.6, random_state=1)
        more, y_more = ModalityDropout(0.6, random_state=0).augment(X, y, n_copies=3)
        boosting = HistGradientBoostingClassifier(max_iter=20, random_state=0)
        plain = clone(boosting).fit(np.asarray(X), y).score(np.asarray(hidden), y)
        assert boosting.fit(np.asarray(more), y_more).score(np.asarray(hidden), y) > plain

    def test_in_a_pipeline(self, data):
        X, y = data
        pipeline = make_pipeline(ModalityDropout(0.3, random_state=0), fast_classifier())
        assert pipeline.fit(X, y).predict_proba(X).shape == (150, 3)
        assert pickle.loads(pickle.dumps(pipeline)).predict_proba(X).shape == (150, 3)

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda X, y: ModalityDropout(when="never").fit(X), "when must be 'fit', 'transform' or 'both'. Got 'never'."),
            (lambda X, y: ModalityDropout(2).fit_transform(X), "rate must be a probability in [0, 1]. Got 2."),
            (lambda X, y: ModalityDropout().augment(X, y, n_copies=0), "n_copies must be at least 1. Got 0."),
        ],
    )  # fmt: skip
    def test_refused(self, data, call, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call(*data)
