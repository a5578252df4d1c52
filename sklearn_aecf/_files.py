"""Files that are written whole or not at all."""

import os
import uuid
from contextlib import contextmanager, suppress


@contextmanager
def whole_file(path):
    """A binary file to write to, which gets its name once it is whole; nothing is left of one that is not.

    Parameters
    ----------
    path : Path
        An existing file is replaced.
    """
    unfinished = path.with_name(f"{uuid.uuid4().hex}.part")
    try:
        # Never through a link that somebody put there.
        with open(unfinished, "xb") as file:
            yield file
        os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink()
