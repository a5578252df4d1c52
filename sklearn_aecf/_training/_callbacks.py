"""Callbacks of the net's own: stopping, and what a training resumed from a checkpoint goes on with."""

import torch
from skorch.callbacks import Callback, EarlyStopping


class EndEpochTask(Callback):
    """Ends the epoch for scikit-learn's callbacks; before skorch's, any of which may stop the training."""

    def on_epoch_end(self, net, **kwargs):
        net.stop_requested = net.epoch_tasks is not None and net.epoch_tasks.end_epoch()


class StopWhenAsked(Callback):
    """Stops as skorch's callbacks do; after them, so that the epoch is recorded first."""

    def on_epoch_end(self, net, **kwargs):
        if net.stop_requested:
            raise KeyboardInterrupt


class KeepBest(EarlyStopping):
    """skorch's early stopping, which a training that is resumed from a checkpoint goes on with."""

    def on_epoch_end(self, net, **kwargs):
        try:
            super().on_epoch_end(net, **kwargs)
        finally:
            net.criterion_.resume_from["best"] = self.best_model_weights_

    def on_train_end(self, net, **kwargs):
        super().on_train_end(net, **kwargs)
        net.criterion_.resume_from.pop("best", None)

    def resume(self, net):
        """Be as after the epochs that the history has.

        Returns
        -------
        bool
            Whether these had come to their end.
        """
        for row in net.history:
            improved = self._is_score_improved(row[self.monitor])
            self.misses_ = 0 if improved else self.misses_ + 1
            if improved:
                self.dynamic_threshold_ = self._calc_new_threshold(row[self.monitor])
                self.best_epoch_ = row["epoch"]
        self.best_model_weights_ = net.criterion_.resume_from.get("best")
        return self.misses_ >= self.patience


class KeepRandomState(Callback):
    """The state of torch's generators after each epoch, for checkpoints."""

    def on_epoch_end(self, net, **kwargs):
        net.criterion_.resume_from["generator"] = torch.get_rng_state()
        if torch.device(net.device).type == "cuda":
            net.criterion_.resume_from["device_generator"] = torch.cuda.get_rng_state(net.device)

    def on_train_end(self, net, **kwargs):
        net.criterion_.resume_from.clear()

    def resume(self, net):
        """Draw what the training that wrote the checkpoint would have drawn next."""
        torch.set_rng_state(net.criterion_.resume_from["generator"])
        if "device_generator" in net.criterion_.resume_from and torch.device(net.device).type == "cuda":
            torch.cuda.set_rng_state(net.criterion_.resume_from["device_generator"], net.device)


def quiet(*args, **kwargs):
    """A sink for early stopping: `n_iter_` and `history_` say what happened."""
