"""What is predicted: classes, labels, their weights, and back."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import fast_classifier
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_aecf._labels import as_label_array
from sklearn_aecf._problem import Multiclass, Multilabel, problem_of, read_targets


def weights_of(y, class_weight, sample_weight=None):
    problem, targets = read_targets(y)
    sample_weight = np.ones(len(targets)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    return problem, targets, *problem.weigher(targets, sample_weight, class_weight)(targets, sample_weight)


def test_strings_and_series():
    problem, targets = read_targets(pd.Series(["dog", "cat", "dog"]))
    assert isinstance(problem, Multiclass) and problem.classes.tolist() == ["cat", "dog"]
    assert_array_equal(targets.encoded, [1, 0, 1])
    assert read_targets(torch.tensor([0, 2, 2]))[0].classes.tolist() == [0, 2]


def test_unreported_labels():
    problem, targets, row_weight, label_weight = weights_of([[1, 0], [np.nan, 1], [0, -1]], None)
    assert isinstance(problem, Multilabel)
    assert_array_equal(targets.reported, [[True, True], [False, True], [True, False]])
    assert_array_equal(label_weight == 0, ~targets.reported)
    assert_allclose(label_weight.mean(), 1, rtol=1e-6)
    assert_allclose(problem.prior(targets, row_weight, label_weight), [0.5, 0.5])
    assert_array_equal(problem.target_of(targets), [[1, 0], [np.nan, 1], [0, np.nan]])


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 2.0, "b": 1.0}])
def test_class_weight_equals_scikit_learn(class_weight):
    y = np.array(list("aabbbbb"))
    _, _, row_weight, _ = weights_of(y, class_weight)
    expected = compute_sample_weight(class_weight, y)
    assert_allclose(row_weight, expected / expected.mean())


def test_rows_held_out_are_weighed_by_what_the_training_rows_taught():
    """Else early stopping would compare another loss than the one that is trained."""
    problem, targets = read_targets(["a", "a", "a", "b"])
    weigh = problem.weigher(targets, np.ones(4), "balanced")
    others = problem.encode(as_label_array(["a", "b", "b", "b"]))
    assert_allclose(weigh(others, np.ones(4))[0], [4 / 6, 2, 2, 2])
    labels, targets = read_targets([[1, 0], [0, 0], [0, 0], [0, 1]])
    weigh = labels.weigher(targets, np.ones(4), "balanced")
    _, entries = weigh(labels.encode(np.array([[1, 1], [1, 1]])), np.ones(2))
    assert_allclose(entries, weigh(targets, np.ones(4))[1][0, 0])


def test_only_ratios_of_sample_weights_matter():
    for y in (list("aabb"), [[1, 0], [0, 0], [0, 1], [1, 1]]):
        _, _, one, _ = weights_of(y, "balanced", [1, 2, 3, 4])
        _, _, other, _ = weights_of(y, "balanced", [1e-6, 2e-6, 3e-6, 4e-6])
        assert_allclose(one, other)
        assert_allclose(one.mean(), 1)


def test_balanced_labels_weigh_both_values_alike():
    y = np.array([[1, 0], [0, 0], [0, 1], [0, 1]])
    problem, targets, row_weight, weight = weights_of(y, "balanced")
    assert_allclose((weight * y).sum(axis=0), (weight * (1 - y)).sum(axis=0))
    assert_allclose(problem.prior(targets, row_weight, weight), 0.5)


def test_logits_probabilities_and_back(rng):
    logits = rng.normal(size=(6, 3))
    classes, labels = Multiclass(np.array(["x", "y", "z"])), Multilabel(np.arange(3))
    for problem, expected in ((classes, softmax(logits, axis=-1)), (labels, expit(logits))):
        probability = problem.probabilities(torch.from_numpy(logits)).numpy()
        assert_allclose(probability, expected)
        assert_allclose(problem.sureness(probability), problem.confidence(torch.from_numpy(probability)).numpy())
        decoded = problem.decode(probability)
        assert problem.accuracy(decoded, probability) == 1 and problem.score(decoded, decoded) == 1
    assert decoded.shape == (6, 3)
    assert isinstance(problem_of(decoded, None), Multilabel) and problem_of(list("ab"), list("ab")).n_outputs == 2


def test_accuracy_of_labels_counts_what_was_reported():
    problem = Multilabel(np.arange(2))
    probability, y = np.array([[0.9, 0.9], [0.2, 0.1]]), np.array([[1, np.nan], [1, 0]])
    assert problem.accuracy(y, probability) == pytest.approx(2 / 3)
    assert problem.score(problem.decode(probability), y) == 0.5


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0, np.nan, 2.0], "Input y contains NaN: 1 of 3 labels are missing (first in row 1); drop those rows from X and y."),
        (["a", None, "b"], "Input y contains NaN: 1 of 3 labels are missing (first in row 1); drop those rows from X and y."),
        ([1, 1, 1], "y has one class only (1); AECFClassifier needs at least 2 classes."),
        ([[0, 1], [2, 1]],
         "A target of several columns must hold 0 and 1 per label, with NaN or -1 where a label was not reported. Got "
         "2; for several outputs of more classes wrap the classifier in MultiOutputClassifier."),
        ([["a", "b"], ["c", "d"]],
         "A target of several columns must hold 0 and 1 per label, with NaN or -1 where a label was not reported. Got "
         "dtype <U1; encode lists of labels with MultiLabelBinarizer."),
        ([[0, np.nan], [1, -1]], "Label 1 of y is never reported; drop its column."),
        (None, "AECFClassifier requires y to be passed, but the target y is None; give one label per row of X."),
    ],
)  # fmt: skip
def test_refused(y, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_targets(y)


def test_unknown_class_later():
    with pytest.raises(ValueError, match=r"y has class 'c', which was not among the classes before: \['a', 'b'\]."):
        read_targets(["a", "b"])[0].encode(as_label_array(["a", "c"]))


@pytest.mark.parametrize(
    ("y", "y_valid", "message"),
    [
        (lambda y: np.eye(3)[y], lambda y: y, "y has one class per row, but it had one column per label before; give it the same form."),
        (lambda y: y, lambda y: np.eye(3)[y], "y has one column per label, but it had one class per row before; give it the same form."),
    ],
)  # fmt: skip
def test_validation_targets_of_another_form(data, y, y_valid, message):
    X, labels = data
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier().fit(X, y(labels), validation_set=(X[:30], y_valid(labels)[:30]))


def test_labels_that_validation_rows_do_not_report(data):
    X, y = data
    Y = np.eye(3)[y]
    unreported = Y[:30].copy()
    unreported[:, 1] = np.nan
    assert fast_classifier().fit(X, Y, validation_set=[X[:30], unreported]).n_iter_ > 0


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([], "y is empty; give one label per row of X."),
        ([[1], [1, 2]], "y has rows of different lengths; give one label per row, or encode lists of labels with "
         "MultiLabelBinarizer."),
        (np.array([b"x", b"y"]), "y holds bytes; make them text, e.g. numpy.char.decode(y)."),
        (np.array([b"x", "y"], dtype=object), "y holds bytes; make them text, e.g. numpy.char.decode(y)."),
        (torch.eye(2).to_sparse(), "y is a sparse tensor; a dense one is needed. Convert it with .to_dense()."),
        (pd.DataFrame([[0, 1], [1, 0]], columns=["p", "p"]), "y has 2 columns named 'p'; give each a name of its own."),
        (pd.DataFrame([[0, 1], [1, 0]], columns=[1, 0]), "y has columns named 1, 0; name labels by text, or give an array without names."),
        (pd.DataFrame({"p": [0, 1], "q": [np.nan, -1]}), "Label 'q' of y is never reported; drop its column."),
    ],
    ids=["empty", "ragged", "bytes", "bytes among objects", "sparse", "twins", "integer names", "never reported"],
)  # fmt: skip
def test_no_targets(y, message):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}$"):
        read_targets(y)


def test_tensors_of_any_kind_are_targets():
    problem, targets = read_targets(torch.tensor([0, 1, 1]).bfloat16())
    assert problem.classes.tolist() == [0.0, 1.0] and targets.encoded.tolist() == [0, 1, 1]


@pytest.mark.parametrize("library", [pd, pl])
def test_labels_of_a_frame_keep_their_names(data, library):
    X, y = data
    Y = {"sick": (y > 0).astype(int), "old": (y > 1).astype(int)}
    clf = fast_classifier().fit(X, library.DataFrame(Y))
    assert clf.classes_.tolist() == ["sick", "old"]
    unnamed = fast_classifier().fit(X, np.column_stack(list(Y.values())))
    assert unnamed.classes_.tolist() == [0, 1]
    assert_array_equal(clf.predict_proba(X), unnamed.predict_proba(X))
    turned = library.DataFrame(dict(reversed(Y.items())))
    assert (
        clf.score(X, turned) == clf.score(X, library.DataFrame(Y)) == unnamed.score(X, np.asarray(library.DataFrame(Y)))
    )
    message = "y has labels 'sick', 'young', but there were 'sick', 'old' before."
    with pytest.raises(ValueError, match=f"^{message}$"):
        clf.score(X, library.DataFrame({"sick": Y["sick"], "young": Y["old"]}))
    weighted = fast_classifier(class_weight={"old": 3}).fit(X, library.DataFrame(Y)).predict_proba(X)
    assert_array_equal(weighted, fast_classifier(class_weight={1: 3}).fit(X, library.DataFrame(Y)).predict_proba(X))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({0: -1, 1: 1}, "class_weight[0] must be a number from 0 on. Got -1."),
        ({0: np.nan}, "class_weight[0] must be a number from 0 on. Got nan."),
        ({0: np.inf}, "class_weight[0] must be a number from 0 on. Got inf."),
        ({0: "1"}, "class_weight[0] must be a number from 0 on. Got '1'."),
        ({7: 1.0}, "class_weight has class 7, which y lacks. It has 0, 1, 2."),
        ({0: 0, 1: 0}, "class_weight must be above 0 for at least 2 classes. Got {0: 0, 1: 0}."),
    ],
)
def test_class_weights_that_mean_nothing(data, weights, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(class_weight=weights).fit(*data)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({0: -1}, "class_weight[0] must be a number from 0 on. Got -1."),
        ({5: 1}, "class_weight has label 5, which y lacks. It has 0, 1."),
        ({0: 0, 1: 0}, "class_weight must be above 0 for at least one label. Got {0: 0, 1: 0}."),
    ],
)
def test_weights_of_labels_that_mean_nothing(data, weights, message):
    X, y = data
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fast_classifier(class_weight=weights).fit(X, np.column_stack([y > 0, y > 1]).astype(int))


NAMELESS = "Input y contains NaN: 5 of 20 labels are missing (first in row 0); drop those rows from X and y."


@pytest.mark.parametrize(
    "y",
    [
        pd.Series([None, True, False, True] * 5, dtype="boolean"),
        pd.Series([None, "a", "b", "a"] * 5, dtype="string"),
        pd.Series([None, "a", "b", "a"] * 5, dtype="category"),
        pd.Series([None, 1, 0, 1] * 5, dtype="Int64"),
        pd.Series([pd.NaT, *pd.to_datetime(["2020", "2021", "2020"])] * 5),
        np.array(["NaT", 1, 2, 1] * 5, dtype="timedelta64[D]"),
        pl.Series([None, "a", "b", "a"] * 5),
    ],
    ids=lambda y: str(y.dtype),
)
def test_labels_that_are_missing_are_no_class(y):
    with pytest.raises(ValueError, match=f"^{re.escape(NAMELESS)}$"):
        read_targets(y)


@pytest.mark.parametrize("dtype", ["boolean", "string", "category", "Int64", "datetime64[ns]", "timedelta64[ns]"])
def test_classes_of_any_dtype_come_back(dtype):
    y = pd.Series([1, 0, 1, 1] * 5).astype(dtype)
    problem, targets = read_targets(y)
    assert_array_equal(targets.encoded, [1, 0, 1, 1] * 5)
    assert_array_equal(problem.decode(np.eye(2)), np.unique(np.asarray(y)))


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (pd.Series(pd.PeriodIndex(["2020", "2021"] * 10, freq="M")), "Period (Period('2020-01', 'M'))"),
        (np.array([pd.Timestamp("2020"), pd.Timestamp("2021")] * 10, dtype=object), "Timestamp (Timestamp('2020-01-01 00:00:00'))"),
        (np.array([(1,), (2,)] * 10 + [None], dtype=object)[:20], "tuple ((1,))"),
    ],
    ids=["periods", "timestamps", "tuples"],
)  # fmt: skip
def test_objects_are_no_classes(y, kind):
    message = f"y holds {kind}; make its classes text or integers, e.g. with pandas.Series(y).astype(str)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        read_targets(y)


def test_labels_that_are_na_were_not_reported():
    y = pd.DataFrame({"p": [True, None, False, True] * 5, "q": [True, False, None, False] * 5}, dtype="boolean")
    _, targets = read_targets(y)
    assert_array_equal(targets.reported, y.notna().to_numpy())


def test_what_cannot_be_scored_is_told_in_one_sentence(data):
    X, y = data
    clf, named = fast_classifier(max_epochs=1).fit(X, y), fast_classifier(max_epochs=1).fit(X, np.array(list("xyz"))[y])
    several = fast_classifier(max_epochs=1).fit(X, np.column_stack([y > 0, y > 1]).astype(int))
    gap, nothing = y.astype(float), np.array(list("xyz"), dtype=object)[y]
    lengths = "Found input variables with inconsistent numbers of samples: X has 150 rows, y has 40."
    few = f"{lengths} Give one label per row."
    gap[3] = np.nan
    nothing[3] = None
    missing = "Input y contains NaN: 1 of 150 labels are missing (first in row 3); drop those rows from X and y."
    for fitted, given, message in (
        (clf, gap, missing),
        (clf, pd.Series(gap).astype("Int64"), missing),
        (named, nothing, missing),
        (named, pd.Series(nothing), missing),
        (clf, y[:40], few),
        (several, np.zeros((40, 2)), few),
        (named, y, f"y has {y[0]}, but the classes of fit are 'x', 'y', 'z'; give it as it was at fit."),
        (clf, np.array(list("xyz"))[y], f"y has '{'xyz'[y[0]]}', but the classes of fit are 0, 1, 2; give it as it was at fit."),
        (clf, np.zeros((150, 2)), "y has one column per label, but it had one class per row before; give it the same form."),
    ):  # fmt: skip
        with warnings.catch_warnings(), pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", ".*no observed modality")
            fitted.score(X, given)
    assert clf.score(X, y[:, None]) == clf.score(X, y.astype(float)) == clf.score(X, y)
    assert clf.score(X, np.where(y == 0, 7, y)) <= clf.score(X, y)  # a class that was not there is wrong, no error
