"""What users have today, as scikit-learn estimators of `MultimodalData`, and the few settings each is tuned over."""

import copy
import itertools

import numpy as np
import torch
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping
from skorch.utils import noop
from torch import nn

from sklearn_aecf import AECFClassifier, MultimodalData
from sklearn_aecf.compose import drop_modalities
from sklearn_aecf.losses import multiclass_loss, multilabel_loss
from sklearn_aecf.masking import draw_subsets


class Tabular(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier on all columns side by side; one a label, on the rows that report it, for several."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self._fit_array(self._features(X), y)
        return self

    def _features(self, X):
        return np.asarray(X)

    def _fit_array(self, array, y):
        self.multilabel_ = y.ndim == 2
        self.classes_ = np.arange(y.shape[1]) if self.multilabel_ else np.unique(y)
        self.models_ = [self._fit_one(array, column) for column in (y.T if self.multilabel_ else [y])]

    def _fit_one(self, array, y):
        rows = ~np.isnan(y)
        if len(np.unique(y[rows])) < 2:
            return float(y[rows].mean()) if rows.any() else 0.5
        known = array[rows]
        # Gradient boosting of scikit-learn 1.9 cannot bin a column without a single value.
        known = np.where(np.isnan(known).all(axis=0), 0, known)
        return self._new_estimator().fit(known, y[rows].astype(int))

    def _new_estimator(self):
        return clone(self.estimator)

    def predict_proba(self, X):
        array = self._features(X)
        if not self.multilabel_:
            return self.models_[0].predict_proba(array)
        columns = [
            np.full(len(array), model) if isinstance(model, float) else model.predict_proba(array)[:, 1]
            for model in self.models_
        ]
        return np.stack(columns, axis=1)


class MaskedCopies(Tabular):
    """The same on the rows and copies of them with modalities hidden: modality dropout for any classifier."""

    def __init__(self, estimator, rates=(0.3, 0.5, 0.7), random_state=0):
        super().__init__(estimator)
        self.rates = rates
        self.random_state = random_state

    def fit(self, X, y):
        self._fit_array(self._features(X, copied=True), self._repeated(y))
        return self

    def _features(self, X, copied=False):
        seeds = np.random.default_rng(self.random_state).integers(2**31, size=len(self.rates))
        drawn = zip(self.rates, seeds, strict=True) if copied else ()
        copies = [drop_modalities(X, rate, random_state=int(seed)) for rate, seed in drawn]
        return np.concatenate([np.asarray(each) for each in (X, *copies)])

    def _repeated(self, y):
        return np.concatenate([y] * (1 + len(self.rates)))

    def _new_estimator(self):
        return seeded(self.estimator, self.random_state)


class LateFusion(ClassifierMixin, BaseEstimator):
    """A classifier a modality; the mean of the probabilities of those that a row has, or their product.

    The product divides by the prior for each further modality: Bayes' rule for modalities that are independent given
    the class.
    """

    def __init__(self, estimator, rule="mean"):
        self.estimator = estimator
        self.rule = rule

    def fit(self, X, y):
        self.models_, self.prior_, self.multilabel_ = {}, _prior(y), y.ndim == 2
        for m, name in enumerate(X.names):
            rows = X.present[:, m]
            if len(np.unique(y[rows & ~np.isnan(y).any(axis=-1)] if y.ndim == 1 else y[rows])) > 1:
                self.models_[name] = Tabular(self.estimator).fit(X[[name]][rows], y[rows])
        return self

    def predict_proba(self, X):
        total, count = np.zeros((len(X), len(self.prior_))), np.zeros((len(X), 1))
        for m, name in enumerate(X.names):
            rows = X.present[:, m]
            if name in self.models_ and rows.any():
                found = self.models_[name].predict_proba(X[[name]][rows])
                total[rows] += found if self.rule == "mean" else self._log(found) - self._log(self.prior_)
                count[rows] += 1
        if self.rule == "mean":
            return np.where(count > 0, total / np.maximum(count, 1), self.prior_)
        logits = self._log(self.prior_) + total
        return expit(logits) if self.multilabel_ else softmax(logits, axis=1)

    def _log(self, probability):
        safe = np.clip(probability, 1e-6, 1 - 1e-6)
        return logit(safe) if self.multilabel_ else np.log(safe)


class SeveralFits(ClassifierMixin, BaseEstimator):
    """The mean probability of fits that differ in their seed: scikit-learn's `VotingClassifier`, also of labels."""

    def __init__(self, estimator, n_fits=4, random_state=0):
        self.estimator = estimator
        self.n_fits = n_fits
        self.random_state = random_state

    def fit(self, X, y, validation_set=None):
        seeds = [1000 * self.random_state + i for i in range(self.n_fits)]
        self.fits_ = [
            clone(self.estimator).set_params(random_state=seed).fit(X, y, validation_set=validation_set)
            for seed in seeds
        ]
        return self

    def predict_proba(self, X):
        return np.mean([fitted.predict_proba(X) for fitted in self.fits_], axis=0)


def seeded(estimator, seed):
    """A new estimator with a seed, where it takes one."""
    new = clone(estimator)
    return new.set_params(random_state=seed) if "random_state" in new.get_params() else new


def _prior(y):
    if y.ndim == 1:
        return np.bincount(y) / len(y)
    return np.where(np.isnan(y).all(axis=0), 0.5, np.nanmean(y, axis=0))


class Concatenation(nn.Module):
    """All modalities side by side, zeros where missing, with flags of presence: a plain network."""

    def __init__(self, widths, n_outputs, dropout, width=256):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(sum(widths) + len(widths), width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, n_outputs),
        )  # fmt: skip

    def forward(self, inputs, present):
        masked = [x * present[:, m, None] for m, x in enumerate(inputs)]
        return self.body(torch.cat([*masked, present.float()], dim=1)), 0.0


