"""Going on with a fitted model: rows that arrive in parts, and calibration on rows that the weights never saw."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_aecf._data import quoted
from sklearn_aecf._labels import as_label_array, refuse_other_length
from sklearn_aecf._problem import declared_problem, magnitude
from sklearn_aecf._rows import (
    MAX_WEIGHT,
    LabelledRows,
    checked_weights,
    observed_rows_of,
    row_weights,
)
from sklearn_aecf._sklearn_support import all_or_nothing, with_callbacks
from sklearn_aecf._training import Interrupts, fit_reliability, fit_temperature, validation_views
from sklearn_aecf.masking import RandomCorruption
from sklearn_aecf.nn import AECFNetwork
from sklearn_aecf.nn._runtime import choose_device, seeded, suited_threads, usual_torch


class UpdatingMixin:
    """`partial_fit` and `calibrate` of a classifier."""

    @with_callbacks
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on with rows that have arrived: one pass over them, in batches, with the objective of `fit`.

        Means and scales of the features, and the class prior, are those of all rows so far. The optimizer goes on from
        where it was. Nothing is held out, so `early_stopping`, `validation_fraction`, `max_epochs`,
        `n_iter_no_change` and `learning_rate_schedule` have no influence. After `fit` it goes on from the fitted state.

        Parameters
        ----------
        X : as in `fit`
            Any number of rows. The first call needs every modality, with rows of NaN where nobody has it yet: such a
            modality is ignored until a row has it.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            As in `fit`; not every class need be there.
        classes : array-like of shape (n_classes,) or (n_labels,), default=None
            All classes that may ever come, needed in the first call; of several labels a row their names or positions,
            in the order of the columns.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative, on one scale in all calls. A row of weight 0 counts as left out.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If `classes` is missing in the first call or differs later, if y has other classes, if X does not match what
            came before, or if the training diverges. The estimator is then as it was.

        Notes
        -----
        The temperature is that of `fit` or of the last `calibrate`, and None before; it fits the weights less and less
        as they move on. What `fit` or `calibrate` learnt of reliability is dropped, because what was unusual may have
        become usual: every value is believed until `calibrate` is called again.

        Categories of columns of text are those of the first call. With ``add_gap_indicator=True`` every feature gets an
        indicator. ``class_weight="balanced"`` needs counts that nobody has yet, so it is only possible after `fit`,
        whose weights then stay.
        """
        self._check_params()
        first = not hasattr(self, "net_")
        if not first and not hasattr(self, "_weight_exponent"):
            raise ValueError(
                "The file that this model was loaded from does not say how many rows its statistics are of; fit the "
                "model anew, or save it with this version."
            )
        with all_or_nothing(self), usual_torch(), Interrupts() as interrupts:
            labelled = self._read_part(X, y, classes, sample_weight, first)
            if len(labelled):
                self._update(labelled, first, interrupts)
        return self

    def _read_part(self, X, y, classes, sample_weight, first):
        """The rows of a part, with the weights that they have in statistics and in the loss."""
        data = self._read(X, reset=first)
        self._check_scale(data.names)
        if first:
            self._start(data.spec, declared_problem(y, classes))
        elif classes is not None:
            self._refuse_other_classes(np.asarray(classes).tolist())
        targets = self._problem.encode(as_label_array(y, self.classes_))
        refuse_other_length(data, targets)
        weight = checked_weights(sample_weight, len(data))
        if first:
            self._weight_exponent = magnitude(weight)
        labelled = observed_rows_of(data, targets, self._on_scale(weight))
        if first:
            self._begin_with(labelled)
        elif len(labelled) == 0:
            return labelled
        else:
            self._refuse_without_part(labelled)
            self._inputs = self._inputs.updated(labelled)
        if not hasattr(self, "_weigher"):
            self._weigher = self._weigher_of(labelled)  # in the first call, and of a model that was loaded
        return labelled.weighed_by(self._weigher)

    def _weigher_of(self, labelled):
        """What makes a row of these weigh 1 on average."""
        weight = labelled.sample_weight[labelled.rows]
        return self._problem.weigher(labelled.chosen_targets, weight, self.class_weight)

    def _start(self, spec, problem):
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs the counts of all classes, which partial_fit does not have; give a "
                "dict, or call fit first."
            )
        self._adopt(spec, problem)
        self.class_prior_, self._prior_weight = problem.flat_prior, np.zeros(problem.n_outputs)
        self.temperature_ = None

    def _refuse_other_classes(self, given):
        known = self.classes_.tolist()
        # The order matters where classes are labels, each with its column.
        if given != known and (self._problem.label_order is None or set(map(repr, given)) != set(map(repr, known))):
            raise ValueError(
                f"`classes={given}` is not the same as on last call to partial_fit, was: {known}; give the same, or "
                "leave it out."
            )

    def _begin_with(self, labelled):
        """Statistics of the first rows."""
        if len(labelled) == 0:
            raise ValueError(
                "The first call of partial_fit needs a row with an observed modality and a positive weight. Got "
                f"{len(labelled.data)} without; begin with other rows."
            )
        self._inputs = self._fitted_inputs(labelled, more_to_come=True)

    def _on_scale(self, weight):
        """Sample weights on the scale of those that came first."""
        with np.errstate(over="ignore"):
            scaled = np.ldexp(weight, -self._weight_exponent)
        if scaled.max() > MAX_WEIGHT:
            raise ValueError(
                f"sample_weight holds {weight.max():g}, too large beside the largest of the first call; give weights "
                "on one scale in all calls."
            )
        return scaled

    def _refuse_without_part(self, labelled):
        """Raise where rows have a modality that the network has no part for."""
        present = labelled.data.present[labelled.rows].any(axis=0)
        present[self._inputs.active] = False
        if present.any():
            names = [name for name, here in zip(labelled.data.names, present, strict=True) if here]
            raise ValueError(
                f"Modality {quoted(names)} has come, but the network was made without it; fit anew, or begin with "
                "partial_fit and rows of NaN for it, which say how wide it will be."
            )

    def _update(self, labelled, first, interrupts):
        """Learn from the rows of a part."""
        self._update_prior(labelled)
        device = choose_device(self.device)
        n_known = 0 if first else len(self.net_.history)
        seed = np.random.SeedSequence([self._drawn_seed(), n_known]).generate_state(1).item() % 2**31
        schedule = self._schedule(len(labelled))._replace(max_epochs=1, has_cooldown=False)
        with seeded(seed, device):
            self._train_net(labelled, None, None, schedule, device, None if first else self.net_, interrupts)
        if interrupts.came:
            raise KeyboardInterrupt  # a loop over parts is to end, and this one is not learnt from
        self._record_history()

    def _update_prior(self, labelled):
        rows = labelled.chosen_targets, labelled.weight, labelled.label_weight
        added = self._problem.prior_weight(*rows)
        if added.any():
            total = self._prior_weight + added
            share = np.divide(added, total, out=np.zeros_like(total), where=total > 0)
            self.class_prior_ = self.class_prior_ + share * (self._problem.prior(*rows) - self.class_prior_)
            self._prior_weight = total

    def _drawn_seed(self):
        return check_random_state(self.random_state).randint(np.iinfo(np.int32).max)

    def calibrate(self, X, y, sample_weight=None):
        """Fit temperatures, and learn whom to believe, on rows that the weights never saw.

        After `partial_fit` there is neither until this is called. After `fit` it replaces what was fitted on the rows
        held out there, e.g. for another hospital.

        Parameters
        ----------
        X : as in `fit`
            Rows that were not trained on: on others the model would look better than it is. Temperatures take few.
            Reliability takes 300 known rows of a modality, and one with fewer is believed; where all have fewer, it
            stays as it is.
        y : array-like of shape (n_rows,) or (n_rows, n_labels)
            As in `fit`; not every class need be there.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row; None weighs all alike.

        Returns
        -------
        self
            The estimator itself.

        Raises
        ------
        TypeError, ValueError
            If X and y do not match what was fitted, if no row has an observed modality, or if ``temperature=None`` and
            ``corruption_rate=0`` leave nothing to fit. The estimator is then as it was.
        """
        check_is_fitted(self)
        self._check_params()
        tells = self.corruption_rate > 0 and isinstance(self.net_.module_, AECFNetwork)
        if self.temperature is None and not tells:
            raise ValueError(
                "There is nothing to calibrate with temperature=None and corruption_rate=0; set one of them first."
            )
        seed, device = self._drawn_seed(), self.net_.device
        with usual_torch():
            held_out = self._read_held_out(X, y, sample_weight)
            # What is learnt anew must not be heard meanwhile.
            network = deepcopy(self.net_.module_)
            network.reliability = None
            model, reliability = replace(self._model, network=network, temperature=None), None
            if self.temperature is not None:
                with seeded(seed, device):
                    views = validation_views(held_out, self._inputs)
                model.temperature = fit_temperature(model, held_out, views.numpy(), self.temperature)
            if tells:
                corruption = RandomCorruption() if self.corruption is None else clone(self.corruption)
                corruption.check()
                with seeded(seed, device), suited_threads(self.net_.batch_size * self._work_per_row(self.net_)):
                    reliability = fit_reliability(model, held_out, None, corruption, self.corruption_rate)
        self.temperature_ = model.temperature
        if reliability is not None:
            self.net_.module_.reliability = reliability
        return self

    def _read_held_out(self, X, y, sample_weight):
        data = self._checked_input(X)
        targets = self._problem.encode(as_label_array(y, self.classes_))
        refuse_other_length(data, targets)
        weight = row_weights(sample_weight, len(data))
        held_out = LabelledRows(data, targets, weight, np.flatnonzero(data.present.any(axis=1) & (weight > 0)))
        if len(held_out) == 0:
            raise ValueError(
                f"calibrate needs a row with an observed modality and a positive weight. Got {len(data)} without; "
                "give rows that have something."
            )
        return held_out.weighed_by(self._weigher_of(held_out))
