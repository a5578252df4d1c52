"""AECFClassifier: checks, labels and the order of the phases; tensors are `_training`'s."""

from collections.abc import Mapping
from numbers import Integral, Real

import joblib
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import validate_data

from sklearn_aecf._data import (
    as_array,
    as_dense,
    as_numbers,
    did_you_mean,
    form_of,
    frame_columns,
    holds_more_than_numbers,
    is_frame,
    quoted,
    refuse_twins,
    split_modalities,
    warn_caller,
    warn_one_table,
)
from sklearn_aecf._export import ExportMixin
from sklearn_aecf._inputs import NetworkInputs
from sklearn_aecf._labels import as_label_array, refuse_other_length
from sklearn_aecf._predicting import PredictingMixin
from sklearn_aecf._problem import magnitude, near_one, read_targets
from sklearn_aecf._rows import (
    LabelledRows,
    checked_weights,
    hold_out,
    refuse_other_rows,
    usable_rows,
    warn_filled,
    warn_never_observed,
    weighed,
)
from sklearn_aecf._saving import SavingMixin
from sklearn_aecf._sklearn_support import (
    CallbackSupportMixin,
    EpochTasks,
    NestedEncodersMixin,
    all_or_nothing,
    with_callbacks,
)
from sklearn_aecf._training import (
    Interrupts,
    Schedule,
    fit_reliability,
    fit_temperature,
    fits_repeatedly,
    history_columns,
    make_net,
    training_rows,
    validation_views,
)
from sklearn_aecf._training._own_encoders import own_encoders
from sklearn_aecf._updating import UpdatingMixin
from sklearn_aecf.distributed import ALONE, current_ranks
from sklearn_aecf.masking import (
    Corruption,
    EntropyMasking,
    Masking,
    RandomCorruption,
    RegretMasking,
    UniformMasking,
)
from sklearn_aecf.nn import AECFNetwork
from sklearn_aecf.nn._runtime import choose_device, seeded, suited_threads, usual_torch

# More held-out rows than this would make no validation loss more certain than the differences that matter.
MAX_HELD_OUT = 10_000


