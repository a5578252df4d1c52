"""ExtraSensory: what a phone and a watch sensed in a minute, and what their owner reported to do."""

import gzip
import io
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_aecf._data import MultimodalData
from sklearn_aecf.datasets._fetch import check_arrays, fetch_file, is_file, read_npz, readable, resolve_home
from sklearn_aecf.datasets._load import _description

_TABLES = "ExtraSensory.per_uuid_features_labels"
_TABLES_URLS = [f"http://extrasensory.ucsd.edu/data/primary_data_files/{_TABLES}.zip"]
_FOLDS_URLS = ["http://extrasensory.ucsd.edu/data/cv5Folds.zip"]
_REPLACE = f"replace it by the file in {_TABLES_URLS[0]}."
_SUFFIX = ".features_labels.csv.gz"
_FOLDS_GLOB = "cv_5_folds/fold_*.txt"
_FOLD_NAME = re.compile(r"(?:^|/)fold_(\d)_test_\w+_uuids\.txt$")

_PREFIXES = {
    "acc": ("raw_acc",),
    "gyro": ("proc_gyro",),
    "magnet": ("raw_magnet",),
    "watch_acc": ("watch_acceleration",),
    "watch_compass": ("watch_heading",),
    "location": ("location", "location_quick_features"),
    "audio": ("audio_naive", "audio_properties"),
    "phone_state": ("discrete", "lf_measurements"),
}


def fetch_extrasensory(data_home=None, *, download_if_missing=True, return_X_y=False, n_retries=3, delay=1.0):
    """Fetch ExtraSensory: minutes of everyday life, seen by eight sensors of which many are missing.

    Sixty users carried their own phone, most of them a watch too, and reported what they did with 51 labels. Watches
    were taken off, microphones were busy, some phones have no gyroscope: whole modalities are missing. Labels that were
    not reported are NaN, which `AECFClassifier` leaves out of its loss.

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder where the published files ``<uuid>.features_labels.csv.gz`` are looked for: in it, in its folder
        ``ExtraSensory.per_uuid_features_labels``, or in ``ExtraSensory.per_uuid_features_labels.zip``; the official
        folds in its folder ``cv_5_folds`` or in ``cv5Folds.zip``. Without tables, ``extrasensory37.npz`` (37 users in
        one file) is read if it is there. The default is ``sklearn_aecf`` in scikit-learn's data home.
    download_if_missing : bool, default=True
        Download both archives (215 MB) if there are no tables, and that of the folds where only it is lacking, with a
        warning if it cannot be had. If False, an error instead of the tables, and no folds.
    return_X_y : bool, default=False
        Return ``(data, target)`` only.
    n_retries : int, default=3
        Attempts at a download.
    delay : float, default=1.0
        Seconds between them.

    Returns
    -------
    Bunch or tuple
        ``data``: MultimodalData, float32, with acc (26 features), gyro (26), magnet (31), watch_acc (46), watch_compass
        (9), location (17), audio (28), phone_state (42), NaN where a sensor is missing; ``target``: float32 of shape
        (n_rows, 51), 1, 0, or NaN where not reported; ``label_names``; ``groups``: the user, 0 to ``len(group_names) -
        1``; ``group_names``: their identifiers; ``fold``: the official fold 0 to 4 in which a row is tested, -1 if its
        user is in none, shape (n_rows,), or None without the folds' files; ``timestamp``: seconds since 1970, UTC;
        ``feature_names``: dict of lists; ``DESCR``.

    Raises
    ------
    OSError
        If the files are not there and cannot be downloaded.
    ValueError
        If a file is damaged, its columns differ from those of other users, or a column belongs to no sensor.

    Notes
    -----
    All 60 users have more than 300,000 rows, which take a minute or two to read. Rows of a user are alike, so split by
    ``groups`` or ``fold``. Public for research; cite [1]_, and do not redistribute. The archives are verified by the
    checksums that they contain.

    References
    ----------
    .. [1] Vaizman, Ellis and Lanckriet, *Recognizing detailed human context in the wild from smartphones and
       smartwatches*, IEEE Pervasive Computing 16(4), 2017, 62-74, doi:10.1109/MPRV.2017.3971131.

    Examples
    --------
    >>> from sklearn_aecf.datasets import fetch_extrasensory
    >>> life = fetch_extrasensory()  # doctest: +SKIP
    >>> train, test = life.fold != 0, life.fold == 0  # doctest: +SKIP
    """
    home = resolve_home(data_home)
    compact, archive = home / "extrasensory37.npz", home / f"{_TABLES}.zip"
    tables = sorted([*home.glob(f"*{_SUFFIX}"), *home.glob(f"{_TABLES}/*{_SUFFIX}")], key=lambda path: path.name)
    if tables:
        life = _joined(_separate_tables(tables))
    elif is_file(compact) and not archive.exists():
        life = _read_compact(compact)
    else:
        transfer = {"n_retries": n_retries, "delay": delay}
        fetch_file(archive, _TABLES_URLS, check=_check_tables, download_if_missing=download_if_missing, **transfer)
        if download_if_missing and not (return_X_y or list(home.glob(_FOLDS_GLOB))):
            _fetch_folds(home, transfer)
        life = _joined(_archived_tables(archive))
    if return_X_y:
        return life.data, life.target
    if "fold" not in life:
        folds = _official_folds(home)
        of_user = np.array([folds.get(uuid, -1) for uuid in life.group_names], dtype=np.int64)
        life.fold = of_user[life.groups] if folds else None
    life.feature_names = {name: life.data.feature_names(name) for name in life.data}
    life.DESCR = _description("extrasensory.rst")
    return life


