"""The skorch net, and the choice of its arguments."""

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer, PrintLog, ProgressBar
from skorch.helper import predefined_split

from sklearn_aecf._training._batches import BatchIterator
from sklearn_aecf._training._objective import AECFObjective, evaluation_views
from sklearn_aecf.curriculum import mask_rate_at
from sklearn_aecf.losses import mean_logits, prediction_loss, refined_loss
from sklearn_aecf.nn import AECFNetwork


class AECFNet(NeuralNet):
    """skorch's net with AECF's training and validation step.

    Steps fetch nothing from the device: losses are collected and recorded once an epoch. Batch-wise callbacks get
    theirs a batch at a time where one listens.

    Parameters
    ----------
    kind : {"multiclass", "multilabel"}
    mask_rate, mask_warmup : float
    precision : {"float32", "bfloat16"}
    **kwargs
        skorch's.
    """

    def __init__(self, *args, kind="multiclass", mask_rate=0.5, mask_warmup=0.0, precision="float32", **kwargs):
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.mask_rate = mask_rate
        self.mask_warmup = mask_warmup
        self.precision = precision
        self.epoch_tasks = None
        self.stop_requested = False

    @property
    def _default_callbacks(self):
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def autocast(self):
        """The context that lowers precision where it was asked for; gate and losses stay float32."""
        # Older torch would hand weights that were cast for a pass without gradient to the passes that learn.
        return torch.autocast(
            torch.device(self.device).type,
            dtype=torch.bfloat16,
            enabled=self.precision == "bfloat16",
            cache_enabled=False,
        )

    def current_mask_rate(self):
        """Mask rate of the epoch under way."""
        return mask_rate_at(len(self.history), self.max_epochs, self.mask_rate, self.mask_warmup)

    def train_step(self, batch, **fit_params):
        with self.autocast():
            loss, parts = self.criterion_(self.module_, batch, self.current_mask_rate())
        self.optimizer_.zero_grad(set_to_none=True)
        loss.backward()
        if self.listens("on_grad_computed"):
            self.notify(
                "on_grad_computed", named_parameters=self.get_all_learnable_params(), batch=batch, training=True
            )
        self.optimizer_.step()
        return {"loss": loss.detach(), **parts}

    @torch.no_grad()
    def validation_step(self, batch, **fit_params):
        (inputs, _, views), (target, weight, label_weight) = batch
        with self.autocast():
            logits = self.view_logits(self.module_.embed(inputs), views)
        each = prediction_loss(logits, target, self.kind, label_weight)
        return {
            "loss": (each * weight).mean(),
            "complete_loss": (each[0] * weight).mean(),
            "outcome": (logits, target, weight, label_weight),
        }

    @torch.no_grad()
    def refined_loss(self, outcomes):
        """What rescaling all validation batches together would leave of their loss; see `losses.refined_loss`."""
        logits, target, weight, label_weight = zip(*outcomes, strict=True)
        return refined_loss(
            torch.cat(logits, dim=1),
            torch.cat(target),
            self.kind,
            torch.cat(weight),
            None if label_weight[0] is None else torch.cat(label_weight),
        )

    def view_logits(self, embeddings, views):
        """Logits (v, b, c) of the members' mean on views (b, v, m) of embedded rows."""
        return mean_logits(self.module_.member_logits(embeddings, views).float(), self.kind, dim=1)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if iterator is None:
            return
        self.module_.train(training)
        self.criterion_.train(training)
        listening = self.listens("on_batch_begin") or self.listens("on_batch_end")
        sizes, steps, outcomes = [], [], []
        try:
            for batch in iterator:
                if listening:
                    self.notify("on_batch_begin", batch=batch, training=training)
                step = step_fn(batch, **fit_params)
                if "outcome" in step:
                    outcomes.append(step.pop("outcome"))
                sizes.append(len(batch[0][1]))
                if listening:
                    self.history.record_batch(prefix + "_loss", step["loss"].item())
                    self.history.record_batch(prefix + "_batch_size", sizes[-1])
                    self.notify("on_batch_end", batch=batch, training=training, y_pred=None, **step)
                steps.append(step)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise
        if outcomes:
            self.history.record(prefix + "_refined_loss", self.refined_loss(outcomes).item())
        for name in steps[0]:
            # One fetch a column: every `.item()` in a step would make the host wait for the device.
            values = torch.stack([step[name] for step in steps]).double().cpu().numpy()
            key = f"{prefix}_{name}" if name in ("loss", "complete_loss") else name
            self.history.record(key, float(np.average(values, weights=sizes)))
        self.history.record(prefix + "_batch_count", len(sizes))
        if training:
            self.history.record("mask_rate", self.current_mask_rate())

    def listens(self, method_name):
        """Whether any callback does something at this point: there are many batches and few listeners."""
        nothing = getattr(Callback, method_name)
        return any(getattr(type(callback), method_name, nothing) is not nothing for _, callback in self.callbacks_)

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        super().on_epoch_begin(net, dataset_train=dataset_train, dataset_valid=dataset_valid, **kwargs)
        if self.epoch_tasks is not None:
            self.epoch_tasks.begin_epoch()

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.interrupted_ = False

    def evaluation_step(self, batch, training=False):
        """Logits of the members' mean on the observed sets: what skorch's scoring callbacks predict with."""
        self.module_.train(training)
        (inputs, present, *_), _ = batch
        with torch.set_grad_enabled(training):
            return self.view_logits(self.module_.embed(inputs), present[:, None])[0]

    def kept_epoch(self):
        """Number of the epoch whose weights the module has."""
        finished = [row["epoch"] for row in self.history if "dur" in row]
        if not finished:
            return 1
        stopping = dict(self.callbacks_).get("early_stopping")
        return getattr(stopping, "best_epoch_", 0) or finished[-1]

    def take_over(self, other):
        """Go on from another net of the same architecture: weights, optimiser state and history."""
        self.initialize()
        try:
            self.module_.load_state_dict(other.module_.state_dict())
            self.criterion_.load_state_dict(other.criterion_.state_dict())
        except RuntimeError:
            raise ValueError(
                "warm_start goes on with the same network, but a parameter that shapes it has changed (embed_dim, "
                "hidden_dim, gate_hidden_dim, n_members, fusion_exponent or masking='regret'); set it back, or "
                "warm_start=False."
            ) from None
        chosen = {name: self.optimizer_.param_groups[0][name] for name in ("lr", "weight_decay", "fused")}
        self.optimizer_.load_state_dict(other.optimizer_.state_dict())
        self.optimizer_.param_groups[0].update(chosen)
        self.history_ = other.history_

    def move_to(self, device):
        """Move weights, objective and optimiser state to another device."""
        self.device = device
        self.module_.to(device)
        self.criterion_.to(device)
        for state in self.optimizer_.state.values():
            for name, value in state.items():
                if torch.is_tensor(value):
                    state[name] = value.to(device)


