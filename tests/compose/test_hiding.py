"""Modalities taken out of X, in every form of it."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import FORMS, in_form
from numpy.testing import assert_array_equal

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import drop_modalities, hide


class TestHiding:
    @pytest.mark.parametrize("form", FORMS)
    def test_every_form_hides_the_same(self, data, form):
        X, _ = data
        given, modalities = in_form(X, form)
        expected = np.asarray(drop_modalities(X, 0.5, random_state=3))
        hidden = drop_modalities(given, 0.5, random_state=3, modalities=modalities)
        assert type(hidden) is type(given)
        found = np.column_stack(list(hidden.values())) if isinstance(hidden, dict) else np.asarray(hidden, dtype=float)
        assert_array_equal(found, expected)
        assert_array_equal(np.asarray(X), np.asarray(data[0]))

    def test_rates_and_keep_one(self, rng):
        X = MultimodalData({name: rng.normal(size=(4000, 2)) for name in "abc"})
        kept = drop_modalities(X, 0.5, keep_one=False, random_state=0).present
        # 12,000 draws: the standard error of a rate of a half is 0.0046.
        assert abs(kept.mean() - 0.5) < 3 * 0.0046 and not kept.any(axis=1).all()
        assert drop_modalities(X, 1.0, random_state=0).present.sum(axis=1).tolist() == [1] * 4000
        assert not drop_modalities(X, 1.0, keep_one=False).present.any()

    def test_only_what_is_observed_is_kept(self, data):
        X, _ = data
        kept = drop_modalities(X, 0.7, random_state=0).present
        assert not (kept & ~X.present).any()
        assert_array_equal(kept.any(axis=1), X.present.any(axis=1))

    def test_raw_and_integer_modalities(self):
        X = MultimodalData({"text": np.array(["a", "b"], dtype=object), "count": np.array([[1], [2]])})
        hidden = hide(X, ["text", "count"])
        assert hidden["text"].tolist() == [None, None] and np.isnan(hidden["count"]).all()
        assert X["text"].tolist() == ["a", "b"]

    @pytest.mark.parametrize("library", [pd, pl])
    def test_frames_keep_other_columns(self, library):
        frame = library.DataFrame({"id": [1, 2], "x": [1.0, 2.0]})
        hidden = hide(frame, "m", modalities={"m": ["x"]})
        assert hidden["id"].to_list() == [1, 2] and not np.isfinite(hidden["x"].to_numpy()).any()

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda X: drop_modalities(X, 1.5), "rate must be a probability in [0, 1]. Got 1.5."),
            (lambda X: hide(X, "aa"), "Unknown modality 'aa'; did you mean 'a'? Modalities: 'a', 'b', 'c'."),
            (lambda X: hide(np.asarray(X), "a"), "X has columns of one table, so its modalities are unknown; give modalities=, e.g. {'image': slice(0, 512), 'audio': slice(512, 576)}."),
        ],
    )  # fmt: skip
    def test_refused(self, data, call, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call(data[0])


def test_mappings_that_cannot_be_built_from_keywords(tmp_path, data):
    X, _ = data
    np.savez(tmp_path / "x.npz", **X)
    with np.load(tmp_path / "x.npz") as stored:
        assert set(drop_modalities(stored, 0.5, random_state=0)) == {"a", "b", "c"}
