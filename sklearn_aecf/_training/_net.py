"""The skorch net, and the choice of its arguments."""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, LRScheduler, PassthroughScoring, PrintLog, ProgressBar
from skorch.helper import predefined_split
from skorch.history import History
from skorch.utils import noop

from sklearn_aecf._training._batches import BatchIterator
from sklearn_aecf._training._callbacks import AgreeOnEpoch, CoolDown, EndEpochTask, KeepState, StopWhenAsked, TellTime
from sklearn_aecf._training._objective import AECFObjective
from sklearn_aecf.distributed import ALONE
from sklearn_aecf.nn import AECFNetwork
from sklearn_aecf.nn._runtime import autocast


class TrainingDivergedError(ValueError):
    """Losses or weights are no longer finite."""


class _Step(NamedTuple):
    """What is kept of a step until the epoch ends: tensors, not yet fetched."""

    size: int
    loss: torch.Tensor
    parts: dict
    outcome: dict[str, Any] | None = None


class AECFNet(ClassifierMixin, NeuralNet):
    """skorch's net with AECF's training and validation step.

    Steps fetch nothing from the device: losses are collected and recorded once an epoch, those of its batches too, of
    which the history keeps the last epoch's. Callbacks that listen to batches get theirs as they come. To scorers it is
    a classifier of class indices, or of labels.

    Parameters
    ----------
    problem : Multiclass or Multilabel
    precision : {"float32", "bfloat16"}
    fingerprint : str
        Of the rows, labels and parameters: a checkpoint of others is refused.
    **kwargs
        skorch's.
    """

    def __init__(self, *args, problem=None, precision="float32", fingerprint="", **kwargs):
        super().__init__(*args, **kwargs)
        self.problem = problem
        self.precision = precision
        self.fingerprint = fingerprint
        self.epoch_tasks = None
        self.stop_requested = False
        self.interrupts = None
        self.n_known = 0
        self.ranks = ALONE

    @property
    def _default_callbacks(self):
        return [
            ("epoch_timer", EpochTimer()),
            ("train_loss", PassthroughScoring("train_loss", on_train=True)),
            ("valid_loss", PassthroughScoring("valid_loss")),
            ("print_log", PrintLog()),
        ]

    @property
    def classes_(self):
        """Class indices, or positions of labels."""
        return np.arange(self.problem.n_outputs)

    # One batch

    def infer(self, x, **options):
        """The network's output for the X of a batch."""
        output = self.module_(x["inputs"], x["present"], views=x["views"], **options)
        needed = {"logits", "weights", "entropy", "fused"}
        if isinstance(self.module_, AECFNetwork):
            needed.add("embeddings")
        lacking = needed - set(output if isinstance(output, dict) else ())
        if lacking:
            raise ValueError(
                f"forward of {type(self.module_).__name__} must return a dict as AECFNetwork.forward does. It lacks "
                f"{', '.join(map(repr, sorted(lacking)))}."
            )
        return output

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Loss of the network's output; in training the objective, else the mean over the validation views."""
        return self._losses(y_pred, y_true, X, training)[0]

    def _losses(self, output, target, X, training):
        if training:
            return self.criterion_(output, target, X)
        return self._validation_losses(self.mean_logits(output), target, X)

    def _validation_losses(self, logits, target, X):
        each = self.problem.loss(logits, target, X["label_weight"])
        return (each * X["weight"]).mean(), {"valid_complete_loss": (each[0] * X["weight"]).mean()}

    def mean_logits(self, output):
        """Logits (v, b, c) of the members' mean probabilities on every view."""
        return self.problem.mean_logits(output["logits"].float(), dim=1)

    def train_step(self, batch, **fit_params):
        """One step of the optimizer."""
        X, target = batch
        with autocast(self.device, self.precision):
            output = self.infer(X, **self.criterion_.forward_options)
            loss, parts = self._losses(output, target, X, training=True)
        self.optimizer_.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_step(self.module_.parameters(), self.criterion_.buffers())
        if self.listens("on_grad_computed"):
            self.notify(
                "on_grad_computed", named_parameters=self.get_all_learnable_params(), batch=batch, training=True
            )
        self.optimizer_.step()
        return {"loss": loss.detach(), "parts": parts, "output": output}

    @torch.no_grad()
    def validation_step(self, batch, **fit_params):
        """Losses on the views of the validation rows."""
        X, target = batch
        with autocast(self.device, self.precision):
            logits = self.mean_logits(self.infer(X))
            loss, parts = self._validation_losses(logits, target, X)
        return {"loss": loss, "parts": parts, "logits": logits}

    def evaluation_step(self, batch, training=False):
        """Logits of the members' mean on the observed sets: what skorch's scoring callbacks predict with."""
        self.module_.train(training)
        X, _ = batch
        with torch.set_grad_enabled(training), autocast(self.device, self.precision):
            return self.mean_logits(self.infer({**X, "views": None}))[0]

    # One epoch

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train or validate on every batch, and record the losses."""
        if iterator is None:
            return
        self.module_.train(training)
        self.criterion_.train(training)
        listening = self._listens_to_batches()
        steps = []
        try:
            for number, batch in enumerate(iterator):
                if not training and self._shares_validation and number % self.ranks.size != self.ranks.rank:
                    continue
                if listening:
                    self.notify("on_batch_begin", batch=batch, training=training)
                if training and self._cooldown is not None:
                    self._cooldown.set_rate(self, (number + 0.5) / len(iterator))
                step = step_fn(batch, **fit_params)
                outcome = None if training else self._outcome(step["logits"], batch)
                steps.append(_Step(len(batch[1]), step["loss"], step["parts"], outcome))
                if listening:
                    self._tell_batch_end(batch, training, prefix, step, steps[-1].size)
        except KeyboardInterrupt:
            # No callback of skorch's stops within an epoch.
            self.interrupted_ = True
            raise
        except RuntimeError as error:
            # Of several ranks this one alone may have stopped, and the others wait for it.
            if self._is_finite() or not self.ranks.alone:
                raise
            raise self._diverged(f"weights are no longer finite ({error})") from error
        steps = self._of_all_ranks(steps, training)
        sizes = [step.size for step in steps]
        # One fetch: every `.item()` in a step would make the host wait for the device.
        values = torch.stack([step.loss for step in steps]).tolist()
        if not np.isfinite(values).all():
            raise self._diverged(f"the loss is {values[-1]}")
        if not listening:
            for loss, size in zip(values, sizes, strict=True):
                self.history.new_batch()
                self.history.record_batch(prefix + "_loss", loss)
                self.history.record_batch(prefix + "_batch_size", size)
        for name in steps[0].parts:
            values = torch.stack([step.parts[name] for step in steps]).double().cpu().numpy()
            self.history.record(name, float(np.average(values, weights=sizes)))
        if not training:
            self.history.record(prefix + "_refined_loss", self._refined_loss(steps).item())
        self.history.record(prefix + "_batch_count", len(sizes))

    def _of_all_ranks(self, steps, training):
        """The steps of an epoch as all ranks together have made them."""
        if self.ranks.alone or not (training or self._shares_validation):
            return steps
        if training:
            self.ranks.average_buffers([self.module_, self.criterion_])
            names = list(steps[0].parts)
            values = self.ranks.mean(
                torch.stack([torch.stack([step.loss, *map(step.parts.get, names)]) for step in steps])
            )
            return [
                _Step(step.size * self.ranks.size, loss, dict(zip(names, parts, strict=True)))
                for step, (loss, *parts) in zip(steps, values, strict=True)
            ]
        return self.ranks.in_turn(
            [_Step(size, loss.cpu(), _on_cpu(parts), _on_cpu(outcome)) for size, loss, parts, outcome in steps]
        )

    @staticmethod
    def _outcome(logits, batch):
        """What the loss that rescaling would leave takes of a batch."""
        X, target = batch
        columns = {"logits": logits, "target": target, "weight": X["weight"], "label_weight": X["label_weight"]}
        return {name: column for name, column in columns.items() if column is not None}

    def _tell_batch_end(self, batch, training, prefix, step, size):
        self.history.record_batch(prefix + "_loss", step["loss"].item())
        self.history.record_batch(prefix + "_batch_size", size)
        X, target = batch
        if X["label_weight"] is not None:
            # To a scorer a label that nobody reported must not look like a 0.
            target = torch.where(X["label_weight"] > 0, target, torch.nan)
        logits = self.mean_logits(step["output"]) if training else step["logits"]
        predicted = logits[0].detach()
        self.notify("on_batch_end", batch=(X, target), training=training, y_pred=predicted, loss=step["loss"])

    @torch.no_grad()
    def _refined_loss(self, steps):
        """What rescaling all validation batches together would leave of their loss; see `losses`."""
        joined = {
            name: torch.cat([step.outcome[name] for step in steps], dim=int(name == "logits"))
            for name in steps[0].outcome
        }
        columns = [joined[name] for name in ("weight", "label_weight") if name in joined]
        return self.problem.refined_loss(joined["logits"], joined["target"], *columns)

    def listens(self, method_name):
        """Whether any callback does something at this point: there are many batches and few listeners."""
        nothing = getattr(Callback, method_name)
        return any(getattr(type(callback), method_name, nothing) is not nothing for _, callback in self.callbacks_)

    def _listens_to_batches(self):
        return self.listens("on_batch_begin") or self.listens("on_batch_end")

    # One training

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        if any(self.ranks.exchange(False)):
            self._has_left = True
            raise KeyboardInterrupt  # as skorch's callbacks stop a training
        if self.history:
            self.history[-1]["batches"] = []
        super().on_epoch_begin(net, dataset_train=dataset_train, dataset_valid=dataset_valid, **kwargs)
        if self.epoch_tasks is not None:
            self.epoch_tasks.begin_epoch()

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.interrupted_, self.divergence_ = False, ""
        # Epochs of trainings before this one.
        self.n_known = len(self.history)
        self.criterion_.resume_from = {"fit": self._fit_name()}
        self.ranks.vary_generators(self.device)
        self._shares_validation = not any(self.ranks.exchange(self._listens_to_batches()))
        self._has_left = False
        self._cooldown = next((callback for _, callback in self.callbacks_ if isinstance(callback, CoolDown)), None)

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Train for `max_epochs`; where a callback has loaded a checkpoint, for those that it lacks."""
        epochs = self.max_epochs if epochs is None else epochs
        n_loaded, loaded = len(self.history) - self.n_known, self.criterion_.resume_from
        if loaded.get("fit") != self._fit_name():
            raise ValueError(
                "The checkpoint was written by a fit of other rows, labels, random_state or parameters; give what that "
                "fit was given, or another folder."
            )
        if (n_loaded > 0) != ("generator" in loaded):
            raise ValueError(
                "The checkpoint lacks the history or the criterion, so the training cannot go on; let it write both "
                "(f_history, f_criterion)."
            )
        if n_loaded > 0:
            ended = dict(self.callbacks_)["aecf_state"].resume(self)
            epochs = 0 if ended else max(0, epochs - n_loaded)
        try:
            super().fit_loop(X, y, epochs=epochs, **fit_params)
        except KeyboardInterrupt:
            self.interrupted_ = self.interrupted_ or self.interrupt_came()
            torch.set_grad_enabled(True)  # it may have come where gradients were off
            self._leave()
            raise
        except TrainingDivergedError as error:
            if not any(callback.load_best and callback.best_model_weights_ for callback in self.stoppers()):
                raise
            self.divergence_ = str(error)
            # Running means are not finite either, and a `warm_start` must not go on from them.
            self.optimizer_.state.clear()
            self.initialize_criterion()
        self._leave()
        return self

    def _leave(self):
        """Tell the other ranks, which would otherwise wait in the next epoch."""
        if not self._has_left and not self.interrupted_:
            self._has_left = True
            self.ranks.exchange(True)

    def on_train_end(self, net, X=None, y=None, **kwargs):
        if self.interrupted_ and self.n_finished == 0:
            raise KeyboardInterrupt("fit was interrupted before an epoch had come to its end; nothing is kept.")
        if "epoch" not in self.history[-1]:
            self.history.pop()  # interrupted while it was made
        super().on_train_end(net, X=X, y=y, **kwargs)

    def release(self):
        """Let go of what only the training needed: the net would otherwise keep, and pickle, validation rows."""
        self.train_split = self.epoch_tasks = self.interrupts = None
        self.ranks = ALONE
        self.criterion_.resume_from = {}
        for stopping in self.stoppers():
            stopping.best_model_weights_ = None  # those of the module now

    def refuse_divergence(self):
        """Raise if the weights that are kept are not finite, of which the last step told no loss."""
        if not self._is_finite():
            raise self._diverged("weights are no longer finite")

    def _is_finite(self):
        return all(torch.isfinite(weights).all() for weights in self.module_.parameters())

    def _diverged(self, what):
        return TrainingDivergedError(
            f"Training diverged in epoch {len(self.history)}: {what}. Lower learning_rate (now {self.lr:g}), or look "
            "at what encoders and network make of their inputs."
        )

    def interrupt_came(self):
        """Whether Ctrl-C was pressed in this training."""
        return self.interrupts is not None and self.interrupts.came

    def stoppers(self):
        """Callbacks that may stop the training early."""
        return [callback for _, callback in self.callbacks_ if isinstance(callback, EarlyStopping)]

    def _fit_name(self):
        """What tells this fit from others; one that goes on from another fit is another, too."""
        return f"{self.fingerprint} after {self.n_known} epochs"

    def load_params(self, *args, **kwargs):
        """As skorch's, with a sentence where the file is that of another network."""
        try:
            super().load_params(*args, **kwargs)
        except RuntimeError as error:
            raise ValueError(f"The checkpoint was written by a fit of another network: {error}") from error

    @property
    def n_begun(self):
        """Epochs of this training that have begun, those of a checkpoint included."""
        return len(self.history) - self.n_known

    @property
    def n_finished(self):
        """Epochs of this training that came to their end."""
        return sum("dur" in row for row in self.history[self.n_known :])

    def kept_epoch(self):
        """Number of the epoch whose weights the module has."""
        finished = [row["epoch"] for row in self.history if "dur" in row]
        if not finished:
            return 1
        best = (callback.best_epoch_ for callback in self.stoppers() if callback.load_best)
        return next(best, 0) or finished[-1]

    def take_over(self, other):
        """Go on from another net of the same architecture: weights, optimiser state and history."""
        self.initialize()
        try:
            # Reliability is learnt anew after the training.
            weights = {k: v for k, v in other.module_.state_dict().items() if not k.startswith("reliability.")}
            self.module_.load_state_dict(weights)
            self.criterion_.load_state_dict(other.criterion_.state_dict())
        except RuntimeError:
            raise ValueError(
                "Training goes on with the same network, but a parameter that shapes it has changed (embed_dim, "
                "hidden_dim, n_members, encoders, network or masking); set it back, or fit anew with warm_start=False."
            ) from None
        chosen = {name: self.optimizer_.param_groups[0][name] for name in ("lr", "weight_decay", "fused")}
        # Copies: torch keeps the tensors that it is given, and a training that fails must leave the other net alone.
        self.optimizer_.load_state_dict(copy.deepcopy(other.optimizer_.state_dict()))
        self.optimizer_.param_groups[0].update(chosen)
        # A training only adds rows, and clears the batches of the one before.
        self.history_ = History(dict(row) for row in other.history_)

    def move_to(self, device):
        """Move weights, objective and optimiser state to another device."""
        before = self.device
        try:
            self._move(device)
        except RuntimeError:
            self._move(before)  # its memory was too small
            raise
        self.device = device

    def _move(self, device):
        self.module_.to(device)
        self.criterion_.to(device)
        for state in self.optimizer_.state.values():
            for name, value in state.items():
                if torch.is_tensor(value):
                    state[name] = value.to(device)

    # What scorers ask

    def predict(self, X):
        """Class indices, or 0 and 1 a label."""
        probability = self.predict_proba(X)
        return type(self.problem)(self.classes_).decode(probability)