def _fetch_folds(home, transfer):
    try:
        fetch_file(home / "cv5Folds.zip", _FOLDS_URLS, check=_archived_folds, **transfer)
    except OSError as error:
        warnings.warn(f"fold is None, as {error}", stacklevel=3)


def _uuid(name):
    return Path(name).name.removesuffix(_SUFFIX)


def _separate_tables(paths):
    """Identifier, place and compressed bytes of each user."""
    for path in paths:
        is_file(path, _REPLACE)
        with readable(path, _REPLACE):
            compressed = path.read_bytes()
        yield _uuid(path.name), path, compressed


def _archived_tables(path):
    """The same from the archive."""
    with readable(path, f"replace it by {_TABLES_URLS[0]}."), zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            content = archive.read(name)  # also where a damaged name hides a table, which is an error then
            if name.endswith(_SUFFIX):
                yield _uuid(name), f"{path}/{name}", content


def _check_tables(path):
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged or not any(name.endswith(_SUFFIX) for name in archive.namelist()):
            raise ValueError(f"{damaged} is damaged" if damaged else f"it holds no file named <uuid>{_SUFFIX}")


def _joined(tables):
    """One Bunch from the tables of all users."""
    columns, first, positions, parts, places = None, None, {}, [], {}
    for uuid, place, compressed in tables:
        header, values = _parsed(place, compressed)
        if columns is None:
            columns, first, positions = header, place, _positions(header, place)
        elif header != columns:
            raise ValueError(
                f"{place} has other columns than {first}; put files of one release together, from {_TABLES_URLS[0]}."
            )
        if uuid in places:
            raise ValueError(f"User {uuid} is in {places[uuid]} and in {place}; move one of them away.")
        places[uuid] = place
        _check_values(place, values[:, columns.index("timestamp")], values[:, positions["label"]])
        stamps = values[:, columns.index("timestamp")].astype(np.int64)
        parts.append((stamps, {name: values[:, where].astype(np.float32) for name, where in positions.items()}))
    if not parts:
        raise ValueError(
            f"The archive of ExtraSensory holds no file named <uuid>{_SUFFIX}; replace it by {_TABLES_URLS[0]}."
        )
    arrays = {name: np.concatenate([part[name] for _, part in parts]) for name in positions}
    target = arrays.pop("label")
    data = MultimodalData(arrays, feature_names={name: [columns[i] for i in positions[name]] for name in arrays})
    return Bunch(
        data=data,
        target=target,
        label_names=np.array([columns[i].removeprefix("label:") for i in positions["label"]]),
        groups=np.repeat(np.arange(len(parts)), [len(stamps) for stamps, _ in parts]),
        group_names=np.array([*places]),
        timestamp=np.concatenate([stamps for stamps, _ in parts]),
    )


def _parsed(place, compressed):
    """Names of the columns, and the values, shape (rows, columns), with NaN where a field is empty."""
    with readable(place, _REPLACE):
        header, _, body = gzip.decompress(compressed).decode("ascii").partition("\n")
        body = re.sub(r",(?=,|\r?\n|\Z)", ",nan", body.strip("\r\n"))
        columns = header.strip().split(",")
        values = np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2) if body else np.empty((0, len(columns)))
    if "timestamp" not in columns or values.shape[1] != len(columns):
        raise ValueError(
            f"{place} should have a column timestamp and rows of {len(columns)} values, one per name in the "
            f"first line, but its rows have {values.shape[1]} and the names begin with {columns[0]!r}; {_REPLACE}"
        )
    return columns, values


