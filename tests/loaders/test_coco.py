"""MS-COCO read from small folders in the published layout."""

import json

import numpy as np
import pytest
from fetch_helpers import message
from numpy.testing import assert_array_equal
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from sklearn_aecf.compose import ModalityTransformer
from sklearn_aecf.datasets import fetch_coco


def write_coco(home, edition="val2017", on_disk=(1, 3)):
    (home / "annotations").mkdir(exist_ok=True)
    (home / edition).mkdir(exist_ok=True)
    instances = {
        "images": [{"id": i, "file_name": f"{i:012}.jpg"} for i in (3, 1, 2)],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 3, "category_id": 1},
            {"image_id": 3, "category_id": 1},
            {"image_id": 3, "category_id": 90},
            {"image_id": 1, "category_id": 90},
        ],
    }
    captions = {
        "annotations": [
            {"id": 8, "image_id": 3, "caption": "Teeth."},
            {"id": 7, "image_id": 3, "caption": "Somebody brushes\nteeth. "},
            {"id": 9, "image_id": 2, "caption": "Nothing."},
            {"id": 10, "image_id": 2, "caption": " "},
        ]
    }
    for kind, content in (("instances", instances), ("captions", captions)):
        (home / "annotations" / f"{kind}_{edition}.json").write_text(json.dumps(content))
    for i in on_disk:
        (home / edition / f"{i:012}.jpg").write_bytes(b"")


class TestCOCO:
    def test_reads(self, tmp_path, offline):
        write_coco(tmp_path)
        seen = fetch_coco(tmp_path)
        assert seen.image_ids.tolist() == [1, 2, 3]
        folder = tmp_path / "val2017"
        assert seen.data["image"].tolist() == [str(folder / "000000000001.jpg"), None, str(folder / "000000000003.jpg")]
        assert seen.data["caption"].tolist() == [None, "Nothing.", "Somebody brushes teeth."]
        assert_array_equal(seen.data.present, [[True, False], [False, True], [True, True]])
        assert_array_equal(seen.target, [[0, 1], [0, 0], [1, 1]])
        assert seen.target_names.tolist() == ["person", "toothbrush"]
        assert "Flickr" in seen.DESCR
        X, y = fetch_coco(tmp_path, caption="joined", return_X_y=True)
        assert X["caption"][2] == "Somebody brushes teeth. Teeth."
        assert_array_equal(y, seen.target)

    def test_other_edition(self, tmp_path):
        write_coco(tmp_path, "train2014")
        assert len(fetch_coco(tmp_path, subset="train", year=2014).data) == 3

    def test_goes_through_a_transformer(self, tmp_path):
        write_coco(tmp_path)
        X, _ = fetch_coco(tmp_path, return_X_y=True)
        words = make_pipeline(CountVectorizer(), TruncatedSVD(1, random_state=0))
        out = ModalityTransformer({"caption": words, "image": "drop"}).fit_transform(X)
        assert_array_equal(out.present[:, 0], [False, True, True])

    def test_missing_files(self, tmp_path):
        with pytest.raises(OSError) as info:
            fetch_coco(tmp_path)
        path = tmp_path / "annotations" / "instances_val2017.json"
        archive = "http://images.cocodataset.org/annotations/annotations_trainval2017.zip"
        assert message(info) == (
            f"{path} does not exist; download {archive} and unpack it in {tmp_path}, so that the file lies there."
        )
        write_coco(tmp_path, on_disk=())
        with pytest.raises(OSError) as info:
            fetch_coco(tmp_path)
        assert message(info) == (
            f"{tmp_path / 'val2017'} has none of the 3 photographs, such as 000000000001.jpg; download "
            f"http://images.cocodataset.org/zips/val2017.zip and unpack it in {tmp_path}."
        )
        path.write_text('{"images": []}')
        with pytest.raises(ValueError) as info:
            fetch_coco(tmp_path)
        assert message(info) == (
            f"{path} is not as MS-COCO publishes it (no 'categories'); unpack it again from {archive}."
        )
        path.write_text("[1, 2")
        with pytest.raises(ValueError, match=r"instances_val2017.json cannot be read as JSON \(.*\); unpack it again"):
            fetch_coco(tmp_path)
        path.write_text("[" * 100_000)
        with pytest.raises(ValueError, match=r"instances_val2017.json cannot be read as JSON \(.*\); unpack it again"):
            fetch_coco(tmp_path)

    @pytest.mark.parametrize(
        "kind, change, reason",
        [
            ("instances", {"annotations": [{"image_id": 1, "category_id": 7}]}, "no 7"),
            ("instances", {"annotations": [{"image_id": 1}]}, "no 'category_id'"),
            ("instances", {"images": None}, "'NoneType' object is not iterable"),
            ("instances", {"images": [{"id": 1}]}, "no 'file_name'"),
            ("instances", {"images": [{"id": 1, "file_name": "a.jpg"}] * 2}, "two images have one id"),
            ("instances", {"images": [{"id": "a", "file_name": "a.jpg"}]}, "an id of images is 'a'"),
            ("instances", {"images": [{"id": 1.5, "file_name": "a.jpg"}]}, "an id of images is 1.5"),
            ("instances", {"images": [{"id": 10**30, "file_name": "a.jpg"}]}, "an id of images is 10{30}"),
            ("instances", {"categories": [{"id": 1, "name": "a"}] * 2}, "two categories have one id"),
            ("captions", {"annotations": None}, "'NoneType' object is not iterable"),
            ("captions", {"annotations": [{"id": 1, "image_id": 1, "caption": None}]}, "'NoneType' object has no .*"),
        ],
    )
    def test_another_content(self, tmp_path, kind, change, reason):
        write_coco(tmp_path)
        path = tmp_path / "annotations" / f"{kind}_val2017.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(ValueError, match=rf"^{path} is not as MS-COCO publishes it \({reason}\); unpack it again"):
            fetch_coco(tmp_path)

    def test_trimmed_to_some_images(self, tmp_path):
        write_coco(tmp_path)
        path = tmp_path / "annotations" / "instances_val2017.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "images": [image for image in content["images"] if image["id"] > 1]}))
        seen = fetch_coco(tmp_path)
        assert seen.image_ids.tolist() == [2, 3]
        assert_array_equal(seen.target, [[0, 0], [1, 1]])

    @pytest.mark.parametrize(
        "option, sentence",
        [
            ({"subset": "test"}, "subset must be 'val' or 'train'. Got 'test'."),
            ({"year": "2017"}, "year must be 2014 or 2017. Got '2017'."),
            ({"year": 2017.0}, "year must be 2014 or 2017. Got 2017.0."),
            (
                {"subset": np.array(["val", "train"])},
                f"subset must be 'val' or 'train'. Got {np.array(['val', 'train'])!r}.",
            ),
            ({"caption": "all"}, "caption must be 'first' or 'joined'. Got 'all'."),
        ],
    )
    def test_unknown_options(self, tmp_path, option, sentence):
        with pytest.raises(ValueError) as info:
            fetch_coco(tmp_path, **option)
        assert message(info) == sentence
