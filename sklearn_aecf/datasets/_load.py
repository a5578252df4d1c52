"""Data sets that come with the package."""

import hashlib
import io
from importlib.resources import files

import numpy as np
from sklearn.utils import Bunch

from sklearn_aecf._data import MultimodalData

_SHA256 = {
    "handwritten.npz": "3423432665013849c517b07c7a673b612385667493544af4927ef8a6b31d9511",
    "heart_disease.npz": "8f009f745fcdc9fb005e25b1159506b56ac9ae2724d2e0eda8ef6682c288ecf9",
}


# Names of the codes in the source, in the order of the codes.
_HEART_CATEGORIES = {
    "sex": {0: "female", 1: "male"},
    "cp": {1: "typical angina", 2: "atypical angina", 3: "non-anginal pain", 4: "asymptomatic"},
    "restecg": {0: "normal", 1: "ST-T abnormality", 2: "hypertrophy"},
    "slope": {1: "upsloping", 2: "flat", 3: "downsloping"},
    "thal": {3: "normal", 6: "fixed defect", 7: "reversible defect"},
}
_HEART_BOOLEANS = ("fbs", "exang")


def load_heart_disease(*, return_X_y=False, as_frame=False):
    """Load 920 patients of four hospitals, with six blocks of tests of which many are missing.

    Fluoroscopy was done in 99 % of the patients of Cleveland and in 1 to 4 % elsewhere, the thallium test in 99 %,
    10 %, 58 % and 17 %: whole modalities are missing, by hospital.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return ``(data, target)`` only.
    as_frame : bool, default=False
        The data as a pandas DataFrame with a column a feature, as a clinic has it: categories, booleans and numbers.
        ``feature_names`` then says which columns make up a modality: ``AECFClassifier(modalities=...)``.

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
    modalities = _modalities(stored)
    data = _heart_frame(modalities) if as_frame else modalities
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
        feature_names={name: modalities.feature_names(name) for name in modalities},
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


def _heart_frame(modalities):
    import pandas as pd

    frame = modalities.to_frame().droplevel("modality", axis=1).rename_axis(columns=None)
    for column, names in _HEART_CATEGORIES.items():
        frame[column] = pd.Categorical(frame[column].map(names), categories=list(names.values()))
    return frame.astype(dict.fromkeys(_HEART_BOOLEANS, "boolean"))


def _stored(name):
    path = files(__package__) / "data" / name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != _SHA256[name]:
        raise ValueError(f"{path} is not the file that comes with sklearn-aecf; install the package again.")
    with np.load(io.BytesIO(content)) as stored:
        return {key: stored[key] for key in stored.files}


def _modalities(stored):
    arrays = {key[2:]: array for key, array in stored.items() if key.startswith("X_")}
    return MultimodalData(
        arrays, feature_names={name: stored[f"names_{name}"] for name in arrays if f"names_{name}" in stored}
    )


def _description(name):
    return (files(__package__) / "data" / name).read_text(encoding="utf-8")