class AttentionPool(nn.Module):
    """The layer of the paper's authors (``pip install aecf==0.1.0``) between embeddings like ours and a head.

    Its masked attention weights are reported, but never reach its output, and it has no calibration loss.
    """

    def __init__(self, widths, n_outputs, dropout, width=128):
        super().__init__()
        from aecf import create_fusion_pool

        self.embeddings = nn.ModuleList(
            nn.Sequential(
                nn.Linear(n, 2 * width),
                nn.LayerNorm(2 * width),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(2 * width, width),
            )
            for n in widths
        )
        self.query, self.pool = create_fusion_pool(width, len(widths))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, n_outputs))

    def forward(self, inputs, present):
        embedded = torch.stack([embed(x) for embed, x in zip(self.embeddings, inputs, strict=True)], dim=1)
        query = self.query.expand(len(embedded), -1, -1)
        pooled, info = self.pool(query, embedded, key_padding_mask=~present, return_info=True)
        return self.head(pooled[:, 0]), 0.01 * self.pool.curriculum_masking.entropy_loss(info["entropy"])


class TorchBaseline(ClassifierMixin, BaseEstimator):
    """AdamW, batches of 128 and early stopping after ten epochs without a better validation loss."""

    def __init__(self, network, modality_dropout=0.0, learning_rate=1e-3, dropout=0.3, random_state=0):
        self.network = network
        self.modality_dropout = modality_dropout
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.random_state = random_state

    def fit(self, X, y, validation_set):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.random_state)
            self._fit(X, y, validation_set)
        return self

    def _fit(self, X, y, held_out):
        self.multilabel_ = y.ndim == 2
        self.prior_ = _prior(y)
        self.scalers_ = {name: StandardScaler().fit(X[name][~held_out]) for name in X}
        inputs, present = self._tensors(X)
        reported = torch.from_numpy(~np.isnan(y)).float() if y.ndim == 2 else None
        target = torch.from_numpy(np.nan_to_num(y).astype(np.float32) if y.ndim == 2 else y)
        self.net_ = self.network([x.shape[1] for x in inputs], len(self.prior_), self.dropout)
        optimizer = torch.optim.AdamW(self.net_.parameters(), lr=self.learning_rate, weight_decay=0.01, fused=True)
        train, valid = (torch.from_numpy(np.flatnonzero(rows)) for rows in (~held_out, held_out))
        # Validated as it is trained: on hidden modalities too where training hides them.
        rates = (0.0, 0.3, 0.5, 0.7) if self.modality_dropout else (0.0,)
        views = [draw_subsets(present[valid], rate * present[valid].float(), 1)[:, 0] for rate in rates]

        def loss_of(rows, seen):
            logits, extra = self.net_([x[rows] for x in inputs], seen)
            if reported is None:
                return multiclass_loss(logits, target[rows]), extra
            return multilabel_loss(logits, target[rows], reported[rows]), extra

        best, waited = (np.inf, None), 0
        for _ in range(100):
            self.net_.train()
            for rows in train[torch.randperm(len(train))].split(128):
                seen = present[rows]
                if self.modality_dropout:
                    rate = torch.rand(len(rows), 1) * 2 * self.modality_dropout
                    seen = draw_subsets(seen, rate.clamp(max=0.9) * seen, 1)[:, 0]
                losses, extra = loss_of(rows, seen)
                optimizer.zero_grad()
                (losses.mean() + extra).backward()
                optimizer.step()
            self.net_.eval()
            with torch.no_grad():
                loss = float(np.mean([loss_of(valid, view)[0].mean().item() for view in views]))
            waited = 0 if loss < best[0] else waited + 1
            if waited == 0:
                best = loss, copy.deepcopy(self.net_.state_dict())
            if waited == 10:
                break
        self.net_.load_state_dict(best[1])

    def _tensors(self, X: MultimodalData):
        scaled = [self.scalers_[name].transform(X[name]) for name in X]
        inputs = [torch.from_numpy(np.clip(np.nan_to_num(x), -100, 100).astype(np.float32)) for x in scaled]
        return inputs, torch.from_numpy(X.present)

    @torch.no_grad()
    def predict_proba(self, X):
        inputs, present = self._tensors(X)
        self.net_.eval()
        logits = torch.cat(
            [self.net_([x[rows] for x in inputs], present[rows])[0] for rows in torch.arange(len(X)).split(2048)]
        )
        found = (torch.sigmoid(logits) if self.multilabel_ else torch.softmax(logits, dim=1)).numpy().astype(float)
        found[~X.present.any(axis=1)] = self.prior_
        return found


