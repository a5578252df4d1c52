"""What scikit-learn asks beyond fit and predict: its callbacks, parameters inside a dict, clean refusals."""

from contextlib import contextmanager

from sklearn.base import clone

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


class NestedEncodersMixin:
    """Parameters of the encoders in the dict `encoders`, named as nested ones: ``encoders__image__width``."""

    def get_params(self, deep=True):
        """Parameters of this estimator and, if `deep`, of its encoders and its masking.

        Parameters
        ----------
        deep : bool, default=True
            Whether parameters of nested encoders and strategies are listed, too.

        Returns
        -------
        dict
            Parameters by name.
        """
        params = super().get_params(deep=deep)
        if deep and isinstance(self.encoders, dict):
            for name, encoder in self.encoders.items():
                params[f"encoders__{name}"] = encoder
                if hasattr(encoder, "get_params") and not isinstance(encoder, type):
                    params |= {f"encoders__{name}__{key}": value for key, value in encoder.get_params().items()}
        return params

    def set_params(self, **params):
        """Set parameters, also of the encoders: ``encoders__image=module``, ``encoders__image__width=16``.

        Parameters
        ----------
        **params : dict
            Parameters by name; nested ones as ``masking__rate``.

        Returns
        -------
        self
            The estimator itself.
        """
        nested = {key: params.pop(key) for key in list(params) if key.startswith("encoders__")}
        super().set_params(**params)
        if nested:
            # A copy: the dict and what is in it are the caller's.
            encoders = dict(self.encoders or {})
            whole, parts = {}, {}
            for key, value in nested.items():
                name = self._encoder_name(key.removeprefix("encoders__"), encoders)
                rest = key.removeprefix(f"encoders__{name}").removeprefix("__")
                (parts.setdefault(name, {}) if rest else whole)[rest or name] = value
            encoders |= whole
            for name, changes in parts.items():
                if not hasattr(encoders[name], "set_params"):
                    raise ValueError(
                        f"The encoder of {name!r} has no parameters; give an object with get_params and set_params "
                        "that is called without arguments and returns a module."
                    )
                encoders[name] = clone(encoders[name]).set_params(**changes)
            self.encoders = encoders
        return self

    @staticmethod
    def _encoder_name(key, encoders):
        """The modality that a key begins with; its name may have double underscores of its own."""
        fitting = [name for name in encoders if key == name or key.startswith(f"{name}__")]
        if not fitting and "__" not in key:
            return key  # an encoder for another modality
        if not fitting:
            known = ", ".join(map(repr, encoders)) or "none"
            raise ValueError(f"Invalid parameter 'encoders__{key}': no such encoder. Encoders: {known}.")
        return max(fitting, key=len)


@contextmanager
def all_or_nothing(estimator):
    """Whatever is raised inside leaves the estimator as it was before."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before  # one step, which no interrupt can cut
        raise
