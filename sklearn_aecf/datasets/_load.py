"""Data sets that come with the package."""

from importlib.resources import files

import numpy as np
from sklearn.utils import Bunch

from sklearn_aecf._data import MultimodalData


def load_heart_disease(*, return_X_y=False):
    """Load 920 patients of four hospitals, with six blocks of tests of which many are missing.

    Fluoroscopy was done in 99 % of the patients of Cleveland and in 1 to 4 % elsewhere, the thallium test in 99 %,
    10 %, 58 % and 17 %: whole modalities are missing, by hospital.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` only.

    Returns
    -------
    Bunch or tuple
        ``data``: MultimodalData with history (3 features), vitals_labs (3), rest_ecg (1), exercise (4),
        fluoroscopy (1), thallium (1); ``target``: 0 healthy, 1 diseased, shape (920,); ``target_names``; ``grade``:
        the degree 0 to 4; ``groups``: the hospital, 0 to 3; ``group_names``; ``feature_names``: dict of lists;
        ``DESCR``.

    Notes
    -----
    Janosi, Steinbrunn, Pfisterer and Detrano, *Heart Disease*, UCI Machine Learning Repository, 1989,
    doi:10.24432/C52P4X, CC BY 4.0.

    Examples
    --------
    >>> from sklearn_aecf.datasets import load_heart_disease
    >>> heart = load_heart_disease()
    >>> heart.data.shape, heart.data.present.mean(axis=0).round(2).tolist()
    ((920, 13), [1.0, 1.0, 1.0, 0.94, 0.34, 0.47])
    """
    stored = _stored("heart_disease.npz")
    data = _modalities(stored)
    target = stored["y"].astype(np.int64)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=np.array(["healthy", "diseased"]),
        grade=stored["y_num"].astype(np.int64),
        groups=stored["site"].astype(np.int64),
        group_names=stored["site_names"],
        feature_names={name: data.feature_names(name) for name in data},
        DESCR=_description("heart_disease.rst"),
    )


def load_handwritten(*, return_X_y=False):
    """Load 2,000 handwritten digits, each seen by six feature extractors. Nothing is missing.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` only.

    Returns
    -------
    Bunch or tuple
        ``data``: MultimodalData with pix (240 features), fou (76), fac (216), zer (47), kar (64), mor (6);
        ``target``: the digit, shape (2000,); ``target_names``; ``is_test``: bool, True for 400 rows held out;
        ``feature_names``: dict of lists; ``DESCR``.

    Notes
    -----
    Duin, *Multiple Features*, UCI Machine Learning Repository, 1998, doi:10.24432/C5HC70, CC BY 4.0.

    Examples
    --------
    >>> from sklearn_aecf.datasets import load_handwritten
    >>> X, y = load_handwritten(return_X_y=True)
    >>> X.names, X.shape
    (('pix', 'fou', 'fac', 'zer', 'kar', 'mor'), (2000, 649))
    """
    stored = _stored("handwritten.npz")
    data = _modalities(stored)
    target = stored["y"].astype(np.int64)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=np.array([str(digit) for digit in range(10)]),
        is_test=stored["is_test"].astype(bool),
        feature_names={name: data.feature_names(name) for name in data},
        DESCR=_description("handwritten.rst"),
    )


def _stored(name):
    with (files(__package__) / "data" / name).open("rb") as file, np.load(file) as stored:
        return {key: stored[key] for key in stored.files}


def _modalities(stored):
    arrays = {key[2:]: array for key, array in stored.items() if key.startswith("X_")}
    return MultimodalData(
        arrays, feature_names={name: stored[f"names_{name}"] for name in arrays if f"names_{name}" in stored}
    )


def _description(name):
    return (files(__package__) / "data" / name).read_text(encoding="utf-8")