class _EndEpochTask(Callback):
    """Ends the epoch for scikit-learn's callbacks; before skorch's, any of which may stop the training."""

    def on_epoch_end(self, net, **kwargs):
        net.stop_requested = net.epoch_tasks is not None and net.epoch_tasks.end_epoch()


class _StopWhenAsked(Callback):
    """Stops as skorch's callbacks do; after them, so that the epoch is recorded first."""

    def on_epoch_end(self, net, **kwargs):
        if net.stop_requested:
            raise KeyboardInterrupt


class ValidationRows(torch.utils.data.Dataset):
    """Validation rows with the views that their loss is averaged over."""

    def __init__(self, rows):
        self.rows, self.present = rows, rows.present
        self.views = evaluation_views(rows.present)

    def __len__(self):
        return len(self.rows)

    def parts(self, shuffle):
        yield self

    def part_sizes(self):
        return [len(self)]

    def __getitem__(self, index):
        (inputs, present), y = self.rows[index]
        return (inputs, present, self.views[index].to(present.device)), y


def make_net(
    *,
    network,
    objective,
    validation,
    batch_size,
    max_epochs,
    learning_rate,
    weight_decay,
    n_iter_no_change,
    stopping_loss,
    callbacks,
    verbose,
    device,
    **net_params,
):
    """The net that `AECFClassifier` wraps.

    Parameters
    ----------
    network, objective : dict
        Arguments of `AECFNetwork` and `AECFObjective`.
    validation : RowTensors or None
        Rows to validate on; None trains for `max_epochs`.
    n_iter_no_change : int or None
        Patience of the early stopping; None never stops.
    stopping_loss : {"valid_loss", "valid_refined_loss"}
        What the early stopping compares.
    callbacks : list or None
        skorch callbacks of the user.
    """
    chosen = [("epoch_task", _EndEpochTask())]
    if validation is not None:
        stop = EarlyStopping(
            monitor=stopping_loss, patience=n_iter_no_change or max_epochs + 1, load_best=True, sink=_quiet
        )
        chosen.append(("early_stopping", stop))
    if verbose:
        chosen.append(("progress_bar", ProgressBar(batches_per_epoch="auto")))
    chosen += [c if isinstance(c, tuple) else (f"user_{i}", c) for i, c in enumerate(callbacks or [])]
    chosen.append(("stop_when_asked", _StopWhenAsked()))
    hidden = {} if verbose else {"callbacks__print_log": None}
    return AECFNet(
        AECFNetwork,
        criterion=AECFObjective,
        optimizer=torch.optim.AdamW,
        optimizer__fused=torch.device(device).type in ("cpu", "cuda"),
        optimizer__weight_decay=weight_decay,
        lr=learning_rate,
        batch_size=batch_size,
        max_epochs=max_epochs,
        iterator_train=BatchIterator,
        iterator_train__shuffle=True,
        iterator_valid=BatchIterator,
        train_split=None if validation is None else predefined_split(ValidationRows(validation)),
        callbacks=chosen,
        verbose=verbose,
        device=device,
        **hidden,
        **{f"module__{name}": value for name, value in network.items()},
        **{f"criterion__{name}": value for name, value in objective.items()},
        **net_params,
    )


def _quiet(*args, **kwargs):
    """Early stopping says nothing: `n_iter_` and `history_` do."""


def history_columns(net):
    """The history as a dict of arrays, one entry per finished epoch."""
    rows = [row for row in net.history if "dur" in row]
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for name in names if name != "batches" and not name.endswith("_best")] or ["epoch"]
    return {name: np.asarray([row.get(name, np.nan) for row in rows]) for name in names}
