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
        return any(ended)


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
