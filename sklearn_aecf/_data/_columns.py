"""Columns that are no numbers: text and categories as indicators, arrays in cells side by side."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sklearn_aecf._data._caller import warn_caller
from sklearn_aecf._data._values import Category, as_text, holds_numbers, is_frame, is_missing, missing_rows, plain

# As many as scikit-learn's gradient boosting takes.
MAX_CATEGORIES = 255

# Text that is another one in more than every second of so many rows hardly says anything as a category.
ENOUGH_ROWS = 20

# From so many rows on, text that is another one in every row names rows, or is prose. So many different ones among 255
# categories are drawn in one sample of a hundred: what can be fitted can be cross-validated.
CERTAINLY_ENOUGH_ROWS = 50

_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")

# What numpy and Python would turn into numbers all the same.
_DATES = (np.datetime64, np.timedelta64)
_NO_NUMBERS = (Category, *_DATES)


@dataclass(frozen=True)
class Encoding:
    """How the columns of a modality become numbers.

    Attributes
    ----------
    columns : tuple
        Per column None (numbers as they are), a tuple of the categories, sorted, or the number of values in a cell.
    """

    columns: tuple

    @property
    def width(self):
        """Numbers a row."""
        return sum(map(_width, self.columns))

    @classmethod
    def of(cls, table, labels, name):
        """Learn from a modality's values what its columns hold.

        Parameters
        ----------
        table : ndarray of object, shape (n_rows, n_columns)
        labels : sequence of str
            Names of the columns, for messages.
        name : str
            Of the modality, for messages.

        Raises
        ------
        ValueError
            If a column holds dates, mixes text and numbers, has too many categories or something else.
        """
        return cls(tuple(_kind(column, _called(label, name)) for column, label in zip(table.T, labels, strict=True)))

    def apply(self, table, labels, name):
        """Values as numbers: NaN where they are missing, and in indicators of a category that was not there before.

        Parameters
        ----------
        table : ndarray of shape (n_rows, n_columns)
        labels, name
            As of `of`.

        Returns
        -------
        ndarray of float64, shape (n_rows, width)
        """
        numbers = np.full((len(table), self.width), np.nan)
        start = 0
        for column, label, kind in zip(table.T, labels, self.columns, strict=True):
            part = numbers[:, start : start + _width(kind)]
            known = ~_missing(column)
            read = _numbers if kind is None else _indicators if isinstance(kind, tuple) else _cells
            part[known] = read(column[known], kind, _called(label, name))
            start += part.shape[1]
        return numbers


def read_table(array, name, labels, *, encoding=None, encode=True):
    """A modality's values as numbers.

    Parameters
    ----------
    array : ndarray of shape (n_rows, n_columns)
        Of any dtype; its rows may be masked.
    name : str
        Of the modality, for messages.
    labels : sequence of str, or None
        Names of the columns, for messages; None counts them.
    encoding : Encoding, default=None
        Of fit.
    encode : bool
        Whether columns that are no numbers may be encoded; otherwise they are an error.

    Returns
    -------
    table : ndarray of real dtype
    present : ndarray of bool, or None
        The mask of rows, if there is one.
    encoding : Encoding or None
        None where there were numbers alone.
    """
    present = ~missing_rows(array) if np.ma.isMaskedArray(array) else None
    array = plain(array)
    if encoding is None:
        numbers = as_numbers(array)
        if numbers is not None:
            return numbers, present, None
    table = as_objects(array)
    labels = [str(index) for index in range(table.shape[1])] if labels is None else labels
    if encoding is None and not encode:
        _refuse_text(table, labels, name)
        raise ValueError(f"Modality {name!r} must be numeric. Got {array.dtype}; make it numbers.")
    encoding = Encoding.of(table, labels, name) if encoding is None else encoding
    return encoding.apply(table, labels, name), present, encoding


def _refuse_text(table, labels, name):
    """Raise about the first column that is no number, where all were or had to be."""
    for column, label in zip(table.T, labels, strict=True):
        known = np.flatnonzero(~_missing(column))
        odd = [row for row in known if not _is_number(column[row])]
        if not odd:
            continue
        value, called = column[odd[0]], _called(label, name)
        if not isinstance(value, str):
            _numbers(column[known], None, called)  # says what is wrong with dates and the like
        where = f"{_short(value)} in {len(odd)} of {len(column)} rows (first in row {odd[0]})"
        if len(odd) < len(known):
            remedy = "put NaN where the value is unknown, e.g. with pandas.to_numeric(column, errors='coerce')"
        else:
            remedy = "encode text and categories first, e.g. with a OneHotEncoder in a ModalityTransformer"
        raise ValueError(f"{_sentence(called)} must hold numbers. Got {where}; {remedy}.")


def holds_more_than_numbers(X):
    """Whether a table has text, dates, arrays in cells, or other objects.

    Parameters
    ----------
    X : array-like or DataFrame
    """
    if sparse.issparse(X) or hasattr(X, "detach") or X is None or isinstance(X, str | bytes):
        return False
    if is_frame(X):
        return not holds_numbers(X)  # perhaps objects with NA, which scikit-learn cannot read
    try:
        array = np.asarray(X)
    except ValueError:
        return False  # rows of different lengths
    if array.ndim != 2 or array.dtype.kind not in "OUMm":
        return False
    # Of other objects scikit-learn's own checks say what is wrong.
    return as_numbers(array) is None and not any(isinstance(value, Mapping) for value in array.ravel())


def as_numbers(array):
    """An array of objects as floats where all of them are numbers or missing; None where they are not."""
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind not in "OUS":
        return None
    if array.dtype.kind == "O":
        if any(isinstance(value, _NO_NUMBERS) for value in array.flat):
            return None
        known = ~np.fromiter(map(is_missing, array.ravel()), dtype=bool, count=array.size).reshape(array.shape)
        array = np.where(known, array, np.nan)
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def as_objects(array):
    """Dates stay dates: of nanoseconds numpy makes numbers."""
    if array.dtype.kind not in "mM":
        return array.astype(object)
    return array.astype(f"{array.dtype.kind}8[us]").astype(object)


def _called(label, name):
    return f"column {label!r} of modality {name!r}"


def _width(kind):
    if isinstance(kind, tuple):
        return 1 if len(kind) == 2 else len(kind)  # two would say the same thing twice
    return 1 if kind is None else kind


def _missing(column):
    return np.fromiter(map(is_missing, column), dtype=bool, count=len(column))


def _kind(column, called):
    values = column[~_missing(column)]
    if len(values) == 0:
        return ()
    texts = [value for value in values if isinstance(value, str)]
    if texts and len(texts) == len(values):
        return _categories(texts, called)
    if texts:
        other = next(value for value in values if not isinstance(value, str))
        raise ValueError(
            f"{_sentence(called)} mixes text ({texts[0]!r}) and other values ({other!r}); make them of one type."
        )
    if any(map(_is_sequence, values)):
        return _cell_width(values, called)
    _numbers(values, None, called)
    return None


def _categories(texts, called):
    found = sorted(set(texts))
    declared = all(isinstance(text, Category) for text in texts)
    # Beside numbers "nan" is one, too; beside other words it is a word.
    numbers = [] if declared else [text for text in found if _is_number(text)]
    n_numbers = len(numbers) if any(math.isfinite(float(text)) for text in numbers) else 0
    if n_numbers == len(found):
        return None
    if 2 * n_numbers >= len(found):
        odd = next(text for text in found if not _is_number(text))
        raise ValueError(
            f"{_sentence(called)} holds numbers as text, but also {odd!r}; make it numbers first, e.g. "
            "pandas.to_numeric(column, errors='coerce')."
        )
    commas = [] if declared else [text for text in found if _DECIMAL_COMMA.fullmatch(text.strip())]
    # "1,5" may be a name; a column full of such names with digits behind is not.
    if len(commas) > 2 and 2 * len(commas) >= len(found):
        raise ValueError(
            f"{_sentence(called)} holds numbers with a decimal comma, e.g. {commas[0]!r}; make it numbers first, e.g. "
            "pandas.read_csv(..., decimal=',')."
        )
    counts = f"{_sentence(called)} has {len(found)} different texts in {len(texts)} rows (e.g. {_short(found[0])}), too"
    remedy = "turn them into features with a ModalityTransformer, or leave the column out."
    names_rows = not declared and len(found) == len(texts) >= CERTAINLY_ENOUGH_ROWS
    if len(found) > MAX_CATEGORIES or names_rows:
        raise ValueError(f"{counts} many for categories; {remedy}")
    if not declared and len(texts) >= ENOUGH_ROWS and 2 * len(found) > len(texts):
        warn_caller(f"{counts} many to learn much from each; {remedy}")
    if not declared:
        _tell_twins(found, called)
    return tuple(map(str, found))


def _tell_twins(texts, called):
    """Say which categories differ only in what people type differently."""
    alike = {}
    for text in texts:
        alike.setdefault(_plainly(text), []).append(text)
    twins = [" and ".join(map(_short, group)) for group in alike.values() if len(group) > 1]
    if twins:
        shown = "; ".join(twins[:3]) + ("; ..." if len(twins) > 3 else "")
        warn_caller(
            f"{_sentence(called)} has categories that differ only in case or blanks: {shown}. Make them one, e.g. with "
            "column.str.strip().str.lower(); if they are different, column.astype('category') says so."
        )


def _plainly(text):
    """A text without what people type differently."""
    return " ".join(text.split()).casefold()


def _cell_width(values, called):
    widths = {np.shape(value) for value in values}
    if len(widths) > 1 or len(next(iter(widths))) != 1:
        shown = " and ".join(map(str, sorted(widths)[:2]))
        raise ValueError(f"{_sentence(called)} holds arrays of shape {shown}; give every row a vector of one length.")
    _cells(values, next(iter(widths))[0], called)
    return next(iter(widths))[0]


def _numbers(values, kind, called):
    try:
        if any(isinstance(value, _DATES) for value in values):
            raise TypeError
        return np.asarray([float(value) for value in values])[:, None]
    except OverflowError:
        raise ValueError(
            f"{_sentence(called)} holds an integer too large to compute with; replace codes for unknown values by NaN."
        ) from None
    except (TypeError, ValueError):
        odd = next(value for value in values if not _is_number(value))
        raise ValueError(f"{_sentence(called)} must hold numbers. Got {_short(odd)}; {_remedy(odd)}.") from None


def _indicators(values, categories, called):
    texts = np.asarray([as_text(value) for value in values], dtype=object)
    position = {category: i for i, category in enumerate(categories)}
    codes = np.asarray([position.get(text, -1) for text in texts])
    unseen = codes < 0
    if unseen.any():
        warn_caller(f"{_sentence(called)} has {_new(texts[unseen], len(texts), categories)}.")
    indicators = (codes[:, None] == np.arange(len(categories))).astype(float)
    indicators[unseen] = np.nan
    return indicators[:, 1:] if len(categories) == 2 else indicators


def _new(texts, n_rows, categories):
    """What of a column was not there at fit, first what was there in another spelling."""
    known = {_plainly(category): category for category in categories}
    text = next((text for text in texts if _plainly(text) in known), texts[0])
    twin = f", but {_short(known[_plainly(text)])} was" if _plainly(text) in known else ""
    n_more = len(set(texts)) - 1
    more, was, count = (f" and {n_more} more", "were", "they count") if n_more else ("", "was", "it counts")
    return (
        f"{_short(text)}{more} in {len(texts)} of {n_rows} rows, which {was} not there at fit{twin}; {count} as unknown"
    )


def _cells(values, width, called):
    try:
        cells = [np.asarray(value, dtype=np.float64) for value in values]
    except (TypeError, ValueError):
        raise ValueError(
            f"{_sentence(called)} holds arrays that are not all numbers; make them arrays of floats."
        ) from None
    odd = next((cell for cell in cells if cell.shape != (width,)), None)
    if odd is not None:
        raise ValueError(f"{_sentence(called)} holds an array of shape {odd.shape}, but the others have {(width,)}.")
    return np.reshape(cells, (len(cells), width))


def _is_sequence(value):
    return not isinstance(value, str | bytes | Mapping) and np.ndim(value) > 0


def _is_number(value):
    if isinstance(value, _DATES):
        return False
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _remedy(value):
    if hasattr(value, "isoformat") or hasattr(value, "total_seconds") or isinstance(value, _DATES):
        return "turn dates into numbers, e.g. days since a fixed date"
    return "turn it into numbers or text first"


def _short(value):
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:36]}...{shown[-1]}"


def _sentence(words):
    return words[0].upper() + words[1:]
