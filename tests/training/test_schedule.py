"""What "auto" stands for in batch_size, max_epochs and n_iter_no_change."""

import pytest
from conftest import fast_classifier

from sklearn_aecf._training import Schedule


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [
        (1, (32, 1000, 60)),
        (160, (32, 200, 12)),
        (736, (128, 167, 10)),
        (12_000, (128, 100, 10)),
        (72_000, (128, 100, 3)),
        (40_000, (128, 100, 4)),
        (73_000, (256, 100, 4)),
        (10**9, (1024, 100, 3)),
    ],
)
def test_small_data_have_more_epochs_and_large_data_larger_batches(n_rows, expected):
    assert Schedule.of(n_rows) == expected


def test_numbers_are_taken_as_they_are():
    assert Schedule.of(1000, batch_size=7, max_epochs=3, n_iter_no_change=2) == (7, 3, 2)
    assert Schedule.of(1000, batch_size=500, n_iter_no_change=2) == (500, 500, 2)


def test_the_net_has_what_auto_stands_for(data):
    X, y = data
    clf = fast_classifier(max_epochs="auto", n_iter_no_change=1).fit(X, y)
    assert clf.net_.max_epochs == Schedule.of(int(0.8 * len(y))).max_epochs
    assert clf.n_iter_ < clf.net_.max_epochs
