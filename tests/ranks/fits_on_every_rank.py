"""Run by `test_ranks.py` on two ranks: fits, each described by what can be compared, or by its error."""

import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from skorch.callbacks import Callback, EarlyStopping, EpochScoring

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf._training import _streams
from sklearn_aecf.datasets import make_multimodal_classification
from sklearn_aecf.distributed import data_parallel

SMALL = {
    "max_epochs": 4, "embed_dim": 16, "hidden_dim": 16, "dropout": 0.3, "n_members": 2, "device": "cpu",
    "random_state": 0,
}  # fmt: skip
# Nothing drawn, and one batch of all rows: however many ranks, the same steps.
DRAWN_NOWHERE = {
    **SMALL, "masking": None, "dropout": 0.0, "entropy_weight": 0.0, "early_stopping": False, "corruption_rate": 0,
    "batch_size": 1000, "max_epochs": 10,
}  # fmt: skip


def rows(n_rows=301, **options):
    return make_multimodal_classification(
        n_rows, n_classes=3, n_features=[6, 4, 2], missing_rate=0.3, random_state=0, **options
    )


class OwnScore(Callback):
    """Records another number on every rank."""

    def __init__(self, rank):
        self.rank = rank

    def on_epoch_end(self, net, **kwargs):
        net.history.record("of_a_rank", float(self.rank + 1) * (-1) ** self.rank * len(net.history))


def described(clf, X):
    return {
        "weights": {name: value.numpy() for name, value in clf.net_.module_.state_dict().items()},
        "history": clf.history_,
        "scales": [(part.statistics.mean, part.statistics.scale) for part in clf._inputs.parts if part.statistics],
        "temperature": None if clf.temperature_ is None else (clf.temperature_.log_scale_, clf.temperature_.absence_),
        "probability": clf.predict_proba(X),
        "n_iter": clf.n_iter_,
    }


def usual(ranks):
    X, y = rows()
    return described(AECFClassifier(**SMALL).fit(X, y), X)


def drawn_nowhere(ranks):
    X, y = rows()
    observed = np.flatnonzero(X.present.any(axis=1))
    even = observed[: len(observed) // 2 * 2]  # so that no row has two ranks
    X, y = X[even], y[even]
    return described(AECFClassifier(**DRAWN_NOWHERE).fit(X, y), X)


def unseeded(ranks):
    X, y = rows()
    return described(AECFClassifier(**{**SMALL, "random_state": None}).fit(X, y), X)


def warm(ranks):
    X, y = rows()
    clf = AECFClassifier(**SMALL, warm_start=True).fit(X, y)
    return described(clf.fit(X, y), X)


def several_labels(ranks):
    X, y = rows()
    labels = np.column_stack([y == 0, y == 1]).astype(float)
    labels[::7, 0] = np.nan
    return described(AECFClassifier(**SMALL).fit(X, labels), X)


def encoder_of_one_rank(ranks):
    """Rows of the second rank lack the modality, and every rank's encoder starts with weights of its own."""
    X, y = rows()
    a = X["a"].copy()
    a[150:] = np.nan
    torch.manual_seed(ranks.rank)
    encoder = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5))
    X = MultimodalData({**X, "a": np.nan_to_num(a)}, present={"a": ~np.isnan(a).all(axis=1)})
    return described(AECFClassifier(**SMALL, encoders={"a": encoder}, early_stopping=False).fit(X, y), X)


def callbacks(ranks):
    """A score of the batches, and a stop that each rank would come to at another time."""
    X, y = rows()
    chosen = [EpochScoring("accuracy", lower_is_better=False), OwnScore(ranks.rank)]
    chosen.append(EarlyStopping(monitor="of_a_rank", patience=2, sink=lambda text: None))
    clf = AECFClassifier(**{**SMALL, "max_epochs": 9}, callbacks=chosen).fit(X, y)
    return described(clf, X)


def from_disk(ranks):
    """Of a file too large to be loaded each rank reads its own half."""
    X, y = rows(700)
    folder = Path(sys.argv[1])
    for name in X if ranks.is_first else ():
        np.save(folder / f"{name}.npy", X[name])
    ranks.exchange(None)
    X = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in X}
    read, load, most = [], _streams.StreamedRows.load, _streams.MAX_LOADED

    def recorded(self, index):
        if self.columns["views"] is None:
            read.append(self.labelled.rows[np.asarray(index)])
        return load(self, index)

    _streams.StreamedRows.load, _streams.MAX_LOADED = recorded, 0
    try:
        clf = AECFClassifier(**SMALL).fit(X, y)
    finally:
        _streams.StreamedRows.load, _streams.MAX_LOADED = load, most
    return {**described(clf, X), "read": np.unique(np.concatenate(read))}


def other_rows(ranks):
    X, y = rows(301 - ranks.rank)
    return AECFClassifier(**SMALL).fit(X, y)


def other_width(ranks):
    X, y = rows()
    return AECFClassifier(**SMALL).fit({**X, "b": X["b"][:, ranks.rank :]}, y)


def other_modalities(ranks):
    X, y = rows()
    return AECFClassifier(**SMALL).fit({"a": X["a"], "bc"[ranks.rank]: X["b"]}, y)


def other_labels(ranks):
    X, y = rows()
    return AECFClassifier(**SMALL).fit(X, np.roll(y, ranks.rank))


def other_parameter(ranks):
    X, y = rows()
    return AECFClassifier(**{**SMALL, "embed_dim": 16 + ranks.rank}).fit(X, y)


def one_fails(ranks):
    X, y = rows()
    return AECFClassifier(**SMALL).fit([1, 2] if ranks.rank else X, y)


def one_encoder_fails(ranks):
    X, y = rows()
    width = 6 if ranks.rank == 0 else 5
    return AECFClassifier(**SMALL, encoders={"a": torch.nn.Linear(width, 3)}).fit(X, y)


def other_encoder(ranks):
    X, y = rows()
    return AECFClassifier(**SMALL, encoders={"a": torch.nn.Linear(6, 3 + ranks.rank)}).fit(X, y)


HEALTHY = [
    usual, drawn_nowhere, unseeded, warm, several_labels, encoder_of_one_rank, callbacks, from_disk,
]  # fmt: skip
REFUSED = [
    other_rows, other_width, other_modalities, other_labels, other_parameter, one_fails, one_encoder_fails,
    other_encoder,
]  # fmt: skip


def main():
    found = {}
    for case in HEALTHY + REFUSED:
        with data_parallel() as ranks:
            try:
                found[case.__name__] = case(ranks)
            except (ValueError, TypeError, RuntimeError) as error:
                found[case.__name__] = f"{type(error).__name__}: {error}"
    (Path(sys.argv[1]) / f"{ranks.rank}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
