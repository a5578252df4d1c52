"""Run by `test_ranks.py` on two ranks: the second fails in its second epoch, while the first trains."""

from fits_on_every_rank import SMALL, rows
from skorch.callbacks import Callback

from sklearn_aecf import AECFClassifier
from sklearn_aecf.distributed import data_parallel


class Fails(Callback):
    """Raises where it is told to."""

    def on_epoch_end(self, net, **kwargs):
        if ranks.rank == 1:
            raise OSError("disk full")


X, y = rows()
with data_parallel() as ranks:
    AECFClassifier(**SMALL, callbacks=[Fails()]).fit(X, y)
