"""A transformer per modality."""

import pickle
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import FORMS, fast_classifier, in_form
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_aecf import MultimodalData
from sklearn_aecf.compose import ModalityTransformer


class TestModalityTransformer:
    def test_fits_and_transforms_observed_rows_only(self, data):
        X, _ = data
        transformer = ModalityTransformer({"a": PCA(3, random_state=0)})
        out = transformer.fit_transform(X)
        seen = X.present[:, 0]
        expected = PCA(3, random_state=0).fit(X["a"][seen])
        assert_allclose(out["a"][seen], expected.transform(X["a"][seen]), atol=1e-6)
        assert_array_equal(out.present, X.present)
        assert_array_equal(out["b"], X["b"])
        assert_allclose(transformer.transform(X)["a"], out["a"], atol=1e-6)

    def test_grammar_of_merging_splitting_renaming_dropping(self, data):
        X, _ = data
        transformer = ModalityTransformer(
            {
                ("a", "b"): PCA(2),
                "a": {"first": PCA(1), "whole": "passthrough"},
                "c": "drop",
                "b": {"audio": StandardScaler()},
            }
        )
        out = transformer.fit_transform(X)
        assert out.names == ("a+b", "first", "whole", "audio")
        assert_array_equal(out.present[:, 0], X.present[:, :2].all(axis=1))
        assert_array_equal(out["whole"], X["a"])

    def test_remainder(self, data):
        X, _ = data
        assert ModalityTransformer({"a": PCA(1)}, remainder="drop").fit_transform(X).names == ("a",)
        assert ModalityTransformer({"b": PCA(1)}).fit_transform(X).names == ("b", "a", "c")

    def test_missing_at_transform(self, data):
        X, _ = data
        transformer = ModalityTransformer({"a": PCA(3), ("b", "c"): StandardScaler()}).fit(X)
        out = transformer.transform({"b": X["b"], "c": X["c"]})
        assert out["a"].shape == (150, 3) and not out.present[:, 0].any()
        with pytest.raises(ValueError, match="Unknown modality 'aa'; did you mean 'a'?"):
            transformer.transform({"aa": X["a"]})

    def test_parameters_reach_inside(self, data):
        X, y = data
        pipeline = make_pipeline(ModalityTransformer({"a": PCA(), ("b", "c"): {"bc": PCA()}}), fast_classifier())
        grid = {"modalitytransformer__a__n_components": [1, 2], "modalitytransformer__bc__n_components": [3]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
        assert search.best_estimator_[0].transform(X)["bc"].shape == (150, 3)
        transformer = ModalityTransformer({"a": PCA(3), "b": {"x": PCA()}})
        transformer.set_params(a=StandardScaler(), x__n_components=2)
        assert isinstance(transformer.transformers["a"], StandardScaler)
        assert transformer.transformers["b"]["x"].n_components == 2
        assert clone(transformer).get_params()["x__n_components"] == 2

    def test_fit_leaves_the_given_transformers_alone(self, data):
        pca = PCA(2)
        ModalityTransformer({"a": pca}).fit(data[0])
        assert not hasattr(pca, "components_")

    def test_supervised_transformers_get_their_rows_of_y(self, data):
        X, y = data
        out = ModalityTransformer({"a": SelectKBest(k=2)}).fit_transform(X, y)
        seen = X.present[:, 0]
        assert_array_equal(out["a"][seen], SelectKBest(k=2).fit_transform(X["a"][seen], y[seen]))

    def test_feature_names_and_output(self, data):
        X, _ = data
        transformer = ModalityTransformer({"a": PCA(2), "b": "passthrough"}, remainder="drop").fit(X)
        names = ["a__pca0", "a__pca1", "b__0", "b__1", "b__2", "b__3"]
        assert transformer.get_feature_names_out().tolist() == names
        frame = transformer.set_output(transform="pandas").transform(X)
        assert frame.columns.tolist()[:3] == [("a", "pca0"), ("a", "pca1"), ("b", "0")]
        with config_context(transform_output="pandas"):
            assert isinstance(ModalityTransformer({"a": PCA(2)}).fit_transform(X), pd.DataFrame)
        assert isinstance(transformer.set_output(transform="default").transform(X), MultimodalData)
        message = r"^transform must be 'default', 'pandas', 'polars' or None\. Got 'numpy'\.$"
        with pytest.raises(ValueError, match=message):
            transformer.set_output(transform="numpy")

    def test_pandas_output_keeps_the_index(self, data):
        X, groups = in_form(data[0], "pandas")
        X.index = [f"patient {i}" for i in range(len(X))]
        transformer = ModalityTransformer({"a": PCA(2)}, modalities=groups).set_output(transform="pandas")
        assert transformer.fit_transform(X).index.equals(X.index)
        assert transformer.transform(X[::-1]).index.equals(X.index[::-1])
        frames = {name: X[columns] for name, columns in groups.items()}
        assert ModalityTransformer(PCA(2)).set_output(transform="pandas").fit_transform(frames).index.equals(X.index)

    def test_polars_output_goes_into_the_classifier(self, data):
        X, y = data
        transformer = ModalityTransformer({"a": PCA(2)}).fit(X)
        expected = fast_classifier().fit(transformer.transform(X), y).predict_proba(transformer.transform(X))
        frame = transformer.set_output(transform="polars").transform(X)
        assert frame.columns == transformer.get_feature_names_out().tolist()
        clf = fast_classifier(modalities={name: f"{name}__*" for name in X}).fit(frame, y)
        assert_allclose(clf.predict_proba(frame), expected, atol=1e-6)
        with config_context(transform_output="polars"):
            assert isinstance(ModalityTransformer({"a": PCA(2)}).fit_transform(X), pl.DataFrame)

    def test_polars_output_with_text(self):
        X = pl.DataFrame({"sex": ["f", None, "m"], "age": [3.0, 4.0, None]})
        transformer = ModalityTransformer({}, modalities={"who": ["sex"], "how": ["age"]})
        frame = transformer.set_output(transform="polars").fit_transform(X)
        assert frame["who__sex"].to_list() == ["f", None, "m"]
        assert_array_equal(frame["how__age"].to_numpy(), [3.0, 4.0, np.nan])

    def test_output_names_are_unique(self):
        a, b = pd.DataFrame(np.eye(4)[:, :2], columns=["x", "b_x"]), pd.DataFrame(np.eye(4)[:, :1], columns=["x"])
        merged = ModalityTransformer({("a", "b"): {"m": "passthrough"}}).fit({"a": a, "b": b})
        assert merged.get_feature_names_out().tolist() == ["m__a_x", "m__a_b_x", "m__b_x"]
        message = r"^Modality 'm' has 2 columns named 'a_b_x'; give each a name of its own\.$"
        with pytest.raises(ValueError, match=message):
            ModalityTransformer({("a", "a_b"): {"m": "passthrough"}}).fit({"a": a, "a_b": b})
        alike = ModalityTransformer({}).fit({"a": a.set_axis(["x", "b__x"], axis=1), "a__b": b})
        message = r"^The output has 2 columns named 'a__b__x'; give each a name of its own\.$"
        with pytest.raises(ValueError, match=message):
            alike.get_feature_names_out()

    def test_pandas_output_goes_into_the_classifier(self, data):
        X, y = data
        pipeline = make_pipeline(ModalityTransformer({"a": PCA(2)}).set_output(transform="pandas"), fast_classifier())
        expected = make_pipeline(ModalityTransformer({"a": PCA(2)}), fast_classifier()).fit(X, y).predict_proba(X)
        assert_allclose(pipeline.fit(X, y).predict_proba(X), expected, atol=1e-6)

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_jobs_pickle_and_html(self, data, n_jobs):
        X, _ = data
        transformer = ModalityTransformer({"a": PCA(2), "b": StandardScaler()}, n_jobs=n_jobs).fit(X)
        assert pickle.loads(pickle.dumps(transformer)).transform(X) == transformer.transform(X)
        html = transformer._repr_html_()
        assert "PCA" in html and "StandardScaler" in html and ">a<" in html.replace("\n", "")

    @pytest.mark.parametrize("library", [pd, pl])
    def test_frames_with_a_text_column(self, library, data):
        words = np.array(["good fine", "bad poor", "so so"])
        rng = np.random.default_rng(0)
        y = np.arange(90) % 3
        frame = library.DataFrame(
            {
                "id": np.arange(90),
                "note": [None if i % 7 == 0 else str(words[y[i]]) for i in range(90)],
                "sex": ["f", "m"] * 45,
                "na": rng.normal(size=90),
            }
        )
        transformer = ModalityTransformer(
            {
                "note": make_pipeline(TfidfVectorizer(), TruncatedSVD(2, random_state=0)),
                "labs": {"sex": OneHotEncoder(sparse_output=False)},
            },
            modalities={"note": "note", "labs": ["sex"], "na": ["na"]},
        )
        out = transformer.fit_transform(frame)
        assert out["note"].shape == (90, 2) and out.present[:, 0].sum() == 90 - 13
        pipeline = make_pipeline(transformer, fast_classifier(max_epochs=30)).fit(frame, y)
        assert pipeline.score(frame, y) > 0.8
        without = frame.drop(columns="note") if library is pd else frame.drop("note")
        assert not pipeline[0].transform(without).present[:, 0].any()

    @pytest.mark.parametrize("library", [pd, pl])
    def test_columns_by_name_inside_a_modality(self, library):
        rng = np.random.default_rng(0)
        frame = library.DataFrame(
            {
                "sex": ["f", "m", None] * 30,
                "age": rng.normal(size=90),
                "na": rng.normal(size=90),
                "k": rng.normal(size=90),
            }
        )
        y = (frame["na"].to_numpy() > 0).astype(int)
        person = ColumnTransformer(
            [("sex", OneHotEncoder(sparse_output=False), ["sex"]), ("age", StandardScaler(), ["age"])],
            verbose_feature_names_out=False,
        )
        groups = {"person": ["sex", "age"], "labs": ["na", "k"]}
        transformer = ModalityTransformer({"person": person}, modalities=groups).fit(frame)
        out = transformer.transform(frame)
        assert_allclose(out["person"][:, :2], np.eye(3)[np.arange(90) % 3][:, :2])
        assert transformer.get_feature_names_out().tolist()[-3:] == ["person__age", "labs__na", "labs__k"]
        pipeline = make_pipeline(transformer, fast_classifier()).fit(frame, y)
        expected = pipeline.predict_proba(frame)
        frames = {name: frame[columns] for name, columns in groups.items()}
        for X in (frames, MultimodalData.from_frame(frame, groups), frame[["k", "na", "age", "sex"]]):
            assert_array_equal(pipeline.predict_proba(X), expected)

    def test_columns_by_kind_in_frames_of_a_dict(self):
        frame = pd.DataFrame({"sex": ["f", "m"] * 20, "age": np.arange(40.0)})
        person = make_column_transformer(
            (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
            (StandardScaler(), make_column_selector(dtype_include="number")),
        )
        out = ModalityTransformer({"p": person}).fit_transform({"p": frame, "x": np.ones((40, 1))})
        assert_allclose(out["p"][:, 1], np.arange(40) % 2)
        two_level = frame.set_axis(pd.MultiIndex.from_product([["p"], frame.columns]), axis=1)
        assert_allclose(ModalityTransformer({"p": person}).fit_transform(two_level)["p"], out["p"])

    def test_one_transformer_for_all(self, data):
        X, y = data
        each = ModalityTransformer({name: StandardScaler() for name in X}).fit(X)
        every = ModalityTransformer(StandardScaler()).fit(X)
        rest = ModalityTransformer({"a": "passthrough"}, remainder=StandardScaler()).fit(X)
        assert_array_equal(np.asarray(every.transform(X)), np.asarray(each.transform(X)))
        assert_array_equal(rest.transform(X)["b"], each.transform(X)["b"])
        assert len({id(transformer) for _, _, transformer in every.transformers_}) == 3
        assert clone(every).set_params(transformers__with_mean=False).fit(X).transform(X)["a"].shape == (150, 6)
        assert rest.get_params()["remainder__with_mean"] and "StandardScaler" in every._repr_html_()
        grid = {"modalitytransformer__remainder": ["passthrough", StandardScaler()]}
        GridSearchCV(make_pipeline(rest, fast_classifier()), grid, cv=2).fit(X, y)

    def test_columns_under_other_names_are_refused(self):
        frame = pd.DataFrame({"na": np.arange(20.0), "k": np.arange(20.0), "id": 0})
        transformer = ModalityTransformer(StandardScaler(), modalities={"labs": ["na", "k"]}).fit(frame)
        with pytest.raises(ValueError, match=r"^X lacks 1 of 2 columns of modality 'labs', e\.g\. 'na', but has 'Na'"):
            transformer.transform(frame.rename(columns={"na": "Na"}))

    def test_sparse_output_and_its_limit(self):
        X = {"text": np.array(["a b", "b c", None], dtype=object)}
        vectorizer = TfidfVectorizer(token_pattern=r"\w")
        out = ModalityTransformer({"text": vectorizer}).fit_transform(X)
        assert out["text"].shape == (3, 3) and np.isnan(out["text"][2]).all()
        message = (
            "The output of 'text' is sparse and would need 0.0 GB dense (3 rows x 3 features; the limit is 0.0 GB); add "
            "TruncatedSVD behind it, lower max_features, or raise max_dense_bytes."
        )
        with pytest.raises(MemoryError, match=f"^{re.escape(message)}$"):
            ModalityTransformer({"text": vectorizer}, max_dense_bytes=10).fit_transform(X)

    @pytest.mark.parametrize("form", FORMS)
    def test_every_form(self, data, form):
        X, _ = data
        given, modalities = in_form(X, form)
        out = ModalityTransformer({"a": PCA(2)}, modalities=modalities).fit_transform(given)
        assert_allclose(out["a"], ModalityTransformer({"a": PCA(2)}).fit_transform(X)["a"], atol=1e-6)

    @pytest.mark.parametrize(
        ("transformers", "options", "error", "message"),
        [
            ({"aa": PCA()}, {}, ValueError, "Unknown modality 'aa'; did you mean 'a'? Modalities: 'a', 'b', 'c'."),
            ({"a": PCA(1), "b": {"a": PCA(1)}}, {}, ValueError, "Two transformers give a modality 'a'; name their outputs apart."),
            ({"a": {"b": PCA(1)}}, {}, ValueError, "A transformer gives a modality 'b', which X has too; name its output apart."),
            ({"a": 3}, {}, TypeError, "The transformer of 'a' must have fit and transform, or be 'passthrough' or 'drop'. Got 3."),
            ({"a": PCA(1)}, {"remainder": "keep"}, ValueError, "remainder must be 'passthrough', 'drop' or a transformer. Got 'keep'."),
            ({"a": "drop"}, {"remainder": "drop"}, ValueError, "Every modality is dropped; keep at least one."),
        ],
    )  # fmt: skip
    def test_refused(self, data, transformers, options, error, message):
        with pytest.raises(error, match=f"^{re.escape(message)}$"):
            ModalityTransformer(transformers, **options).fit(data[0])

    def test_a_transformer_that_loses_rows(self, data):
        class Loses(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None):
                return self

            def transform(self, X):
                return X[:3]

        with pytest.raises(
            ValueError, match=r"The transformer of 'c' must return one row for each of 109 rows. Got shape \(3, 2\)."
        ):
            ModalityTransformer({"c": Loses()}).fit(data[0])

    def test_imputers_fill_gaps_not_missing_modalities(self, data):
        X, _ = data
        gappy = {name: np.array(array) for name, array in X.items()}
        gappy["a"][:, 0][::2] = np.nan
        out = ModalityTransformer({"a": make_pipeline(SimpleImputer(), StandardScaler())}).fit_transform(gappy)
        assert_array_equal(out.present[:, 0], X.present[:, 0])
        assert np.isfinite(out["a"][X.present[:, 0]]).all()


def test_text_behind_a_step_that_passes_through():
    X = {"t": np.array(["a b", "b c", "c a"], dtype=object)}
    steps = Pipeline([("nothing", "passthrough"), ("words", TfidfVectorizer(token_pattern=r"\w"))])
    assert ModalityTransformer({"t": steps}).fit_transform(X)["t"].shape == (3, 3)


def test_positions_on_a_frame_in_a_transformer(data):
    frame = pd.DataFrame(np.asarray(data[0]))
    out = ModalityTransformer({}, modalities={"a": slice(0, 6), "b": [6, 7]}).fit_transform(frame)
    assert out.shape == (150, 8)


def test_a_refused_refit_leaves_the_transformer_as_it_was():
    frame = pd.DataFrame({"p": [1.0, 2.0], "q": [1.0, 2.0], "r": [1.0, 2.0]})
    transformer = ModalityTransformer({"m": StandardScaler()}, modalities={"m": ["p", "q"], "n": ["r"]}).fit(frame)
    with pytest.raises(ValueError, match="No column matches 'r'"):
        transformer.fit(frame[["p", "q"]])
    assert transformer.transform(frame[["p", "q"]]).shape == (2, 3)


def test_transformer_matches_columns_by_name_and_checks_widths(data):
    X, _ = data
    frames = {name: pd.DataFrame(X[name], columns=[f"{name}{i}" for i in range(X[name].shape[1])]) for name in X}
    transformer = ModalityTransformer({"a": StandardScaler()}).fit(frames)
    turned = {name: frame[frame.columns[::-1]] for name, frame in frames.items()}
    assert transformer.transform(turned) == transformer.transform(frames)
    with pytest.raises(ValueError, match="^Modality 'b' has 2 features, but ModalityTransformer was fitted with 4.$"):
        transformer.transform({"b": X["b"][:, :2]})
