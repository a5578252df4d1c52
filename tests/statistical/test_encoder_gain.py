"""A CNN on images beside a table is better than the same images flattened."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_aecf import AECFClassifier, MultimodalData


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip


@pytest.mark.slow
def test_a_cnn_trained_jointly_beats_flattened_images():
    """Seeds 0 to 4, 300 training rows; measured: 3.6 points at a standard error of 0.9."""
    digits, rng = load_digits(), np.random.default_rng(0)
    images, y = (digits.images / 16).astype(np.float32)[:, None], digits.target
    sums = np.concatenate([images[:, 0].sum(axis=1), images[:, 0].sum(axis=2)], axis=1)
    table = sums + rng.normal(scale=1.0, size=sums.shape)
    gains = []
    for seed in range(5):
        train, test = train_test_split(np.arange(len(y)), train_size=300, stratify=y, random_state=seed)
        scores = []
        for given, encoders in ((images, {"image": cnn}), (images.reshape(len(y), -1), None)):
            X = MultimodalData({"image": given, "table": table})
            clf = AECFClassifier(encoders=encoders, random_state=seed).fit(X[train], y[train])
            scores.append(clf.score(X[test], y[test]))
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 2 * np.std(gains, ddof=1) / np.sqrt(5)