def make_net(
    *,
    network,
    network_params,
    objective_params,
    problem,
    validation,
    batch_size,
    max_epochs,
    learning_rate,
    has_cooldown,
    weight_decay,
    patience,
    stopping_loss,
    callbacks,
    verbose,
    device,
    precision,
    fingerprint,
):
    """The net that `AECFClassifier` wraps.

    Parameters
    ----------
    network : type or callable
        Makes the module of `network_params`.
    network_params, objective_params : dict
        Arguments of `AECFNetwork` and `AECFObjective`.
    problem : Multiclass or Multilabel
    validation : RowTensors, StreamedRows or None
        Rows to validate on.
    has_cooldown : bool
        Whether the learning rate falls to 0 before the training ends, see `CoolDown`.
    patience : int or None
        Of the early stopping; None trains for `max_epochs` and keeps the last weights.
    stopping_loss : {"valid_loss", "valid_refined_loss"}
        What the early stopping compares.
    callbacks : list or None
        skorch callbacks of the user; an `EarlyStopping` among them takes the place of ours.
    """
    users = [c if isinstance(c, tuple) else (f"user_{i}", c) for i, c in enumerate(callbacks or [])]
    for _, callback in users:
        if not isinstance(callback, Callback):
            raise TypeError(
                "callbacks must be a list of skorch callbacks, or of pairs of a name and one. Got "
                f"{type(callback).__name__}."
            )
        if validation is None and isinstance(callback, EarlyStopping) and str(callback.monitor).startswith("valid"):
            raise ValueError(
                f"callbacks has an EarlyStopping that watches {callback.monitor!r}, but no rows are held out; set "
                "early_stopping=True, give validation_set, or let it watch 'train_loss'."
            )
    chosen = [
        ("aecf_agree", AgreeOnEpoch()),
        ("aecf_task", EndEpochTask()),
        ("aecf_state", KeepState()),
        ("aecf_time", TellTime(silent=not verbose)),
    ]
    chosen += _ending(users, validation, patience, stopping_loss, max_epochs, has_cooldown)
    if verbose:
        chosen.append(("aecf_progress", ProgressBar(batches_per_epoch="auto")))
    chosen += [*users, ("aecf_stop", StopWhenAsked())]
    hidden = {} if verbose else {"callbacks__print_log": None}
    return AECFNet(
        network,
        criterion=AECFObjective,
        problem=problem,
        precision=precision,
        fingerprint=fingerprint,
        optimizer=torch.optim.AdamW,
        optimizer__fused=torch.device(device).type in ("cpu", "cuda"),
        optimizer__weight_decay=weight_decay,
        lr=learning_rate,
        batch_size=batch_size,
        max_epochs=max_epochs,
        iterator_train=BatchIterator,
        iterator_train__shuffle=True,
        iterator_valid=BatchIterator,
        train_split=None if validation is None else predefined_split(validation),
        predict_nonlinearity=problem.probabilities,
        callbacks=chosen,
        verbose=verbose,
        device=device,
        **hidden,
        **{f"module__{name}": value for name, value in network_params.items()},
        **{f"criterion__{name}": value for name, value in objective_params.items()},
        criterion__problem=problem,
    )


def _ending(users, validation, patience, stopping_loss, max_epochs, has_cooldown):
    """Callbacks that end the training, and let the learning rate fall before; those of the user take their place."""
    stops = any(isinstance(callback, EarlyStopping) for _, callback in users)
    has_cooldown = has_cooldown and not stops and not any(isinstance(callback, LRScheduler) for _, callback in users)
    chosen: list[tuple[str, Callback]] = []
    stop = None
    if validation is not None and patience is not None and not stops:
        # A cooldown ends the training itself.
        borne = max_epochs + 1 if has_cooldown else patience
        stop = EarlyStopping(monitor=stopping_loss, patience=borne, load_best=True, sink=noop)
        chosen.append(("early_stopping", stop))
    if has_cooldown:
        chosen.append(("aecf_cooldown", CoolDown(stop, patience)))
    return chosen


def _on_cpu(tensors):
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def history_columns(net):
    """The history as a dict of arrays, one entry per finished epoch."""
    rows = [row for row in net.history if "dur" in row]
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if name != "batches" and not name.endswith("_best")] or ["epoch"]
    return {name: np.asarray([row.get(name, np.nan) for row in rows]) for name in names}
