"""AECFClassifier: checks, labels and the order of the phases; tensors are `_training`'s."""

import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sklearn_aecf._data import is_plain_table, split_modalities
from sklearn_aecf._labels import class_prior, encode_targets
from sklearn_aecf._rows import LabelledRows, hold_out, usable_rows, warn_never_observed
from sklearn_aecf._sklearn_callbacks import CallbackSupportMixin, EpochTasks, with_callbacks
from sklearn_aecf._training import (
    NetworkInputs,
    Predictor,
    choose_device,
    fit_temperature,
    history_columns,
    make_net,
    seeded,
    suited_threads,
    training_rows,
)
from sklearn_aecf.curriculum import MAX_REGRET_MODALITIES

# More held-out rows than this would make no validation loss more certain than the differences that matter.
MAX_HELD_OUT = 10_000


class AECFClassifier(
    ClassNamePrefixFeaturesOutMixin, CallbackSupportMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Classify rows of several modalities, any of which may be missing.

    Each modality is embedded by a small network; a gate weighs the embeddings that a row has; heads classify their
    weighted sum. In training, modalities are hidden on purpose, by chance or most where the gate leans on one of them
    (``masking="entropy"``, the paper's adaptive curriculum); an entropy term, stronger where the prediction is
    uncertain, keeps the gate from collapsing; and predictions from fewer modalities learn from those from more
    (contrastive expert calibration). Afterwards a temperature per subset of modalities is fitted on rows held out.

    A row of NaN in a modality means that it is missing there; single NaN inside an observed modality are gaps, filled
    with the training mean; a row with nothing observed gets the class prior.

    Parameters
    ----------
    modalities : dict of str to columns, default=None
        Column groups of an array (slice or positions) or a DataFrame (names or a pattern such as ``"note_*"``). None
        takes such X as one modality, or, for columns of two levels, groups by the first. Not used where X is a
        mapping of modalities.
    embed_dim : int, default=128
        Width of a modality's embedding.
    hidden_dim : int, default=256
        Width of the layer before it.
    gate_hidden_dim : int, default=32
        Width of the gate's hidden layer.
    dropout : float, default=0.5
        Rate in [0, 1) of dropout in the embeddings and before the heads.
    fusion_exponent : float or "learned", default=0.0
        ``alpha`` of the factor ``|S| ** alpha`` on the fused embedding: 0 is the paper's convex mixture, 1 lets
        evidence add up (ours).
    n_members : int, default=8
        Heads of the ensemble that shares the embeddings (ours); 1 is the paper's network.
    entropy_weight : float, default=0.2
        Strength of the entropy term for a row of average uncertainty; 0 switches it off.
    n_uncertainty_samples : int, default=8
        Stochastic passes that measure the uncertainty where ``n_members=1``.
    complete_weight : float, default=0.0
        Weight of the loss on all that a row has, beside that on its masked copies, which mask rates near 0 leave
        complete at times. Counts as 1 where nothing is hidden: with ``masking=None`` or a single modality.
    cec_weight : float, default=0.3
        Strength of the contrastive expert calibration; 0 switches it off.
    monotone_weight : float, default=0.0
        Within it, weight of the penalty on confidence that grows as modalities are hidden (the paper's; 1 weighs it
        like the pull towards the prediction from all modalities, which is ours). Off, because neither scores nor
        calibration gained by it on four data sets, nor monotonicity on two.
    masking : {"uniform", "entropy", "regret"} or None, default="uniform"
        What decides which modalities are hidden in training: chance alone, the gate's entropy (the paper's adaptive
        curriculum; on four data sets it made no difference), or how badly each subset is handled (ours, up to 8
        modalities). None hides nothing.
    mask_rate : float, default=0.5
        Mean probability in [0, 1) that an observed modality is hidden, after the warm-up. Every row draws its own,
        uniform around this mean, so that a batch holds nearly complete rows and nearly empty ones (ours). With
        ``masking="regret"`` it is the share of rows that lose anything.
    mask_warmup : float, default=0.0
        Share of `max_epochs` over which the mask rate rises from 0.
    learning_rate : float, default=1e-3
        Of AdamW.
    weight_decay : float, default=1e-2
        Of AdamW.
    batch_size : int or "auto", default="auto"
        Rows a step; ``"auto"`` is the power of two next to n / 8, between 32 and 128.
    max_epochs : int, default=100
        Passes over the training rows, at most.
    early_stopping : bool, default=True
        Hold rows out and keep the weights of the epoch with the lowest validation loss, averaged over the mask rates
        0, 0.3, 0.5 and 0.7. With a `temperature` it is the loss that rescaled confidence would leave
        (``"valid_refined_loss"`` in `history_`): overconfidence, which is mended afterwards, does not end the training
        [2]_; nor do wrong base rates of single labels, which are not mended, but say nothing about how well they are
        told apart.
    validation_fraction : float or "auto", default="auto"
        Share of the rows held out, stratified by class where every class has rows enough; ``"auto"`` is 200 rows, but
        no less than 10 % (or 10,000 rows) and no more than 20 %.
    n_iter_no_change : int, default=10
        Epochs without a better validation loss after which training stops.
    temperature : {"subset", "global"} or None, default="subset"
        Calibration on the held-out rows, see `SubsetTemperature`. Without such rows there is none.
    scale : {"standard"} or None, default="standard"
        Whether every feature is standardised by its observed training values.
    add_gap_indicator : bool, default=False
        Add a column to the network's inputs for each feature with gaps in training.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; for multilabel targets a dict gives weights of labels by position.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` is cuda, then mps, then cpu, decided at `fit`.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the matrix products; the gate and the losses are always float32.
    callbacks : list of skorch callbacks, default=None
        Further ones, e.g. ``[skorch.callbacks.LRScheduler(...)]``.
    warm_start : bool, default=False
        Go on from the previous `fit` instead of starting again.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, order, masks and split. With an int and the same number of threads a fit on CPU is
        bit-identical. The global random states are not touched.
    verbose : int, default=0
        1 shows skorch's progress bar and table.

    Attributes
    ----------
    classes_ : ndarray
        Sorted classes; for multilabel targets the positions of the labels.
    modality_names_ : list of str
        Modalities in fitted order.
    n_features_per_modality_ : dict of str to int
    n_features_in_ : int
        Features of all modalities together.
    feature_names_in_ : ndarray of str
        Column names, where X was a DataFrame with string names.
    class_prior_ : ndarray of shape (n_classes,)
        Prediction for rows with nothing observed.
    net_ : skorch.NeuralNet
        The trained net; its module is a `sklearn_aecf.nn.AECFNetwork`.
    history_ : dict of str to ndarray
        One entry an epoch: losses, gate entropy, entropy coefficient, mask rate, duration in seconds.
    temperature_ : SubsetTemperature or None
    n_iter_ : int
        Epochs run.
    best_epoch_ : int
        Epoch whose weights are kept, from 1 on.

    See Also
    --------
    MultimodalData : The container for everything in scikit-learn that splits X.

    Notes
    -----
    A plain dict works in `fit` and `predict` only. Tools that split X count a dict's keys as rows and stop with
    "Found input variables with inconsistent numbers of samples". The remedy is ``X = MultimodalData(X)``.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, *Robust Multimodal Learning via Entropy-Gated Contrastive Fusion*,
       arXiv:2505.15417. What goes beyond it is marked "ours".
    .. [2] Berta, Holzmueller, Jordan and Bach, *Rethinking Early Stopping: Refine, Then Calibrate*, arXiv:2501.19195.
       Here for several views of a row, and label by label.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_aecf import AECFClassifier
    >>> from sklearn_aecf.datasets import make_multimodal_classification
    >>> X, y = make_multimodal_classification(300, missing_rate=0.2, random_state=0)
    >>> clf = AECFClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> clf.predict_proba(X).shape
    (300, 2)
    >>> clf.predict_proba({**X, "b": None}).shape       # a modality that nobody has
    (300, 2)
    """

    _parameter_constraints: dict = {
        "modalities": [dict, None],
        "embed_dim": [Interval(Integral, 1, None, closed="left")],
        "hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "gate_hidden_dim": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "fusion_exponent": [Interval(Real, 0, 1, closed="both"), StrOptions({"learned"})],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "n_uncertainty_samples": [Interval(Integral, 2, None, closed="left")],
        "complete_weight": [Interval(Real, 0, None, closed="left")],
        "cec_weight": [Interval(Real, 0, None, closed="left")],
        "monotone_weight": [Interval(Real, 0, None, closed="left")],
        "masking": [StrOptions({"entropy", "uniform", "regret"}), None],
        "mask_rate": [Interval(Real, 0, 1, closed="left")],
        "mask_warmup": [Interval(Real, 0, 1, closed="both")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither"), StrOptions({"auto"})],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "temperature": [StrOptions({"subset", "global"}), None],
        "scale": [StrOptions({"standard"}), None],
        "add_gap_indicator": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "device": [str],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "callbacks": [list, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        modalities=None,
        *,
        embed_dim=128,
        hidden_dim=256,
        gate_hidden_dim=32,
        dropout=0.5,
        fusion_exponent=0.0,
        n_members=8,
        entropy_weight=0.2,
        n_uncertainty_samples=8,
        complete_weight=0.0,
        cec_weight=0.3,
        monotone_weight=0.0,
        masking="uniform",
        mask_rate=0.5,
        mask_warmup=0.0,
        learning_rate=1e-3,
        weight_decay=1e-2,
        batch_size="auto",
        max_epochs=100,
        early_stopping=True,
        validation_fraction="auto",
        n_iter_no_change=10,
        temperature="subset",
        scale="standard",
        add_gap_indicator=False,
        class_weight=None,
        device="auto",
        precision="float32",
        callbacks=None,
        warm_start=False,
        random_state=None,
        verbose=0,
    ):
        self.modalities = modalities
        self.embed_dim = embed_dim
        self.hidden_dim = hidden_dim
        self.gate_hidden_dim = gate_hidden_dim
        self.dropout = dropout
        self.fusion_exponent = fusion_exponent
        self.n_members = n_members
        self.entropy_weight = entropy_weight
        self.n_uncertainty_samples = n_uncertainty_samples
        self.complete_weight = complete_weight
        self.cec_weight = cec_weight
        self.monotone_weight = monotone_weight
        self.masking = masking
        self.mask_rate = mask_rate
        self.mask_warmup = mask_warmup
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.temperature = temperature
        self.scale = scale
        self.add_gap_indicator = add_gap_indicator
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_label = True
        return tags

    # Fitting

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, validation_set=None):
        """Fit to rows of several modalities.

        Parameters
        ----------
        X : dict of str to array-like, MultimodalData, array-like or DataFrame
            A dict has one array of shape (n_rows, n_features) per modality, with a row of NaN where it is missing.
            For arrays and DataFrames see `modalities`.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            Classes, or 0/1 a label with NaN or -1 where it was not reported.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative. A row of weight 0 counts as left out.
        validation_set : mask of shape (n_rows,) or tuple (X, y), default=None
            The rows to hold out instead of a random share: True in a mask over the rows of `X` (which scikit-learn's
            tools can slice), or other data in the same form, e.g. of other users.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            One sentence that names the modality, what was expected, what came and what to do; before any training.
        """
        self._validate_params()
        again = self.warm_start and hasattr(self, "net_")
        with _as_before_if_refused(self, "n_features_in_", "feature_names_in_"):
            data = self._read(X, reset=not again)
            if self.masking == "regret" and len(data.names) > MAX_REGRET_MODALITIES:
                raise ValueError(
                    f"masking='regret' keeps a number per subset, for up to {MAX_REGRET_MODALITIES} modalities. Got "
                    f"{len(data.names)}; use 'entropy' or 'uniform'."
                )
            targets = encode_targets(y, self._known_targets if again else None)
            if len(targets) != len(data):
                raise ValueError(
                    f"Found input variables with inconsistent numbers of samples: X has {len(data)} rows, y has "
                    f"{len(targets)}. Give one label per row."
                )
            weight = _check_sample_weight(sample_weight, data.present, dtype=np.float64, ensure_non_negative=True)
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            if isinstance(validation_set, tuple | list) and len(validation_set) != len(data):
                validation_set = self._read_validation(validation_set, data.spec, targets)
            training, validation = hold_out(
                usable_rows(data, targets, weight),
                validation_set,
                _validation_fraction(self.validation_fraction, len(data)) if self.early_stopping else None,
                seed,
            )
        if not again:
            warn_never_observed(training)
            self._spec = data.spec
            self._kind = targets.kind
            self._known_targets = targets.take(slice(0, 0))
            self._n_features_out = self.embed_dim
            self.classes_ = targets.classes
            self.modality_names_ = list(data.names)
            self.n_features_per_modality_ = dict(zip(data.names, data.widths, strict=True))
        self._train(training, validation, seed, again)
        return self

    def _train(self, training, validation, seed, again):
        """The phases that need a generator: initial weights, epochs, temperature."""
        device = choose_device(self.device)
        self.class_prior_ = class_prior(training.targets.take(training.rows), *training.weights(self.class_weight))
        inputs = (
            self._predictor.inputs
            if again
            else NetworkInputs.fit(training, standardize=self.scale is not None, gap_indicator=self.add_gap_indicator)
        )
        with seeded(seed, device):
            net = self._make_net(inputs, validation, len(training), device)
            if again:
                net.take_over(self.net_)
            self.net_ = net
            self._predictor = Predictor(self.net_, inputs)
            self.temperature_ = None
            rows = training_rows(inputs, training, self.class_weight, device)
            per_row = sum(self.hidden_dim * (width + self.embed_dim) for width in inputs.widths)
            with suited_threads(self.net_.batch_size * per_row):
                self.net_.epoch_tasks = EpochTasks(self, self.max_epochs)
                self.net_.partial_fit(rows)
                self.net_.epoch_tasks.end()
            # The net would otherwise keep, and pickle, the rows that it was validated on.
            self.net_.train_split = self.net_.epoch_tasks = None
            self._record_history()
            if validation is not None and self.temperature is not None:
                self.temperature_ = fit_temperature(self._predictor, validation, self.class_weight, self.temperature)

    def _make_net(self, inputs, validation, n_rows, device):
        return make_net(
            network={
                "n_features": inputs.widths,
                "n_outputs": len(self.classes_),
                "embed_dim": self.embed_dim,
                "hidden_dim": self.hidden_dim,
                "gate_hidden_dim": self.gate_hidden_dim,
                "dropout": self.dropout,
                "fusion_exponent": self.fusion_exponent,
                "n_members": self.n_members,
            },
            objective={
                "kind": self._kind,
                "n_modalities": len(inputs.active),
                "entropy_weight": self.entropy_weight,
                "complete_weight": self.complete_weight,
                "cec_weight": self.cec_weight,
                "monotone_weight": self.monotone_weight,
                "masking": self.masking,
                "n_uncertainty_samples": self.n_uncertainty_samples,
            },
            validation=(None if validation is None else training_rows(inputs, validation, self.class_weight, device)),
            batch_size=_batch_size(self.batch_size, n_rows),
            max_epochs=self.max_epochs,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            n_iter_no_change=self.n_iter_no_change if self.early_stopping else None,
            # What a temperature mends afterwards is no reason to stop.
            stopping_loss="valid_loss" if self.temperature is None else "valid_refined_loss",
            callbacks=self.callbacks,
            verbose=self.verbose,
            device=device,
            kind=self._kind,
            mask_rate=self.mask_rate,
            mask_warmup=self.mask_warmup,
            precision=self.precision,
        )

    def _read_validation(self, validation_set, spec, known):
        """Rows of a tuple (X, y), read as those of `fit`."""
        if len(validation_set) != 2:
            raise ValueError(
                f"validation_set must be a mask over the rows of X, or a tuple (X, y). Got {len(validation_set)} items."
            )
        data = self._read(validation_set[0], reset=False, spec=spec)
        targets = encode_targets(validation_set[1], known)
        if len(targets) != len(data):
            raise ValueError(
                f"validation_set has {len(data)} rows in X, but {len(targets)} labels; give one label per row."
            )
        observed = np.flatnonzero(data.present.any(axis=1))
        if len(observed) == 0:
            raise ValueError("validation_set has no row with an observed modality; give rows to validate on.")
        return LabelledRows(data, targets, np.ones(len(data)), observed)

    def _record_history(self):
        self.history_ = history_columns(self.net_)
        self.n_iter_ = len(self.history_["epoch"])
        self.best_epoch_ = self.net_.kept_epoch()
        if self.net_.interrupted_:
            warnings.warn(
                f"fit was interrupted in epoch {len(self.net_.history)}; the best weights so far (epoch "
                f"{self.best_epoch_}) are kept.",
                UserWarning,
                stacklevel=4,
            )

    def _read(self, X, *, reset, spec=None):
        """X as `Modalities`, checked against what was fitted unless `reset`."""
        if is_plain_table(X, self.modalities):
            X = validate_data(
                self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_features=int(reset)
            )
        if not reset and spec is None:
            spec = self._spec
        data = split_modalities(X, self.modalities, spec=spec, estimator=type(self).__name__)
        if reset and not is_plain_table(X, self.modalities):
            self.n_features_in_ = sum(data.widths)
            names = None if data.labels is None else [label for group in data.labels.values() for label in group]
            if names and all(isinstance(label, str) for label in names):
                self.feature_names_in_ = np.asarray(names, dtype=object)
            elif hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        return data

    # Predicting

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
        return self._probabilities(self._checked_input(X))

    def predict_proba_subsets(self, X, subsets):
        """Probabilities from several subsets of the modalities, embedding every row once.

        Parameters
        ----------
        X : as in `fit`
        subsets : array-like of bool, shape (n_subsets, n_modalities), or list of lists of str
            In the order of `modality_names_`, or names; a row is predicted from what it has of the subset.

        Returns
        -------
        ndarray of float64, shape (n_subsets, n_rows, n_classes) or (n_subsets, n_rows, n_labels)
            The class prior where a row has nothing of the subset.
        """
        data = self._checked_input(X)
        if all(isinstance(name, str) for subset in subsets for name in subset):
            subsets = [[name in subset for name in data.names] for subset in subsets]
        subsets = np.asarray(subsets)
        if subsets.dtype != bool or subsets.ndim != 2 or subsets.shape[1] != len(data.names):
            raise ValueError(
                f"subsets must be an array of bools with {len(data.names)} columns ({', '.join(data.names)}), or lists "
                f"of these names. Got {subsets.dtype} of shape {subsets.shape}."
            )
        views = data.present[:, None] & subsets
        logits = self._predictor.logits(data, views)
        return np.stack([self._calibrated(logits[:, v], views[:, v]) for v in range(len(subsets))])

    def predict_log_proba(self, X):
        """Logarithm of `predict_proba`, same shape."""
        return np.log(self.predict_proba(X))

    def predict(self, X):
        """Most probable class of each row, shape (n_rows,), or 0/1 a label, shape (n_rows, n_labels)."""
        probability = self.predict_proba(X)
        if self._kind == "multilabel":
            return (probability > 0.5).astype(int)
        return self.classes_[probability.argmax(axis=1)]

    def score(self, X, y, sample_weight=None):
        """Accuracy; of several labels a row, the share of rows with every reported label right.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            NaN or -1 where a label was not reported.
        sample_weight : array-like of shape (n_rows,), default=None

        Returns
        -------
        float
        """
        check_is_fitted(self)
        if self._kind != "multilabel":
            return super().score(X, y, sample_weight)
        targets = encode_targets(y, self._known_targets)
        right = (self.predict(X) == targets.encoded) | ~targets.reported
        return float(np.average(right.all(axis=1), weights=sample_weight))

    def gate_weights(self, X):
        """Weight of each modality in each row.

        Returns
        -------
        ndarray of float64, shape (n_rows, n_modalities)
            Rows sum to 1; exactly 0 where a modality is missing, and in rows with nothing observed.
        """
        data = self._checked_input(X)
        weights = np.zeros(data.present.shape)
        weights[:, self._predictor.inputs.active] = self._predictor.gate_weights(data)
        return weights

    def transform(self, X):
        """Fused embedding of each row.

        Returns
        -------
        ndarray of float64, shape (n_rows, embed_dim)
            Zeros in rows with nothing observed.
        """
        data = self._checked_input(X)
        fused = self._predictor.fused(data)
        fused[~self._observed(data)] = 0
        return fused

    def to_device(self, device):
        """Move the fitted model, e.g. to ``"cpu"`` or ``"cuda"``.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        self.net_.move_to(choose_device(device))
        return self

    def _checked_input(self, X):
        check_is_fitted(self)
        return self._read(X, reset=False)

    def _observed(self, data):
        """Rows with at least one modality that the network has a part for."""
        return data.present[:, self._predictor.inputs.active].any(axis=1)

    def _probabilities(self, data):
        unobserved = ~self._observed(data)
        if unobserved.any():
            warnings.warn(
                f"{unobserved.sum()} of {len(data)} rows have no observed modality; their prediction is the class "
                "prior.",
                UserWarning,
                stacklevel=3,
            )
        return self._calibrated(self._predictor.logits(data)[:, 0], data.present)

    def _calibrated(self, logits, present):
        """Probabilities of logits, given what they were computed from; the prior where that was nothing."""
        present = present[:, self._predictor.inputs.active]
        if self.temperature_ is not None:
            logits = logits / self.temperature_.temperature(present)[:, None]
        probability = expit(logits) if self._kind == "multilabel" else softmax(logits, axis=1)
        probability[~present.any(axis=1)] = self.class_prior_
        return probability


@contextmanager
def _as_before_if_refused(estimator, *names):
    """Attributes of a fitted estimator survive a fit that refuses its input."""
    before = {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}
    try:
        yield
    except Exception:
        for name in names:
            vars(estimator).pop(name, None)
        vars(estimator).update(before)
        raise


def _validation_fraction(fraction, n_rows):
    if fraction != "auto":
        return fraction
    return min(float(np.clip(200 / n_rows, 0.1, 0.2)), MAX_HELD_OUT / n_rows)


def _batch_size(batch_size, n_rows):
    if batch_size != "auto":
        return batch_size
    return int(2 ** np.clip(np.round(np.log2(max(n_rows, 1) / 8)), 5, 7))
