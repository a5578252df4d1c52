"""Targets: classes, labels, weights."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_aecf._labels import class_prior, class_weights, encode_targets


def test_strings_and_series():
    targets = encode_targets(pd.Series(["dog", "cat", "dog"]))
    assert targets.kind == "multiclass" and targets.classes.tolist() == ["cat", "dog"]
    assert_array_equal(targets.encoded, [1, 0, 1])
    assert encode_targets(torch.tensor([0, 2, 2])).classes.tolist() == [0, 2]


def test_unreported_labels():
    targets = encode_targets([[1, 0], [np.nan, 1], [0, -1]])
    assert targets.kind == "multilabel"
    assert_array_equal(targets.reported, [[True, True], [False, True], [True, False]])
    row_weight, label_weight = class_weights(targets, None, np.ones(3))
    assert_array_equal(label_weight == 0, ~targets.reported)
    assert_allclose(label_weight.mean(), 1, rtol=1e-6)
    assert_allclose(class_prior(targets, row_weight, label_weight), [0.5, 0.5])


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 2.0, "b": 1.0}])
def test_class_weight_equals_scikit_learn(class_weight):
    y = np.array(list("aabbbbb"))
    row_weight, _ = class_weights(encode_targets(y), class_weight, np.ones(7))
    assert_allclose(row_weight, compute_sample_weight(class_weight, y))


def test_balanced_labels_weigh_both_values_alike():
    y = np.array([[1, 0], [0, 0], [0, 1], [0, 1]])
    targets = encode_targets(y)
    row_weight, weight = class_weights(targets, "balanced", np.ones(4))
    assert_allclose((weight * y).sum(axis=0), (weight * (1 - y)).sum(axis=0))
    assert_allclose(class_prior(targets, row_weight, weight), 0.5)


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
        encode_targets(y)


def test_unknown_class_later():
    with pytest.raises(ValueError, match=r"y has class 'c', which was not among the classes before: \['a', 'b'\]."):
        encode_targets(["a", "c"], encode_targets(["a", "b"]))
