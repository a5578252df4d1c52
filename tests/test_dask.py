"""Searches and predictions on a Dask cluster: the results of one process, and the data sent once."""

import sys

import joblib
import numpy as np
import pytest
from conftest import fast_classifier
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_aecf import MultimodalData

GRID = {"mask_rate": [0.3, 0.5], "entropy_weight": [0.0, 0.2]}


def test_sizeof_counts_the_arrays(data):
    X, _ = data
    assert X.nbytes <= sys.getsizeof(X) < X.nbytes + 200


@pytest.fixture(scope="module")
def client():
    """Of two worker processes of one thread."""
    distributed = pytest.importorskip("distributed", reason="dask and distributed are not installed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def pickled(monkeypatch):
    """Rows of every container that this process pickles."""
    rows, usual = [], MultimodalData.__reduce_ex__

    def counted(container, protocol):
        rows.append(len(container))
        return usual(container, protocol)

    monkeypatch.setattr(MultimodalData, "__reduce_ex__", counted)
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("scattered", [True, False])
def test_grid_search_equals_that_of_one_process(data, client, pickled, scattered):
    X, y = data
    search = GridSearchCV(fast_classifier(), GRID, cv=2)
    serial = search.fit(X, y)
    expected, probability = serial.cv_results_, serial.predict_proba(X)
    with joblib.parallel_config(backend="dask", scatter=[X] if scattered else None):
        search.fit(X, y)
    for name, values in search.cv_results_.items():
        if not name.endswith("_time") and name != "params":
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    np.testing.assert_array_equal(search.predict_proba(X), probability)
    # Once for eight fits; what is scattered by hand is pickled for each of the two workers, and to name it.
    assert set(pickled) == {len(X)} and len(pickled) <= (3 if scattered else 1)


@pytest.mark.slow
def test_cross_validate_equals_that_of_one_process(data, client, pickled):
    X, y = data
    expected = cross_validate(fast_classifier(), X, y, cv=3, scoring=["accuracy", "neg_log_loss"])
    with joblib.parallel_config(backend="dask"):
        found = cross_validate(fast_classifier(), X, y, cv=3, scoring=["accuracy", "neg_log_loss"])
    for name in ("test_accuracy", "test_neg_log_loss"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert pickled == [len(X)]


@pytest.mark.slow
def test_arrays_of_dask_are_predicted_block_by_block(data, client):
    import dask.array as da

    X, y = data
    table = np.asarray(X)
    clf = fast_classifier(modalities=X.column_groups()).fit(table, y)
    blocks = da.from_array(table, chunks=(40, -1))
    found = blocks.map_blocks(clf.predict_proba, dtype=float, chunks=(blocks.chunks[0], (len(clf.classes_),)))
    np.testing.assert_allclose(found.compute(), clf.predict_proba(table), atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no observed modality")
def test_frames_of_dask_are_predicted_partition_by_partition(data, client):
    dd = pytest.importorskip("dask.dataframe", reason="dask.dataframe or pyarrow is not installed")
    import pandas as pd

    X, y = data
    frame = pd.DataFrame(np.asarray(X)).add_prefix("column_")
    groups = {name: list(frame.columns[columns]) for name, columns in X.column_groups().items()}
    clf = fast_classifier(modalities=groups).fit(frame, y)

    def predict(part):
        return pd.DataFrame(clf.predict_proba(part), columns=clf.classes_, index=part.index)

    meta = pd.DataFrame(columns=clf.classes_, dtype=float)
    found = dd.from_pandas(frame, npartitions=4).map_partitions(predict, meta=meta).compute()
    np.testing.assert_allclose(found, clf.predict_proba(frame), atol=1e-6)