def _check_values(place, stamps, labels):
    if not np.isfinite(stamps).all():
        raise ValueError(f"{place} has rows without a timestamp; {_REPLACE}")
    others = labels[~(np.isnan(labels) | np.isin(labels, [0, 1]))]
    if others.size:
        raise ValueError(f"{place} should hold labels that are 0, 1 or nan, but has {others[0]}; {_REPLACE}")


def _positions(columns, place):
    """Where each modality's features are among the columns, and the labels under ``"label"``."""
    modality_of = {prefix: name for name, prefixes in _PREFIXES.items() for prefix in prefixes}
    positions = {name: [] for name in (*_PREFIXES, "label")}
    for i, column in enumerate(columns):
        prefix = column.partition(":")[0]
        if prefix in ("timestamp", "label_source"):
            continue
        if prefix != "label" and prefix not in modality_of:
            known = ", ".join(map(repr, modality_of))
            raise ValueError(
                f"Column {column!r} of {place} belongs to no sensor; names should begin with 'label', {known}."
            )
        positions[modality_of.get(prefix, "label")].append(i)
    twins = [column for i, column in enumerate(columns) if column in columns[:i]]
    if twins:
        raise ValueError(f"{place} has two columns {twins[0]!r}; use the file in {_TABLES_URLS[0]}.")
    lacking = [name for name, where in positions.items() if not where]
    if lacking:
        raise ValueError(f"{place} has no column of {lacking[0]!r}; use the file in {_TABLES_URLS[0]}.")
    return positions


def _official_folds(home):
    """The fold in which each user is tested, empty without the folds' files."""
    archive, remedy = home / "cv5Folds.zip", f"replace it by {_FOLDS_URLS[0]}."
    folds = {}
    for path in home.glob(_FOLDS_GLOB):
        is_file(path, remedy)
        with readable(path, remedy):
            folds |= _fold(path.name, path.read_bytes())
    if not folds and is_file(archive, remedy):
        with readable(archive, remedy):
            folds = _archived_folds(archive)
    return folds


def _archived_folds(path):
    with zipfile.ZipFile(path) as archive:
        folds = [_fold(name, archive.read(name)) for name in archive.namelist()]
    if not any(folds):
        raise ValueError("it holds no file named fold_<number>_test_<phone>_uuids.txt")
    return {uuid: fold for users in folds for uuid, fold in users.items()}


def _fold(name, content):
    """The fold of each user that a file lists, if it lists those that a fold tests."""
    found = _FOLD_NAME.search(name)
    users = content.decode("ascii").split() if found else []
    if any(not re.fullmatch(r"[\w-]+", uuid) for uuid in users):
        raise ValueError(f"{Path(name).name} is no list of users")
    return {uuid: int(found[1]) for uuid in users}


def _read_compact(path):
    """The same from one file, in which -1 means not reported."""
    names = [f"{kind}_{name}" for kind in ("X", "names") for name in _PREFIXES]
    names += ["Y", "label_names", "user", "user_uuid", "official_fold", "timestamp"]
    remedy = f"remove it, to use the tables from {_TABLES_URLS[0]}."
    stored = read_npz(path, names, remedy)
    _check_compact(path, stored, remedy)
    data = MultimodalData(
        {name: stored[f"X_{name}"].astype(np.float32) for name in _PREFIXES},
        feature_names={name: stored[f"names_{name}"] for name in _PREFIXES},
    )
    target = stored["Y"].astype(np.float32)
    target[stored["Y"] < 0] = np.nan
    groups = stored["user"].astype(np.int64)
    return Bunch(
        data=data,
        target=target,
        label_names=stored["label_names"],
        groups=groups,
        group_names=stored["user_uuid"],
        fold=stored["official_fold"].astype(np.int64)[groups],
        timestamp=stored["timestamp"].astype(np.int64),
    )


def _check_compact(path, stored, remedy):
    n_rows, n_users = stored["user"].size, stored["user_uuid"].size
    names = ["label_names", "user_uuid", *(f"names_{name}" for name in _PREFIXES)]
    shapes = {name: (stored[name].size,) for name in ("user", *names)}
    shapes |= {f"X_{name}": (n_rows, stored[f"names_{name}"].size) for name in _PREFIXES}
    shapes |= {"Y": (n_rows, stored["label_names"].size), "timestamp": (n_rows,), "official_fold": (n_users,)}
    ranges = {"Y": range(-1, 2), "user": range(n_users), "official_fold": range(-1, 5), "timestamp": range(1 << 40)}
    kinds = dict.fromkeys(names, "text") | {f"X_{name}": "floats" for name in _PREFIXES}
    check_arrays(path, stored, remedy, shapes=shapes, ranges=ranges, kinds=kinds)
