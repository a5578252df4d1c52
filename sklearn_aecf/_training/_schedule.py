"""How long to train, and in batches of how many rows: what "auto" stands for."""

import math
from typing import NamedTuple

# Epochs without a better validation loss that a training bears: of small data more, until they have as many steps as
# the first number, and of large data fewer, as far as these have more steps than the second.
PATIENCE_EPOCHS, LEAST_PATIENCE, MOST_PATIENCE = 10, 60, 1000

# Steps of the longest training, but no fewer epochs than this.
MOST_STEPS, MOST_EPOCHS = 1000, 100

# Steps an epoch above which batches grow with the data.
ENOUGH_STEPS = 400


class Schedule(NamedTuple):
    """Rows a step, passes over the rows at most, passes without improvement that are borne, and what comes then.

    What matters is the number of steps, not of epochs: an epoch of 200 rows has five of them, one of 200,000 many
    hundreds.
    """

    batch_size: int
    max_epochs: int
    n_iter_no_change: int
    has_cooldown: bool

    @classmethod
    def of(cls, n_rows, batch_size="auto", max_epochs="auto", n_iter_no_change="auto", has_cooldown=False):
        """The schedule for so many training rows, of parameters of which each may be "auto".

        Parameters
        ----------
        n_rows : int
        batch_size, max_epochs, n_iter_no_change : int or "auto"
        has_cooldown : bool

        Returns
        -------
        Schedule
        """
        if batch_size == "auto":
            batch_size = max(_power_of_two(n_rows / 8, 32, 128), _power_of_two(n_rows / ENOUGH_STEPS, 32, 1024))
        n_steps = max(1, round(n_rows / batch_size))
        if max_epochs == "auto":
            max_epochs = max(MOST_EPOCHS, math.ceil(MOST_STEPS / n_steps))
        if n_iter_no_change == "auto":
            epochs = min(PATIENCE_EPOCHS, math.ceil(MOST_PATIENCE / n_steps))
            n_iter_no_change = max(epochs, 3, math.ceil(LEAST_PATIENCE / n_steps))
        return cls(int(batch_size), int(max_epochs), int(n_iter_no_change), has_cooldown)


def _power_of_two(value, least, most):
    """The power of two next to a value, between two of them."""
    return min(max(2 ** round(math.log2(max(value, 1))), least), most)
