"""scikit-learn's own callbacks, where it has them (1.9): one progress bar for a search and the epochs inside it."""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:
        """Nothing to support."""

    def with_callbacks(method):
        """The method as it is."""
        return method


class EpochTasks:
    """Tells scikit-learn's callbacks when an epoch begins and ends.

    Parameters
    ----------
    estimator : AECFClassifier
    max_epochs : int
    """

    def __init__(self, estimator, max_epochs):
        self._estimator = estimator
        self._fit_task = None
        if hasattr(estimator, "_init_callback_context"):
            self._fit_task = estimator._init_callback_context(max_subtasks=max_epochs)
            self._fit_task.call_on_fit_task_begin(estimator=estimator)

    def begin_epoch(self):
        """An epoch begins."""
        if self._fit_task is not None:
            self._epoch = self._fit_task.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator)

    def end_epoch(self):
        """An epoch has ended.

        Returns
        -------
        bool
            Whether a callback asks to stop.
        """
        return self._fit_task is not None and bool(self._epoch.call_on_fit_task_end(estimator=self._estimator))

    def end(self):
        """The fit has ended."""
        if self._fit_task is not None:
            self._fit_task.call_on_fit_task_end(estimator=self._estimator)