class AECFClassifier(
    SavingMixin,
    ExportMixin,
    UpdatingMixin,
    PredictingMixin,
    NestedEncodersMixin,
    ClassNamePrefixFeaturesOutMixin,
    CallbackSupportMixin,
    TransformerMixin,
    ClassifierMixin,
    BaseEstimator,
):
    """Classify rows of several modalities, any of which may be missing.

    Each modality is embedded by a small network, or by an encoder of your own; a gate weighs the embeddings that a row
    has; heads classify their weighted sum. In training, modalities are hidden on purpose. An entropy term, stronger
    where the prediction is uncertain, keeps the gate from collapsing. Predictions from fewer modalities learn from
    those from more (contrastive expert calibration). Afterwards a temperature per subset of modalities is fitted on
    rows held out.

    A row of NaN in a modality means that it is missing there; single NaN inside an observed modality are gaps, filled
    with the training mean; a row with nothing observed gets the class prior.

    Parameters
    ----------
    modalities : dict of str to columns, default=None
        Column groups of an array (slice or positions) or a DataFrame (names or a pattern such as ``"note_*"``). None
        takes such X as one modality, with a warning that ``{"X": slice(None)}`` silences, or, for columns of two
        levels, groups by the first. Columns in no group are not used: a warning says so where these are most, and
        ``verbose=1`` where they are fewer. `modalities` is not used where X is a mapping of modalities.
    encoders : dict of str to torch module or callable, default=None
        Encoders of your own, by name of the modality, trained with the rest: a module from a batch of shape (b, ...)
        to a vector a row, or a callable without arguments that returns one. A module is copied and starts with the
        weights that it has; what a callable makes is seeded by `random_state`. Such a modality may have any shape
        behind the first axis; its encoder gets float32, or int64 of signed integers, and only rows that have it.
        Parameters of a callable with ``get_params`` can be searched over: ``encoders__image__width``.
    embed_dim : int, default=128
        Width of a modality's embedding. An encoder with another width is followed by a linear layer.
    hidden_dim : int, default=256
        Width of the layer before it.
    dropout : float, default=0.5
        Rate in [0, 1) of dropout in the embeddings and before the heads.
    n_members : int, default=8
        Heads of the ensemble that shares the embeddings (ours); 1 is the paper's network.
    network : type or callable, default=None
        Makes the network, from the arguments of `sklearn_aecf.nn.AECFNetwork`; None is that class. A subclass may
        override ``forward``: training, prediction and explanation all call it.
    masking : {"uniform", "entropy", "regret"}, Masking or None, default="uniform"
        What decides which modalities are hidden in training: chance alone, the gate's entropy (the paper's adaptive
        curriculum), or how badly each subset is handled (ours, up to 8 modalities); or an object of
        :mod:`sklearn_aecf.masking`, or of a subclass of your own. None hides nothing.
    mask_rate : float, default=0.5
        Mean probability in [0, 1) that an observed modality is drawn to be hidden; every row draws its own, uniform
        around this mean (ours). Since one modality always stays, less is hidden: at 0.5 a third of two modalities
        (``hidden_share`` in `history_`). With ``masking="regret"`` it is the share of draws that hide anything. Not
        used where `masking` is an object, which has its own.
    entropy_weight : float, default=0.2
        Strength of the entropy term; 0 switches it off. In each row it is multiplied by ``softplus(U / scale)``, with
        ``U`` the row's uncertainty.
    entropy_scale : float or "auto", default="auto"
        The scale of the uncertainty. ``"auto"`` is its running mean (ours): a row of average uncertainty then gets
        1.31 times the weight, a certain one 0.69 times, and none more than 3 times. 1.0 is the paper's formula, in
        which rows hardly differ, because U is small.
    agreement_weight : float, default=0.3
        Strength of the pull from predictions of fewer modalities towards those of more (ours); 0 switches it off.
    monotone_weight : float, default=0.0
        Strength of the penalty on confidence that grows as modalities are hidden: the paper's contrastive expert
        calibration. Off, because neither scores nor calibration gained by it on four data sets.
    corruption_rate : float, default=0.1
        Share in [0, 1) of modalities that are taken to be broken before anything is seen of their values (ours). With
        it the model learns, after the rest, which values are such as their sensor gave in training, and listens less
        to others; see `modality_reliability`. It takes 220 known rows of a modality, or 300 where none are held out;
        one with fewer is believed. 0 switches it off: then values are believed whatever they are.
    corruption : Corruption, default=None
        What a broken sensor might do to values, to learn from: an object of :mod:`sklearn_aecf.masking`, or of a
        subclass of your own. None is `RandomCorruption`. What it does not do is found, too, as far as it makes values
        unlike those of training.
    learning_rate : float, default=3e-3
        Step size of the optimizer, AdamW.
    learning_rate_schedule : {"constant", "cooldown"}, default="constant"
        With ``"cooldown"`` training does not stop where it otherwise would: it goes on from the best weights for 0.3
        times as many epochs, while the learning rate falls to 0 [3]_. An ``LRScheduler`` or ``EarlyStopping`` among the
        `callbacks` takes the place of that.
    weight_decay : float, default=1e-2
        Share of each weight, times the learning rate, that AdamW takes away in a step.
    batch_size : int or "auto", default="auto"
        Rows a step; ``"auto"`` is the power of two next to n / 8, between 32 and 128; from 72,000 rows on that next to
        n / 400, at most 1024.
    max_epochs : int or "auto", default="auto"
        Passes over the training rows, at most; ``"auto"`` is 100, or as many as 1,000 steps take.
    early_stopping : bool, default=True
        Hold rows out and keep the weights of the epoch with the lowest validation loss, averaged over the mask rates
        0, 0.3, 0.5 and 0.7. With a `temperature` it is the loss that rescaled confidence would leave
        (``"valid_refined_loss"`` in `history_`) [2]_: overconfidence is mended afterwards and does not end the
        training. False trains for `max_epochs` and keeps the last weights, also where a ``validation_set`` is given.
    validation_fraction : float, "auto" or splitter of scikit-learn, default="auto"
        Share of the rows held out, stratified by class where every class has rows enough, or of whole ``groups``;
        ``"auto"`` is 200 rows, but no less than 10 % (or 10,000 rows) and no more than 20 %. Of a splitter, e.g.
        ``TimeSeriesSplit()``, the last split is taken: what it trains on, and what it tests on.
    n_iter_no_change : int or "auto", default="auto"
        Epochs without a better validation loss after which training stops, or the cooldown begins; ``"auto"`` is 10, or
        as many as 60 steps take; where 10 epochs have more than 1,000 steps, as many as these take, but no fewer than
        3.
    temperature : {"subset", "global"} or None, default="subset"
        Calibration on the held-out rows, see `SubsetTemperature`. Without such rows there is none.
    scale : {"standard"}, list of str or None, default="standard"
        Which modalities have every feature standardised by its observed training values: all but those with an
        encoder of their own, those that are listed, or none.
    categorical_features : {"from_dtype"} or None, default="from_dtype"
        What becomes of columns of text, of pandas' and polars' categories: an indicator a category, or one for two of
        them. A category that was not there at fit counts as unknown, with a warning. None refuses such columns.
        Booleans are numbers, and columns with a vector in each cell stand for its values.
    add_gap_indicator : bool, default=False
        Add a column to the network's inputs for each feature with gaps in training.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; for multilabel targets a dict gives weights of labels by position or name.
    device : str, default="auto"
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"auto"`` is cuda, then mps, then cpu, decided at `fit`.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the matrix products; the gate and the losses are always float32.
    callbacks : list of skorch callbacks, default=None
        Any of skorch's, e.g. ``[skorch.callbacks.LRScheduler(...)]``. An ``EarlyStopping`` among them takes the place
        of the one that `early_stopping` stands for. With a ``Checkpoint`` and a ``LoadInitState`` a long fit that broke
        off goes on where the checkpoint was written.
    warm_start : bool, default=False
        Go on from the previous `fit` instead of starting again; with the optimizer's state where that one had
        ``warm_start=True``, too.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, order, masks and split. With an int and the same number of threads a fit on CPU is
        bit-identical. The global random states are not touched.
    verbose : int, default=0
        1 shows skorch's progress bar and table, with the seconds that are left at most. 0 is silent, but a fit that may
        take more than five minutes is warned about after its first epoch.

    Attributes
    ----------
    classes_ : ndarray
        Sorted classes; for multilabel targets the names of the labels where y was a DataFrame, else their positions.
    modality_names_ : list of str
        Modalities in fitted order.
    n_features_per_modality_ : dict of str to int
        Features of each modality; of one with an encoder of its own the product of its shape.
    n_features_in_ : int
        Features of all modalities together.
    feature_names_in_ : ndarray of str
        Column names, where X was a DataFrame with string names.
    class_prior_ : ndarray of shape (n_classes,)
        Prediction for rows with nothing observed.
    net_ : skorch.NeuralNet
        The trained net; its ``module_`` is the network.
    history_ : dict of str to ndarray
        One entry an epoch: losses, gate entropy, entropy coefficient, share of modalities hidden, duration in seconds.
    temperature_ : SubsetTemperature or None
        Fitted on the rows held out.
    n_iter_ : int
        Epochs run.
    best_epoch_ : int
        Epoch whose weights are kept, from 1 on.

    See Also
    --------
    MultimodalData : The container for everything in scikit-learn that splits X.

    Notes
    -----
    **Parameters by task.**

    - Data: `modalities`, `scale`, `categorical_features`, `add_gap_indicator`, `class_weight`.
    - Network: `encoders`, `embed_dim`, `hidden_dim`, `dropout`, `n_members`, `network`.
    - Method: `masking`, `mask_rate`, `entropy_weight`, `entropy_scale`, `agreement_weight`, `monotone_weight`,
      `corruption_rate`, `corruption`, `temperature`.
    - Training: `learning_rate`, `learning_rate_schedule`, `weight_decay`, `batch_size`, `max_epochs`, `early_stopping`,
      `validation_fraction`, `n_iter_no_change`, `callbacks`, `warm_start`.
    - Running: `device`, `precision`, `random_state`, `verbose`.

    A plain dict works in `fit` and `predict` only. Tools that split X count a dict's keys as rows and stop with
    "Found input variables with inconsistent numbers of samples". The remedy is ``X = MultimodalData(X)``.

    A fit that raises leaves the estimator as it was. Ctrl-C after an epoch has ended keeps the best weights, with a
    warning; before, and inside tools that fit repeatedly, it raises ``KeyboardInterrupt``.

    torch has one set of random generators a process: a thread that draws from it during a fit changes that fit's draws
    and its own.

    References
    ----------
    .. [1] Chlon, Chlon and Awada, *Robust Multimodal Learning via Entropy-Gated Contrastive Fusion*,
       arXiv:2505.15417. What goes beyond it is marked "ours".
    .. [2] Berta, Holzmueller, Jordan and Bach, *Rethinking Early Stopping: Refine, Then Calibrate*, arXiv:2501.19195.
       Here for several views of a row, and label by label.
    .. [3] Haegele, Bakouch, Kosson, Ben Allal, Von Werra and Jaggi, *Scaling Laws and Compute-Optimal Training Beyond
       Fixed Training Durations*, arXiv:2405.18392. Here after early stopping, from the best weights (ours).

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
        "encoders": [dict, None],
        "embed_dim": [Interval(Integral, 1, 2**31, closed="left")],
        "hidden_dim": [Interval(Integral, 1, 2**31, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "n_members": [Interval(Integral, 1, 2**31, closed="left")],
        "network": [callable, None],
        "masking": [StrOptions({"entropy", "uniform", "regret"}), Masking, None],
        "mask_rate": [Interval(Real, 0, 1, closed="left")],
        "entropy_weight": [Interval(Real, 0, 1e6, closed="left")],
        "entropy_scale": [Interval(Real, 1e-6, 1e6, closed="both"), StrOptions({"auto"})],
        "agreement_weight": [Interval(Real, 0, 1e6, closed="left")],
        "monotone_weight": [Interval(Real, 0, 1e6, closed="left")],
        "corruption_rate": [Interval(Real, 0, 1, closed="left")],
        "corruption": [Corruption, None],
        "learning_rate": [Interval(Real, 0, 3e38, closed="neither")],
        "learning_rate_schedule": [StrOptions({"constant", "cooldown"})],
        "weight_decay": [Interval(Real, 0, 3e38, closed="left")],
        "batch_size": [Interval(Integral, 1, 2**31, closed="left"), StrOptions({"auto"})],
        "max_epochs": [Interval(Integral, 1, 2**31, closed="left"), StrOptions({"auto"})],
        "early_stopping": ["boolean"],
        "validation_fraction": [
            Interval(Real, 0, 1, closed="neither"),
            StrOptions({"auto"}),
            HasMethods(["split", "get_n_splits"]),
        ],
        "n_iter_no_change": [Interval(Integral, 1, 2**31, closed="left"), StrOptions({"auto"})],
        "temperature": [StrOptions({"subset", "global"}), None],
        "scale": [StrOptions({"standard"}), list, None],
        "categorical_features": [StrOptions({"from_dtype"}), None],
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
        encoders=None,
        embed_dim=128,
        hidden_dim=256,
        dropout=0.5,
        n_members=8,
        network=None,
        masking="uniform",
        mask_rate=0.5,
        entropy_weight=0.2,
        entropy_scale="auto",
        agreement_weight=0.3,
        monotone_weight=0.0,
        corruption_rate=0.1,
        corruption=None,
        learning_rate=3e-3,
        learning_rate_schedule="constant",
        weight_decay=1e-2,
        batch_size="auto",
        max_epochs="auto",
        early_stopping=True,
        validation_fraction="auto",
        n_iter_no_change="auto",
        temperature="subset",
        scale="standard",
        categorical_features="from_dtype",
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
        self.encoders = encoders
        self.embed_dim = embed_dim
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.n_members = n_members
        self.network = network
        self.masking = masking
        self.mask_rate = mask_rate
        self.entropy_weight = entropy_weight
        self.entropy_scale = entropy_scale
        self.agreement_weight = agreement_weight
        self.monotone_weight = monotone_weight
        self.corruption_rate = corruption_rate
        self.corruption = corruption
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.temperature = temperature
        self.scale = scale
        self.categorical_features = categorical_features
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

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, groups=None, validation_set=None):
        """Fit to rows of several modalities.

        Parameters
        ----------
        X : dict of str to array-like, MultimodalData, array-like or DataFrame
            A dict has one array of shape (n_rows, n_features) per modality, with a row of NaN where it is missing; of
            a modality with an encoder of its own the array may have any shape (n_rows, ...). For arrays and DataFrames
            see `modalities`.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            Classes, or 0/1 a label with NaN or -1 where it was not reported.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative. A row of weight 0 counts as left out.
        groups : array-like of shape (n_rows,), default=None
            Whom each row comes from, e.g. the hospital or the user. Whole groups are then held out, so that training
            stops, and confidence is calibrated, on rows of others, as `predict` will get. scikit-learn's searches pass
            it on where metadata routing is enabled and asked for: ``clf.set_fit_request(groups=True)``. Beside a
            `validation_set` nothing is drawn; a mask that tears groups apart is told.
        validation_set : mask of shape (n_rows,) or tuple (X, y), default=None
            The rows to hold out instead of a random share: True in a mask over the rows of `X` (which scikit-learn's
            tools can slice), or other data in the same form, e.g. of other users.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            One sentence that names the modality, what was expected, what came and what to do; before any training. The
            estimator is then as it was.
        """
        self._check_params()
        again = self.warm_start and hasattr(self, "net_")
        ranks = current_ranks()
        with all_or_nothing(self), usual_torch(), Interrupts() as interrupts:
            with ranks.together():
                training, validation, seed = self._read_rows(X, y, sample_weight, groups, validation_set, again, ranks)
                refuse_other_rows(ranks, training, validation, self._plain_params(but={"device", "verbose"}))
                if not again:
                    warn_never_observed(training)
                    warn_filled(training, frozenset(self.encoders or ()))
            self._train(training, validation, seed, again, interrupts, ranks)
            if interrupts.came and not self.net_.interrupted_:
                raise KeyboardInterrupt
        return self

    def _check_params(self):
        self._validate_params()
        if self.network is not None and not isinstance(self.network, type) and hasattr(self.network, "parameters"):
            raise TypeError(
                "network must be a class, or a function that makes a module of the arguments of AECFNetwork. Got a "
                "module; give its class."
            )

    def _read_rows(self, X, y, sample_weight, groups, validation_set, again, ranks):
        """X and y as rows to train and to validate on, with their weights, and a seed."""
        data = self._read(X, reset=not again)
        self._check_scale(data.names)
        if again:
            problem, targets = self._problem, self._problem.encode(as_label_array(y, self.classes_))
        else:
            problem, targets = read_targets(y)
        refuse_other_length(data, targets)
        given = checked_weights(sample_weight, len(data))
        weight = near_one(given)
        seed = ranks.exchange(self._drawn_seed())[0]
        usable = usable_rows(data, targets, weight, problem)
        if isinstance(validation_set, tuple | list) and len(validation_set) != len(data):
            typical = weight[usable.rows].mean()
            validation_set = self._read_validation(validation_set, data.spec, problem, typical)
        fraction = _validation_fraction(self.validation_fraction, len(data)) if self.early_stopping else None
        training, validation = hold_out(usable, validation_set, fraction, groups, seed, problem)
        training, validation, weigh = weighed(training, validation, self.class_weight, problem)
        if not again:
            self._adopt(data.spec, problem)
            # Further rows will be weighed as these.
            self._weigher, self._weight_exponent = weigh, magnitude(given)
        return training, validation, seed

    def _adopt(self, spec, problem):
        """Take on what X and y look like, and the attributes that say so."""
        self._spec, self._problem = spec, problem
        self.classes_ = problem.classes
        self.modality_names_ = list(spec.names)
        self.n_features_per_modality_ = dict(zip(spec.names, spec.widths, strict=True))
        self._n_features_out = self.embed_dim

    def _check_scale(self, names):
        for name in self.scale if isinstance(self.scale, list) else ():
            if name not in names:
                raise ValueError(
                    f"scale names modality {name!r}, which X lacks{did_you_mean(name, names)} "
                    f"Modalities: {quoted(names)}."
                )

    def _standardized(self, name):
        """Whether a modality is to be standardised."""
        if self.scale == "standard":
            return name not in (self.encoders or ())
        return self.scale is not None and name in self.scale

    def _train(self, training, validation, seed, again, interrupts, ranks):
        """The phases that need a generator: initial weights, epochs, temperature, reliability."""
        device = ranks.device(choose_device(self.device))
        corruption = RandomCorruption() if self.corruption is None else clone(self.corruption)
        with seeded(seed, device):
            with ranks.together():
                corruption.check()
                if not again:
                    self._inputs = self._fitted_inputs(training, ranks=ranks)
                learnt_from = training.chosen_targets, training.weight, training.label_weight
                self.class_prior_ = self._problem.prior(*learnt_from)
                self._prior_weight = self._problem.prior_weight(*learnt_from)
                self.temperature_ = None
                views = validation_views(validation, self._inputs)
            before, schedule = self.net_ if again else None, self._schedule(len(training))
            self._train_net(training, validation, views, schedule, device, before, interrupts, ranks)
        net = self.net_
        if net.interrupted_ and (fits_repeatedly() or not ranks.alone):
            raise KeyboardInterrupt
        if not self.warm_start:
            net.optimizer_.state.clear()
        net.history_ = ranks.exchange(net.history)[0]
        self._record_history()
        if validation is not None and self.temperature is not None:
            self.temperature_ = ranks.from_first(
                lambda: fit_temperature(self._model, validation, views.numpy(), self.temperature)
            )
        if self.corruption_rate > 0 and isinstance(net.module_, AECFNetwork):
            with seeded(seed, device), suited_threads(net.batch_size * self._work_per_row(net)):
                found = ranks.from_first(
                    lambda: fit_reliability(self._model, training, validation, corruption, self.corruption_rate)
                )
            net.module_.reliability = None if found is None else found.to(device)

    def _fitted_inputs(self, training, **options):
        return NetworkInputs.fit(
            training,
            standardized=self._standardized,
            gap_indicator=self.add_gap_indicator,
            raw=frozenset(self.encoders or ()),
            **options,
        )

    def _train_net(self, training, validation, views, schedule, device, before, interrupts, ranks=ALONE):
        """A net of the parameters, trained on some rows; it goes on from the net `before`, if there is one."""
        with ranks.together():
            net = self._make_net(
                own_encoders(self.encoders or {}, self._inputs, training, int(self.embed_dim)),
                None if validation is None else training_rows(self._inputs, validation, device, views),
                schedule._replace(batch_size=ranks.part_of(schedule.batch_size)),
                device,
                self.callbacks,
                # Checkpoints are written and read by callbacks alone.
                self._fingerprint(training, views) if self.callbacks else "",
            )
            if before is not None:
                net.take_over(before)
            else:
                net.initialize()
            ranks.start_alike([net.module_, net.criterion_])
            self.net_ = net
            # Rows that this rank trains on; those held out are shared batch by batch.
            rows = training_rows(self._inputs, training.some(ranks.share(len(training))), device)
        with suited_threads(net.batch_size * self._work_per_row(net)):
            net.epoch_tasks, net.interrupts, net.ranks = EpochTasks(self, net.max_epochs), interrupts, ranks
            net.partial_fit(rows)
            net.epoch_tasks.end()
        net.refuse_divergence()
        net.release()

    def _schedule(self, n_rows):
        has_cooldown = self.learning_rate_schedule == "cooldown"
        return Schedule.of(n_rows, self.batch_size, self.max_epochs, self.n_iter_no_change, has_cooldown)

    def _make_net(self, encoders, validation, schedule, device, callbacks=None, fingerprint=""):
        """The net of the parameters, from encoders that are ready and rows to validate on."""
        return make_net(
            network=self.network or AECFNetwork,
            network_params={
                "n_features": self._inputs.n_features,
                "n_outputs": self._problem.n_outputs,
                "embed_dim": int(self.embed_dim),
                "hidden_dim": int(self.hidden_dim),
                "dropout": self.dropout,
                "n_members": int(self.n_members),
                "encoders": encoders,
            },
            objective_params={
                "n_modalities": len(self._inputs.active),
                "masking": masking_of(self.masking, self.mask_rate),
                "entropy_weight": self.entropy_weight,
                "entropy_scale": self.entropy_scale,
                "agreement_weight": self.agreement_weight,
                "monotone_weight": self.monotone_weight,
            },
            problem=self._problem,
            validation=validation,
            batch_size=schedule.batch_size,
            max_epochs=schedule.max_epochs,
            learning_rate=self.learning_rate,
            has_cooldown=schedule.has_cooldown,
            weight_decay=self.weight_decay,
            patience=schedule.n_iter_no_change if self.early_stopping else None,
            # What a temperature mends afterwards is no reason to stop.
            stopping_loss="valid_loss" if self.temperature is None else "valid_refined_loss",
            callbacks=callbacks,
            verbose=self.verbose if current_ranks().is_first else 0,
            device=device,
            precision=self.precision,
            fingerprint=fingerprint,
        )

    def _fingerprint(self, training, views):
        """What a checkpoint must have been written with: rows, labels and parameters, but for how long to train."""
        params = self._plain_params(but={"max_epochs", "verbose", "warm_start", "device"})
        rows = training.chosen_targets, training.present(self._inputs.active), training.weight
        return joblib.hash((params, rows, self._inputs.parts, None if views is None else views.numpy()))

    def _plain_params(self, but):
        """Parameters that are text or numbers, but for some."""
        plain, params = (str, int, float, type(None)), self.get_params(deep=False)
        return {name: value for name, value in params.items() if isinstance(value, plain) and name not in but}

    def _work_per_row(self, net):
        """Multiplications of a row in the embeddings, which decide how many threads a step can use."""
        if self._spec.raw:
            return np.inf  # of an encoder of the user's nobody knows; they are rarely small
        return sum(net.module__hidden_dim * (width + net.module__embed_dim) for width in self._inputs.n_features)

    def _read_validation(self, validation_set, spec, problem, weight):
        """Rows of a tuple (X, y), read as those of `fit`; each weighs as much as a typical training row."""
        if len(validation_set) != 2:
            raise ValueError(
                f"validation_set must be a mask over the rows of X, or a tuple (X, y). Got {len(validation_set)} items."
            )
        data = self._read(validation_set[0], reset=False, spec=spec)
        targets = problem.encode(as_label_array(validation_set[1], problem.classes))
        if len(targets) != len(data):
            raise ValueError(
                f"validation_set has {len(data)} rows in X, but {len(targets)} labels; give one label per row."
            )
        observed = np.flatnonzero(data.present.any(axis=1))
        if len(observed) == 0:
            raise ValueError("validation_set has no row with an observed modality; give rows to validate on.")
        return LabelledRows(data, targets, np.full(len(data), weight), observed)

    def _record_history(self):
        self.history_ = history_columns(self.net_)
        self.n_iter_ = len(self.history_["epoch"])
        self.best_epoch_ = self.net_.kept_epoch()
        early = any(callback.load_best for callback in self.net_.stoppers())
        kept = f"the best weights so far (epoch {self.best_epoch_}) are kept" if early else "its weights are kept"
        if self.net_.interrupted_:
            warn_caller(f"fit was interrupted in epoch {len(self.net_.history)}; {kept}.")
        if self.net_.divergence_:
            warn_caller(f"{self.net_.divergence_} The weights of epoch {self.best_epoch_} are kept.")

    def _read(self, X, *, reset, spec=None):
        """X as `Modalities`, checked against what was fitted unless `reset`."""
        refuse_single_rows(X)
        form = form_of(X, self.modalities)
        plain = form.is_plain_table
        if plain:
            X = self._validated_table(X, reset)
        if not reset and spec is None:
            spec = self._spec
        data = split_modalities(
            X,
            self.modalities,
            spec=spec,
            estimator=type(self).__name__,
            raw=frozenset(self.encoders or ()) if spec is None else spec.raw,
            encode=self.categorical_features is not None,
        )
        if reset and plain and not data.spec.raw:
            columns = frame_columns(form.X) if is_frame(form.X) else None
            warn_one_table(columns or data.spec.shapes[0][0])
        if reset and not plain:
            form.tell_unused(self.verbose if current_ranks().is_first else 0)
            self.n_features_in_ = sum(data.spec.widths)
            labels = data.spec.labels
            names = None if labels is None else [label for group in labels.values() for label in group]
            if names and all(isinstance(label, str) for label in names):
                self.feature_names_in_ = np.asarray(names, dtype=object)
            elif hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
        return data

    def _validated_table(self, X, reset):
        """X as scikit-learn's own checks leave it, which know numbers only."""
        if is_frame(X):
            refuse_twins(frame_columns(X), "X")
            X = as_dense(X)
        elif isinstance(X, list | tuple):
            X = as_array(X, "X")
        if holds_more_than_numbers(X):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        if isinstance(X, np.ndarray) and X.dtype.kind == "O":
            numbers = as_numbers(X)  # also of NA, which scikit-learn knows in frames only
            X = X if numbers is None else numbers
        return validate_data(
            self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_features=int(reset)
        )

    # Here and not in a mixin: scikit-learn wraps what the class itself defines for `set_output`.
    def transform(self, X):
        """Fused embedding of each row.

        Parameters
        ----------
        X : as in `predict_proba`
            Rows in the form that `fit` got; modalities may be left out of a dict.

        Returns
        -------
        ndarray of float64, shape (n_rows, embed_dim)
            Zeros in rows with nothing observed.
        """
        return self._model.fused(self._checked_input(X))


def refuse_single_rows(X):
    """Raise where X is one row, or rows, in a form that is no table."""
    if isinstance(X, list | tuple) and X and isinstance(X[0], Mapping):
        raise TypeError("X is a list of dicts, one a row; make a table of it: pandas.DataFrame(X).")
    if hasattr(X, "to_frame") and getattr(X, "shape", (0, 0))[1:] == ():
        raise ValueError(
            f"X is a Series of {len(X)} values; give a DataFrame: of one row, e.g., frame.iloc[[0]], of one column "
            "X.to_frame()."
        )


def masking_of(masking, rate):
    """The strategy that a name stands for, or a copy of the one given."""
    if isinstance(masking, Masking):
        return clone(masking)
    named = {"uniform": UniformMasking, "entropy": EntropyMasking, "regret": RegretMasking}
    return None if masking is None else named[masking](rate)


def _validation_fraction(fraction, n_rows):
    if fraction != "auto":
        return fraction
    return min(float(np.clip(200 / n_rows, 0.1, 0.2)), MAX_HELD_OUT / n_rows)
