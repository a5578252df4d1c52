"""Ctrl-C, told apart from callbacks that stop the training; and where it is to go."""

import signal
import sys
import threading

# Tools of scikit-learn that call `fit` once and add nothing of their own.
_PASSING_ON = ("sklearn.base", "sklearn.callback", "sklearn.pipeline", "sklearn.utils", "sklearn.compose._target")


class Interrupts:
    """Whether an interrupt came while inside: a KeyboardInterrupt does not say so, because skorch stops with one.

    Attributes
    ----------
    came : bool
        Also where somebody else caught the exception, or Python could not raise it.
    """

    def __init__(self):
        self.came = False
        self._before = None

    def __enter__(self):
        # Only the main thread may set a handler, and only there it is called.
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(before):
            self._before = before
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception):
        if self._before is not None and signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number, frame):
        # An interrupt may come while this is entered or left: it takes itself away.
        signal.signal(signal.SIGINT, self._before)
        try:
            self._before(number, frame)
        except KeyboardInterrupt:
            self.came = True
            raise
        if signal.getsignal(signal.SIGINT) == self._before:  # else it has named its successor
            signal.signal(signal.SIGINT, self._note)


def fits_repeatedly():
    """Whether a tool that fits many times, such as a search, is among the callers: there an interrupt means all of it.

    Returns
    -------
    bool
    """
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith(("sklearn.", "joblib.")) and not name.startswith(_PASSING_ON):
            return True
        if name == "sklearn.utils.parallel":
            return True
        frame = frame.f_back
    return False
