"""What a fitted classifier answers: probabilities, classes, weights, reliabilities and embeddings."""

from dataclasses import replace

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_aecf._data import flags_of, warn_caller
from sklearn_aecf._labels import as_label_array
from sklearn_aecf._model import Model
from sklearn_aecf._rows import row_weights
from sklearn_aecf.nn import AECFNetwork
from sklearn_aecf.nn._runtime import choose_device

# Stochastic passes that measure the uncertainty of a single member afterwards.
N_SAMPLES = 32


def tells_reliability(classifier):
    """Whether a classifier learns which values to trust.

    Raises
    ------
    AttributeError
        If it does not; scikit-learn shows it as the cause.
    """
    if classifier.corruption_rate == 0:
        raise AttributeError("All values are believed, because corruption_rate is 0; fit with, e.g., 0.1.")
    if hasattr(classifier, "net_") and not isinstance(classifier.net_.module_, AECFNetwork):
        raise AttributeError(
            "The network cannot tell which values to trust; derive it from AECFNetwork, and return all that its "
            "forward returns."
        )
    return True


class PredictingMixin:
    """The methods of a classifier that only read what `fit` left."""

    @property
    def _model(self):
        """What answers: the fitted parts together. Made anew, so that there is one truth about each."""
        return Model(
            network=self.net_.module_,
            inputs=self._inputs,
            problem=self._problem,
            prior=self.class_prior_,
            temperature=self.temperature_,
            device=self.net_.device,
            precision=self.net_.precision,
            embed_dim=self.net_.module__embed_dim,
            encoder_width=self.net_.module__hidden_dim * len(self._inputs.active),
            head_width=self.net_.module__n_members * self.net_.module__embed_dim,
            work_per_row=self._work_per_row(self.net_),
        )

    def predict_proba(self, X):
        """Probability of each class, or of each label.

        Parameters
        ----------
        X : as in `fit`
            Modalities may be left out of a dict, or be None: they count as missing.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes) or (n_rows, n_labels)
            The class prior in rows with nothing observed, with one warning a call.
        """
        data, model = self._checked_input(X), self._model
        unobserved = ~model.observed(data)
        if unobserved.any():
            warn_caller(
                f"{unobserved.sum()} of {len(data)} rows have no observed modality; their prediction is the class "
                "prior.",
            )
        return model.probabilities(data)[:, 0]

    def predict_proba_subsets(self, X, subsets):
        """Probabilities from several subsets of the modalities, embedding every row once.

        Parameters
        ----------
        X : as in `fit`
            Rows in the form that `fit` got; modalities may be left out of a dict.
        subsets : array-like of bool, shape (n_subsets, n_modalities), or list of lists of str
            In the order of `modality_names_`, or names; a row is predicted from what it has of the subset.

        Returns
        -------
        ndarray of float64, shape (n_subsets, n_rows, n_classes) or (n_subsets, n_rows, n_labels)
            The class prior where a row has nothing of the subset.
        """
        data = self._checked_input(X)
        subsets = subsets_as_flags(subsets, data.names)
        probability = self._model.probabilities(data, data.present[:, None] & subsets)
        return np.ascontiguousarray(probability.swapaxes(0, 1))

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : as in `predict_proba`
            Rows in the form that `fit` got; modalities may be left out of a dict.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_classes) or (n_rows, n_labels)
            As `predict_proba`, in logarithms.
        """
        return np.log(self.predict_proba(X))

    def predict(self, X):
        """Most probable class of each row, or 0/1 a label.

        Parameters
        ----------
        X : as in `predict_proba`
            Rows in the form that `fit` got; modalities may be left out of a dict.

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_labels)
            Classes, as `fit` got them; with several labels, 0/1 a label.
        """
        probability = self.predict_proba(X)
        return self._problem.decode(probability)

    def score(self, X, y, sample_weight=None):
        """Accuracy; of several labels a row, the share of rows with every reported label right.

        Parameters
        ----------
        X : as in `fit`
            Rows in the form that `fit` got; modalities may be left out of a dict.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            NaN or -1 where a label was not reported.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row; None weighs all alike.

        Returns
        -------
        float
            From 0 to 1; 1 is best.
        """
        check_is_fitted(self)
        predicted = self.predict(X)
        weight = None if sample_weight is None else row_weights(sample_weight, len(predicted))
        return self._problem.score(predicted, as_label_array(y, self.classes_), weight)

    def gate_weights(self, X):
        """Weight of each modality in each row.

        Parameters
        ----------
        X : as in `predict_proba`
            Rows in the form that `fit` got; modalities may be left out of a dict.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_modalities)
            Rows sum to 1; exactly 0 where a modality is missing, and in rows with nothing observed.
        """
        return self._model.gate_weights(self._checked_input(X))

    @available_if(tells_reliability)
    def modality_reliability(self, X):
        """How far the values of each modality can be trusted: low where its sensor seems to be broken.

        Parameters
        ----------
        X : as in `predict_proba`
            Rows in the form that `fit` got; modalities may be left out of a dict.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_modalities)
            Probability that the values are worth listening to, `corruption_rate` being the share that is not. 1 for a
            modality of which fewer than 220 rows are known (300 where none are held out), and of all after
            `partial_fit`, until `calibrate`; NaN where a modality is missing, or was in all of training. Gate weights
            are proportional to it, as far as it is below what one genuine training row in ten falls short of. A row
            whose modalities are all unreliable goes to the class prior.

        Raises
        ------
        AttributeError
            If ``corruption_rate=0``, or `network` makes no `AECFNetwork`.
        """
        data = self._checked_input(X)
        return self._model.reliability(data)

    def uncertainty(self, X):
        """``U(x)``, by which the entropy term is weighed: how far the members of the ensemble disagree.

        Parameters
        ----------
        X : as in `predict_proba`
            Rows in the form that `fit` got; modalities may be left out of a dict.

        Returns
        -------
        ndarray of float64, shape (n_rows,)
            Variance of the members' probabilities, a mean over classes; with ``n_members=1`` that of 32 passes with
            dropout, always the same. NaN in rows with nothing observed.

        References
        ----------
        .. [1] Chlon, Chlon and Awada, arXiv:2505.15417: ``Var_K`` by MC dropout or a deep ensemble.
        """
        return self._model.uncertainty(self._checked_input(X), N_SAMPLES)

    def to_device(self, device):
        """Move the fitted model.

        Parameters
        ----------
        device : str
            E.g. ``"cpu"`` or ``"cuda"``; see the parameter.

        Returns
        -------
        self
            The estimator itself.
        """
        check_is_fitted(self)
        self.net_.move_to(choose_device(device))
        return self

    def _checked_input(self, X):
        """X as `Modalities`, in which only what the network has learnt of is present."""
        # Asked directly, because scikit-learn's function makes all tags first, which takes a tenth of a row's time.
        if not hasattr(self, "net_"):
            check_is_fitted(self)
        data = self._read(X, reset=False)
        return replace(data, present=data.present & self._inputs.seen_among(len(data.names)))


def subsets_as_flags(subsets, names):
    """Subsets of modalities, bool of shape (n_subsets, n_modalities), from flags or lists of names."""
    lists = isinstance(subsets, list | tuple) and all(isinstance(subset, list | tuple | set) for subset in subsets)
    if lists and len(subsets) == 0:
        raise ValueError("subsets is empty; give at least one.")
    if lists and all(isinstance(name, str) for subset in subsets for name in subset):
        return np.asarray([flags_of(subset, names) for subset in subsets], dtype=bool)
    try:
        flags = np.asarray(subsets)
    except ValueError:
        flags = np.empty(0, dtype=object)
    if flags.dtype != bool or flags.ndim != 2 or flags.shape[1] != len(names):
        raise ValueError(
            f"subsets must be an array of bools with {len(names)} columns ({', '.join(names)}), or a list of lists of "
            f"these names. Got {flags.dtype} of shape {flags.shape}."
        )
    return flags