def stop_on(monitor):
    """An early stopping that compares another column of the history than `AECFClassifier` does."""
    return EarlyStopping(monitor=monitor, patience=10, load_best=True, sink=noop)


def stopped_on_complete_rows():
    """Gated fusion validated on what the rows have, as a network is that knows nothing of missing modalities."""
    return AECFClassifier(temperature=None, callbacks=[stop_on("valid_complete_loss")], **GATED)


class NetworkPerSubset(ClassifierMixin, BaseEstimator):
    """A network of its own for every subset of modalities: what is attainable with a few of them, at any price."""

    def __init__(self, estimator, random_state=0):
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X, y, validation_set):
        self.models_ = {}
        for subset in itertools.product([False, True], repeat=len(X.names)):
            if any(subset):
                chosen = [name for name, used in zip(X.names, subset, strict=True) if used]
                model = clone(self.estimator).set_params(random_state=self.random_state)
                self.models_[subset] = model.fit(X[chosen], y, validation_set=validation_set), chosen
        return self

    def predict_proba(self, X):
        n_classes = len(next(iter(self.models_.values()))[0].classes_)
        probability = np.full((len(X), n_classes), 1 / n_classes)
        for subset, (model, chosen) in self.models_.items():
            rows = (X.present == subset).all(axis=1)
            if rows.any():
                probability[rows] = model.predict_proba(X[chosen][rows])
        return probability


def _imputed(**settings):
    return make_pipeline(
        SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=300, **settings)
    )


def _boosting(**settings):
    return HistGradientBoostingClassifier(max_features=0.3, early_stopping=False, **settings)


STRENGTHS = [{"C": c} for c in (0.003, 0.03, 0.3)]
TREES = [
    {"learning_rate": 0.2, "max_iter": 50, "max_leaf_nodes": 31},
    {"learning_rate": 0.1, "max_iter": 100, "max_leaf_nodes": 8},
]
NETS = [
    {"learning_rate": 1e-3, "dropout": 0.3}, {"learning_rate": 3e-4, "dropout": 0.3},
    {"learning_rate": 1e-3, "dropout": 0.5},
]  # fmt: skip
# What some rows of the results were measured with; the defaults train for fewer steps.
LONGER = {"learning_rate": 1e-3, "max_epochs": 100, "n_iter_no_change": 10}
GATED = {"n_members": 1, "masking": None, "entropy_weight": 0, "agreement_weight": 0, "corruption_rate": 0}

# Name to (settings to choose from on validation rows, what makes the model of one of them).
MODELS = {
    "AECF": ([{}], lambda: AECFClassifier()),
    "AECF, mean of 4 fits": ([{}], lambda: SeveralFits(AECFClassifier())),
    "AECF, tuned": (NETS, lambda **s: AECFClassifier(**{**LONGER, **s})),
    "gated fusion": ([{}], lambda: AECFClassifier(temperature=None, **GATED)),
    "gated fusion + temperature": ([{}], lambda: AECFClassifier(**GATED)),
    "gated fusion, stopped on complete rows": (
        [{}],
        stopped_on_complete_rows,
    ),
    "concatenation": (NETS, lambda **s: TorchBaseline(Concatenation, **s)),
    "concatenation + modality dropout": (NETS, lambda **s: TorchBaseline(Concatenation, modality_dropout=0.5, **s)),
    "aecf 0.1.0 layer": (NETS, lambda **s: TorchBaseline(AttentionPool, **s)),
    "late fusion, logistic": (STRENGTHS, lambda **s: LateFusion(_imputed(**s))),
    "late fusion, product of experts": (STRENGTHS, lambda **s: LateFusion(_imputed(**s), rule="product")),
    "imputation + logistic": (STRENGTHS, lambda **s: Tabular(_imputed(**s))),
    "boosting": (TREES, lambda **s: Tabular(_boosting(**s))),
    "boosting + masked copies": (TREES, lambda **s: MaskedCopies(_boosting(**s))),
    "a network per subset": ([{}], lambda: NetworkPerSubset(AECFClassifier(**LONGER, **GATED))),
}

# Not what anybody would run, and only where subsets are few.
PER_SUBSET = "a network per subset"
MAX_PER_SUBSET = 3
