"""A frozen encoder in scikit-learn: clones, pickles, names, pipelines and searches."""

import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import fast_classifier
from encoder_helpers import Counted, Tokens, Tower, cpu, to_tensor, tokenize
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import ModalityTransformer

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def counted(tmp_path):
    return Counted(tmp_path / "calls.txt")


class TestInScikitLearn:
    def test_clone_shares_the_module(self, counted, vectors):
        encoder = cpu(counted, batch_size=3).set_output(transform="pandas").fit(vectors)
        copied = clone(encoder)
        assert copied.module is counted and copied.batch_size == 3 and not hasattr(copied, "n_features_out_")
        assert isinstance(copied.fit_transform(vectors), pd.DataFrame)
        nested = clone(make_pipeline(ModalityTransformer({"image": {"small": encoder}}), fast_classifier()))
        assert nested[0].transformers["image"]["small"].module is counted
        assert encoder.module is counted and encoder.n_features_out_ == 4

    def test_pickle(self, counted, vectors):
        encoder = cpu(counted).fit(vectors)
        assert_allclose(pickle.loads(pickle.dumps(encoder)).transform(vectors), encoder.transform(vectors))

    def test_names_and_output(self, counted, vectors):
        encoder = cpu(counted).set_output(transform="pandas")
        frame = encoder.fit_transform(pd.DataFrame(vectors, index=range(5, 15)))
        assert frame.columns.tolist() == [f"frozenencoder{i}" for i in range(4)] and frame.index[0] == 5
        assert encoder.get_feature_names_out().tolist() == frame.columns.tolist()

    def test_fit_looks_at_one_item(self, counted, vectors):
        encoder = cpu(counted).fit(vectors)
        assert counted.seen() == 1 and encoder.n_features_out_ == 4
        with pytest.raises(NotFittedError):
            clone(encoder).transform(vectors)

    def test_with_the_classifier(self, paths, tmp_path):
        n_rows = 40
        y = np.arange(n_rows) % 2
        image = np.array([paths[i] for i in y], dtype=object)
        text = np.array(["aaa", "bbbbb"], dtype=object)[y]
        image[::5], text[3::5] = None, None
        X = MultimodalData({"image": image, "text": text, "labs": np.ones((n_rows, 2))})
        encoders = ModalityTransformer(
            {
                "image": cpu(Tower(), preprocess=to_tensor, cache=tmp_path / "cache"),
                "text": cpu(Tokens(), preprocess=tokenize, batched=True, cache=tmp_path / "cache"),
            }
        )
        out = encoders.fit_transform(X)
        assert_array_equal(out.present, X.present)
        assert encoders.get_feature_names_out()[0] == "image__frozenencoder0"
        pipeline = make_pipeline(encoders, fast_classifier(max_epochs=40))
        grid = {"modalitytransformer__text__pooling": ["mean", "cls"]}
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
        assert search.best_score_ > 0.9
        assert search.predict_proba(X[:3]).shape == (3, 2)
        frame = pd.DataFrame({"image": image, "text": text})
        encoders = ModalityTransformer(encoders.transformers, modalities={"image": "image", "text": "text"})
        assert_allclose(encoders.fit_transform(frame)["text"], out["text"])
