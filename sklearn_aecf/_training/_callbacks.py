"""Callbacks of the net's own: stopping, and what a training resumed from a checkpoint goes on with."""

import numpy as np
import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler

from sklearn_aecf._data import warn_caller

# Seconds that a fit may take without a word.
SILENT_SECONDS = 300


class AgreeOnEpoch(Callback):
    """Gives all ranks what rank 0 has recorded, e.g. of seconds; before anything that stops the training by it."""

    def on_epoch_end(self, net, **kwargs):
        if not net.ranks.alone:
            row = {name: value for name, value in net.history[-1].items() if name != "batches"}
            net.history[-1].update(net.ranks.exchange(row)[0])


class EndEpochTask(Callback):
    """Ends the epoch for scikit-learn's callbacks; before skorch's, any of which may stop the training."""

    def on_epoch_end(self, net, **kwargs):
        net.stop_requested = net.epoch_tasks is not None and net.epoch_tasks.end_epoch()


class StopWhenAsked(Callback):
    """Stops as skorch's callbacks do; after them, so that the epoch is recorded first."""

    def on_epoch_end(self, net, **kwargs):
        if net.stop_requested or net.interrupt_came():
            raise KeyboardInterrupt


class CoolDown(Callback):
    """Lets the learning rate fall to 0 before the training ends, which gains what a high constant one leaves [1]_.

    It falls linearly, in 0.3 times as many epochs as came before. Where there is an early stopping, it begins when the
    loss has not improved for some epochs, from the best weights so far (ours); otherwise, and at the latest, so that it
    is over with the last epoch.

    Parameters
    ----------
    stopping : EarlyStopping or None
        What knows the best weights. It comes before this.
    patience : int or None
        Epochs without improvement after which the cooldown begins.

    References
    ----------
    .. [1] Haegele, Bakouch, Kosson, Ben Allal, Von Werra and Jaggi, *Scaling Laws and Compute-Optimal Training Beyond
       Fixed Training Durations*, arXiv:2405.18392.
    """

    SHARE, LEAST_EPOCHS, LEAST_STEPS = 0.3, 3, 20

    def __init__(self, stopping=None, patience=None):
        self.stopping = stopping
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        self.begin_, self.end_ = net.max_epochs / (1 + self.SHARE), net.max_epochs
        self.has_begun_ = False

    def set_rate(self, net, share):
        """Set the learning rate for when a share of the present epoch has been made."""
        done = net.n_begun - 1 + share
        left = min(1.0, max(0.0, (self.end_ - done) / (self.end_ - self.begin_)))
        for group in net.optimizer_.param_groups:
            group["lr"] = net.lr * left

    def on_epoch_end(self, net, **kwargs):
        done = net.n_begun
        if not self.has_begun_ and self.stopping is not None and self.stopping.misses_ >= self.patience:
            self._begin(net, done)
        if self.has_begun_ and done >= self.end_:
            net.stop_requested = True

    def _begin(self, net, done):
        self.has_begun_ = True
        if done < self.begin_:
            n_best = self.stopping.best_epoch_ - net.n_known
            net.module_.load_state_dict(self.stopping.best_model_weights_)
            n_steps = net.history[-1, "train_batch_count"]
            length = max(round(self.SHARE * n_best), self.LEAST_EPOCHS, -(-self.LEAST_STEPS // n_steps))
            self.begin_, self.end_ = done, min(done + length, net.max_epochs)

    # What a resumed training goes on with

    def state(self):
        return self.begin_, self.end_, self.has_begun_

    def resume(self, state):
        self.begin_, self.end_, self.has_begun_ = state


class TellTime(Callback):
    """How long the rest of the training takes at most, in seconds: a column of the table of ``verbose=1``.

    A silent fit is warned about after its first epoch, if it may take more than five minutes.

    Parameters
    ----------
    silent : bool
    """

    def __init__(self, silent):
        self.silent = silent

    def on_epoch_end(self, net, **kwargs):
        if self.silent and net.n_finished != 1:
            return
        left = float(np.median(net.history[:, "dur"])) * max(0, net.max_epochs - net.n_finished)
        if not self.silent:
            net.history.record("left_at_most", round(left, 1))
        elif left > SILENT_SECONDS:
            warn_caller(
                f"An epoch takes {net.history[-1, 'dur']:.0f} s, so this fit may take up to {duration(left)}, less if "
                "it stops early. verbose=1 shows how far it is; a larger batch_size or a smaller max_epochs shortens "
                "it."
            )


def duration(seconds):
    """Seconds as people say them: ``"12 minutes"``."""
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"


class KeepState(Callback):
    """Keeps, for checkpoints, what weights and history do not say: generators, best weights, schedules.

    It comes before the other callbacks, so on resuming the last epoch's step of early stopping and schedules is made
    again.
    """

    def on_epoch_end(self, net, **kwargs):
        kept = net.criterion_.resume_from
        kept["generator"] = torch.get_rng_state()
        if torch.device(net.device).type == "cuda":
            kept["device_generator"] = torch.cuda.get_rng_state(net.device)
        kept["best"] = [callback.best_model_weights_ for callback in _of_type(net, EarlyStopping)]
        kept["schedules"] = [callback.lr_scheduler_.state_dict() for callback in _of_type(net, LRScheduler)]
        kept["cooldowns"] = [callback.state() for callback in _of_type(net, CoolDown)]
        kept["rates"] = [group["lr"] for group in net.optimizer_.param_groups]

    def resume(self, net):
        """Be as after the epochs that the history has.

        Returns
        -------
        bool
            Whether the training had come to its end.
        """
        kept = net.criterion_.resume_from
        torch.set_rng_state(kept["generator"])
        if "device_generator" in kept and torch.device(net.device).type == "cuda":
            torch.cuda.set_rng_state(kept["device_generator"], net.device)
        for group, rate in zip(net.optimizer_.param_groups, kept["rates"], strict=True):
            group["lr"] = rate
        for callback, state in zip(_of_type(net, LRScheduler), kept["schedules"], strict=True):
            callback.lr_scheduler_.load_state_dict(state)
            callback.on_epoch_end(net)
        stopping = zip(_of_type(net, EarlyStopping), kept["best"], strict=True)
        ended = [_replay(callback, best, net) for callback, best in stopping]
        for callback, state in zip(_of_type(net, CoolDown), kept["cooldowns"], strict=True):
            callback.resume(state)
            callback.on_epoch_end(net)
        return any(ended) or net.stop_requested


def _replay(stopping, best, net):
    """Early stopping as after the epochs of the history; whether it had stopped."""
    for row in net.history:
        if stopping._is_score_improved(row[stopping.monitor]):
            stopping.misses_, stopping.best_epoch_ = 0, row["epoch"]
            stopping.dynamic_threshold_ = stopping._calc_new_threshold(row[stopping.monitor])
        else:
            stopping.misses_ += 1
    is_last = stopping.best_epoch_ == net.history[-1, "epoch"]
    stopping.best_model_weights_ = {k: v.clone() for k, v in net.module_.state_dict().items()} if is_last else best
    return stopping.misses_ >= stopping.patience


def _of_type(net, kind):
    return [callback for _, callback in net.callbacks_ if isinstance(callback, kind)]
