"""Modalities whose rows stay where they are stored: HDF5, zarr, or whatever else gives rows by slices."""

import numpy as np

# Bytes that are read together at most, and bytes of unwanted rows that are read rather than skipped: storage in chunks
# unpacks a whole chunk for a single row.
READ_BYTES = 2**25
SKIPPED_BYTES = 2**16


def is_stored(value):
    """Whether an object is no array in memory, but has `shape`, `dtype` and rows by slices.

    Parameters
    ----------
    value : object
        Numbers alone: text and objects are read whole.
    """
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    return (
        isinstance(dtype, np.dtype)
        and dtype.kind in "biuf"
        and isinstance(shape, tuple)
        and len(shape) > 0
        and hasattr(value, "__getitem__")
        # Arrays in memory say where they lie; series and the like become arrays by a method of theirs.
        and not hasattr(value, "__array_interface__")
        and not hasattr(value, "to_numpy")
    )


class StoredRows:
    """Some consecutive rows of a modality that is read when rows are asked for.

    A slice is another `StoredRows`; positions and masks give arrays, and so does ``numpy.asarray``. Reading asks the
    source for slices of rows in ascending order alone.

    Parameters
    ----------
    source : object
        With `shape`, `dtype`, and ``source[start:stop]`` that ``numpy.asarray`` takes.
    name : str
        Of the modality, for messages.
    first, n_rows : int, optional
        Which rows of the source; by default all.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    """

    def __init__(self, source, name, first=0, n_rows=None):
        self.source, self.name, self.first = source, name, first
        self.shape = (source.shape[0] if n_rows is None else n_rows, *source.shape[1:])
        self.dtype = source.dtype

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self):
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self):
        """Bytes of the values in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"StoredRows({self.name!r}, shape={self.shape}, dtype={self.dtype})"

    def __array__(self, dtype=None, copy=None):
        rows = self._read(0, len(self))
        return rows if dtype is None else rows.astype(dtype, copy=False)

    def copy(self):
        """All rows, in memory."""
        return np.array(self)

    def __getitem__(self, key):
        if isinstance(key, tuple):
            rows, *rest = key or (slice(None),)
            return np.asarray(self[rows])[(slice(None), *rest)] if rest else self[rows]
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return StoredRows(self.source, self.name, self.first + start, max(0, stop - start))
            return self._take(np.arange(start, stop, step))
        positions = np.asarray(key)
        if positions.dtype == bool:
            return self._take(np.flatnonzero(positions))
        if positions.size == 0:
            positions = positions.astype(np.intp)
        taken = self._take(np.where(positions < 0, positions + len(self), positions).ravel())
        return taken.reshape(*positions.shape, *self.shape[1:])

    def _take(self, positions):
        """Rows at positions, in their order; those that lie close together are read together."""
        wanted, back = np.unique(positions, return_inverse=True)
        taken = np.empty((len(wanted), *self.shape[1:]), dtype=self.dtype)
        row_bytes = max(1, self.dtype.itemsize * int(np.prod(self.shape[1:])))
        most, nearest = max(1, READ_BYTES // row_bytes), max(1, SKIPPED_BYTES // row_bytes)
        start = 0
        while start < len(wanted):
            stop = int(np.searchsorted(wanted, wanted[start] + most))
            far = np.flatnonzero(np.diff(wanted[start:stop]) > nearest)
            stop = stop if far.size == 0 else start + int(far[0]) + 1
            first = int(wanted[start])
            taken[start:stop] = self._read(first, int(wanted[stop - 1]) + 1)[wanted[start:stop] - first]
            start = stop
        return taken if np.array_equal(back, np.arange(len(wanted))) else taken[back]

    def _read(self, start, stop):
        if start >= stop:
            return np.empty((0, *self.shape[1:]), dtype=self.dtype)
        first, last = self.first + start, self.first + stop
        try:
            rows = np.asarray(self.source[first:last])
        except Exception as error:  # of whatever library stores them
            raise OSError(
                f"Rows {first} to {last - 1} of modality {self.name!r} cannot be read where they are stored: {error}"
            ) from error
        expected = (stop - start, *self.shape[1:])
        if rows.shape != expected:
            raise ValueError(
                f"Modality {self.name!r} must give rows of shape {expected} for the slice {first}:{last}. Got "
                f"{rows.shape}; look at what stores it."
            )
        return rows.astype(self.dtype, copy=False)
