"""MS-COCO: photographs, captions and what is to be seen."""

import json
import os
from contextlib import contextmanager

import numpy as np
from sklearn.utils import Bunch

from sklearn_aecf._data import MultimodalData
from sklearn_aecf.datasets._fetch import is_file, is_one_of, resolve_home
from sklearn_aecf.datasets._load import _description

_BASE_URL = "http://images.cocodataset.org"


def fetch_coco(data_home, *, subset="val", year=2017, caption="first", return_X_y=False):
    """Read MS-COCO from disk: paths of photographs, captions, and 80 labels of what is to be seen.

    Nothing is downloaded: the photographs are 1 to 18 GB. An error says which archive to unpack where.

    Parameters
    ----------
    data_home : str or path-like or None
        Folder in MS-COCO's own layout: ``annotations/instances_val2017.json``, ``annotations/captions_val2017.json``,
        ``val2017/*.jpg``. None is ``sklearn_aecf`` in scikit-learn's data home.
    subset : {"val", "train"}, default="val"
    year : {2014, 2017}, default=2017
    caption : {"first", "joined"}, default="first"
        A photograph has about five captions: take the first, or all, joined by spaces.
    return_X_y : bool, default=False
        Return ``(data, target)`` only.

    Returns
    -------
    Bunch or tuple
        ``data``: MultimodalData of two raw modalities, both 1-D arrays of str, for a transformer in a
        `ModalityTransformer`: image (paths, None where the file is not on disk) and caption (None where there is none);
        ``target``: int of shape (n_images, n_labels), 1 where an object of the label is outlined; ``target_names``: the
        80 labels; ``image_ids``: MS-COCO's numbers, shape (n_images,); ``DESCR``.

    Raises
    ------
    OSError
        If a file of annotations, or every photograph, is missing.
    ValueError
        If an option is unknown, or a file is not what MS-COCO publishes.

    Notes
    -----
    The 2017 edition has 5,000 rows in ``"val"`` and 118,287 in ``"train"``, whose annotations take several gigabytes of
    memory while they are read. About 1 % of the photographs have no label. Lin et al. [1]_; annotations CC BY 4.0,
    photographs under the terms of Flickr.

    References
    ----------
    .. [1] Lin et al., *Microsoft COCO: common objects in context*, ECCV 2014, arXiv:1405.0312.

    Examples
    --------
    >>> from sklearn_aecf.datasets import fetch_coco
    >>> X, y = fetch_coco("coco", return_X_y=True)  # doctest: +SKIP
    >>> X.names, y.shape  # doctest: +SKIP
    (('image', 'caption'), (5000, 80))
    """
    for name, value, known in (
        ("subset", subset, ("val", "train")),
        ("year", year, (2014, 2017)),
        ("caption", caption, ("first", "joined")),
    ):
        if not is_one_of(value, known):
            raise ValueError(f"{name} must be {known[0]!r} or {known[1]!r}. Got {value!r}.")
    home, edition = resolve_home(data_home), f"{subset}{year}"
    with _annotations(home, "instances", edition) as instances:
        row_of, files = _images(instances["images"])
        target, names = _labels(instances, row_of)
        image_ids = np.array([*row_of], dtype=np.int64)
    with _annotations(home, "captions", edition) as captions:
        captions = _captions(captions["annotations"], row_of, caption)
    data = MultimodalData({"image": _paths(home, edition, files), "caption": captions})
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=names,
        image_ids=image_ids,
        DESCR=_description("coco.rst"),
    )


@contextmanager
def _annotations(home, kind, edition):
    """The content of a file, and one sentence where it does not hold what is taken from it."""
    path = home / "annotations" / f"{kind}_{edition}.json"
    archive = f"{_BASE_URL}/annotations/annotations_trainval{edition[-4:]}.zip"
    remedy = f"unpack it again from {archive}."
    if not is_file(path, remedy):
        raise OSError(
            f"{path} does not exist; download {archive} and unpack it in {home}, so that the file lies there."
        )
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file)
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({error}); {remedy}") from error
    try:
        yield content
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is not as MS-COCO publishes it ({reason}); {remedy}") from error


def _images(images):
    """The row of each image, in order of their id, and the names of their files."""
    files = {image["id"]: str(image["file_name"]) for image in _by_id(images, "images")}
    return {number: row for row, number in enumerate(files)}, list(files.values())


def _by_id(entries, kind):
    """Entries in order of their id, of which no two may have the same."""
    numbers = [entry["id"] for entry in entries]
    others = [number for number in numbers if type(number) is not int or number.bit_length() > 63]
    if others:
        raise ValueError(f"an id of {kind} is {others[0]!r}")
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"two {kind} have one id")
    return sorted(entries, key=lambda entry: entry["id"])


def _labels(instances, row_of):
    """Which image shows which category, shape (n_images, n_categories), and the categories in order of their id."""
    categories = _by_id(instances["categories"], "categories")
    column_of = {category["id"]: column for column, category in enumerate(categories)}
    target = np.zeros((len(row_of), len(categories)), dtype=np.int64)
    for outlined in instances["annotations"]:
        row, column = row_of.get(outlined["image_id"]), column_of[outlined["category_id"]]
        if row is not None:  # who trims a file to some images may leave the others' annotations
            target[row, column] = 1
    return target, np.array([str(category["name"]) for category in categories])


def _paths(home, edition, files):
    folder = home / edition
    on_disk = set(os.listdir(folder)) if folder.is_dir() else set()
    paths = np.full(len(files), None, dtype=object)
    for row, name in enumerate(files):
        if name in on_disk:
            paths[row] = str(folder / name)
    if files and not any(paths):
        raise OSError(
            f"{folder} has none of the {len(files)} photographs, such as {files[0]}; download "
            f"{_BASE_URL}/zips/{edition}.zip and unpack it in {home}."
        )
    return paths


def _captions(annotations, row_of, caption):
    """A caption of each image, or None, as an array of objects; the first is the one with the lowest id."""
    captions = np.full(len(row_of), None, dtype=object)
    for written in sorted(annotations, key=lambda written: written["id"]):
        row, text = row_of.get(written["image_id"]), " ".join(written["caption"].split())
        if row is None or not text:
            continue
        if captions[row] is None:
            captions[row] = text
        elif caption == "joined":
            captions[row] += " " + text
    return captions
