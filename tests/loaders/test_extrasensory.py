"""ExtraSensory read from small tables in the published layout, and from a real file if any."""

import gzip
import shutil
import warnings
import zipfile
from itertools import chain

import numpy as np
import pytest
from conftest import fast_classifier
from fetch_helpers import REAL, message, needs
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_aecf.datasets import _extrasensory, fetch_extrasensory

COLUMNS = {
    "acc": ["raw_acc:magnitude_stats:mean", "raw_acc:3d:mean_x"],
    "gyro": ["proc_gyro:magnitude_stats:mean"],
    "magnet": ["raw_magnet:3d:mean_x"],
    "watch_acc": ["watch_acceleration:magnitude_stats:mean", "watch_acceleration:3d:mean_x"],
    "watch_compass": ["watch_heading:mean_cos"],
    "location": ["location:num_valid_updates", "location_quick_features:std_lat"],
    "audio": ["audio_naive:mfcc0:mean", "audio_properties:max_abs_value"],
    "phone_state": ["discrete:app_state:is_active", "lf_measurements:light", "discrete:time_of_day:between0and6"],
}
LABELS = ["label:SITTING", "label:FIX_walking"]
HEADER = ["timestamp", *chain(*COLUMNS.values()), *LABELS, "label_source"]


def write_user(home, uuid, rows, header=HEADER):
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows), ""]
    (home / f"{uuid}.features_labels.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def minute(stamp, watch="nan", labels=("1.000000", "nan")):
    features = [f"{i + 0.5:.6f}" for i in range(sum(map(len, COLUMNS.values())))]
    features[4:6] = [watch, watch]
    features[6] = ""  # an empty field is missing too
    return [stamp, *features, *labels, "2"]


@pytest.fixture
def users(tmp_path):
    write_user(tmp_path, "BB", [minute(1444079161, watch="1.5"), minute(1444079221)])
    write_user(tmp_path, "AA", [minute(1464895215, labels=("0.000000", "1.000000"))])
    write_user(tmp_path, "CC", [minute(1444079000, labels=("nan", "nan"))])
    return tmp_path


def write_folds(home):
    (home / "cv_5_folds").mkdir()
    for name, text in {"0_test_iphone": "BB\n", "3_test_android": "AA\n", "0_train_android": "AA\nCC\n"}.items():
        (home / "cv_5_folds" / f"fold_{name}_uuids.txt").write_text(text)


class TestExtraSensory:
    def test_tables(self, users, offline):
        life = fetch_extrasensory(users)
        assert {name: life.feature_names[name] for name in life.data} == COLUMNS
        assert {array.dtype for array in life.data.values()} == {np.dtype(np.float32)}
        assert_array_equal(life.data["acc"], np.tile(np.float32([0.5, 1.5]), (4, 1)))
        names = list(life.data.names)
        assert_array_equal(life.data.present[:, names.index("watch_acc")], [False, True, False, False])
        assert_array_equal(life.data.present[:, names.index("watch_compass")], False)
        assert life.data.present[:, names.index("phone_state")].all()
        assert_array_equal(life.target, [[0, 1], [1, np.nan], [1, np.nan], [np.nan, np.nan]])
        assert life.label_names.tolist() == ["SITTING", "FIX_walking"]
        assert_array_equal(life.group_names[life.groups], ["AA", "BB", "BB", "CC"])
        assert_array_equal(life.timestamp, [1464895215, 1444079161, 1444079221, 1444079000])
        assert life.fold is None
        assert "Vaizman" in life.DESCR
        X, y = fetch_extrasensory(users, return_X_y=True)
        assert life.data == X
        assert_array_equal(y, life.target)

    def test_folds(self, users):
        write_folds(users)
        assert_array_equal(fetch_extrasensory(users).fold, [3, 0, 0, -1])

    def test_archives_are_the_same(self, users, monkeypatch):
        write_folds(users)
        expected = fetch_extrasensory(users)
        elsewhere = users / "elsewhere"
        elsewhere.mkdir()
        with zipfile.ZipFile(elsewhere / "tables.zip", "w") as archive:
            for path in users.glob("*.gz"):
                archive.write(path, path.name)
                path.unlink()
        with zipfile.ZipFile(elsewhere / "folds.zip", "w") as archive:
            for path in users.glob("cv_5_folds/*"):
                archive.write(path, f"cv_5_folds/{path.name}")
        shutil.rmtree(users / "cv_5_folds")
        monkeypatch.setattr(_extrasensory, "_TABLES_URLS", [(elsewhere / "tables.zip").as_uri()])
        monkeypatch.setattr(_extrasensory, "_FOLDS_URLS", [(elsewhere / "folds.zip").as_uri()])
        for _ in range(2):  # downloaded, then there
            life = fetch_extrasensory(users)
            assert life.data == expected.data
            assert_array_equal(life.fold, expected.fold)
        (users / "ExtraSensory.per_uuid_features_labels.zip").write_bytes(b"PK no archive")
        with pytest.raises(ValueError, match=r"labels.zip cannot be read \(it begins with 'PK no archive'\); replace"):
            fetch_extrasensory(users)

    def test_folds_that_failed_are_fetched_later(self, users, monkeypatch):
        with zipfile.ZipFile(users / "ExtraSensory.per_uuid_features_labels.zip", "w") as archive:
            for path in users.glob("*.gz"):
                archive.write(path, path.name)
                path.unlink()
        nowhere = (users / "nowhere.zip").as_uri()
        monkeypatch.setattr(_extrasensory, "_FOLDS_URLS", [nowhere])
        with pytest.warns(
            UserWarning, match="^fold is None, as cv5Folds.zip could not be downloaded from .*; download"
        ):
            assert fetch_extrasensory(users, n_retries=1).fold is None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fetch_extrasensory(users, return_X_y=True)
            assert fetch_extrasensory(users, download_if_missing=False).fold is None
        with zipfile.ZipFile(users / "folds.zip", "w") as archive:
            archive.writestr("cv_5_folds/fold_3_test_android_uuids.txt", "AA\n")
        monkeypatch.setattr(_extrasensory, "_FOLDS_URLS", [(users / "folds.zip").as_uri()])
        assert_array_equal(fetch_extrasensory(users).fold, [3, -1, -1, -1])

    @pytest.mark.filterwarnings("ignore:No training row has")
    def test_fits(self, users):
        for path in list(users.glob("[BC]*.gz")):
            path.unlink()
        rows = [minute(i, labels=(float(i % 2), float(i % 3 == 0))) for i in range(40)]
        write_user(users, "BB", rows)
        X, y = fetch_extrasensory(users, return_X_y=True)
        assert fast_classifier().fit(X, y).predict_proba(X).shape == (41, 2)

    def test_other_columns(self, users):
        header = ["raw_acc:another" if name == "raw_acc:3d:mean_x" else name for name in HEADER]
        write_user(users, "CC", [minute(1)], header)
        with pytest.raises(ValueError) as info:
            fetch_extrasensory(users)
        assert message(info) == (
            f"{users / 'CC.features_labels.csv.gz'} has other columns than {users / 'AA.features_labels.csv.gz'}; put "
            "files of one release together, from http://extrasensory.ucsd.edu/data/primary_data_files/"
            "ExtraSensory.per_uuid_features_labels.zip."
        )

    def test_unknown_sensor(self, tmp_path):
        write_user(tmp_path, "AA", [minute(1)], ["pulse:mean" if "gyro" in name else name for name in HEADER])
        with pytest.raises(ValueError) as info:
            fetch_extrasensory(tmp_path)
        assert message(info) == (
            f"Column 'pulse:mean' of {tmp_path / 'AA.features_labels.csv.gz'} belongs to no sensor; names should begin "
            "with 'label', 'raw_acc', 'proc_gyro', 'raw_magnet', 'watch_acceleration', 'watch_heading', 'location', "
            "'location_quick_features', 'audio_naive', 'audio_properties', 'discrete', 'lf_measurements'."
        )

    def test_two_columns_of_one_name(self, tmp_path):
        write_user(tmp_path, "AA", [minute(1)], ["label:SITTING" if "walking" in name else name for name in HEADER])
        with pytest.raises(
            ValueError, match=r"AA.features_labels.csv.gz has two columns 'label:SITTING'; use the file in"
        ):
            fetch_extrasensory(tmp_path)

    def test_damaged_table(self, users):
        path = users / "BB.features_labels.csv.gz"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(
            ValueError, match=r"BB.features_labels.csv.gz cannot be read \(.*\); replace it by the file"
        ):
            fetch_extrasensory(users)
        write_user(users, "BB", [minute(1)[:-1]])
        with pytest.raises(ValueError) as info:
            fetch_extrasensory(users)
        assert message(info) == (
            f"{path} should have a column timestamp and rows of 18 values, one per name in the first line, but its rows "
            "have 17 and the names begin with 'timestamp'; replace it by the file in http://extrasensory.ucsd.edu/data/"
            "primary_data_files/ExtraSensory.per_uuid_features_labels.zip."
        )

    @pytest.mark.parametrize(
        "row, sentence",
        [
            (minute("nan"), "has rows without a timestamp"),
            (minute(1, labels=("2.000000", "nan")), "should hold labels that are 0, 1 or nan, but has 2.0"),
        ],
    )
    def test_values_that_cannot_be(self, users, row, sentence):
        write_user(users, "BB", [minute(1), row])
        with pytest.raises(ValueError) as info:
            fetch_extrasensory(users)
        assert message(info) == (
            f"{users / 'BB.features_labels.csv.gz'} {sentence}; replace it by the file in http://extrasensory.ucsd.edu/"
            "data/primary_data_files/ExtraSensory.per_uuid_features_labels.zip."
        )

    def test_a_user_twice(self, users):
        folder = users / "ExtraSensory.per_uuid_features_labels"
        folder.mkdir()
        shutil.copy(users / "BB.features_labels.csv.gz", folder)
        with pytest.raises(ValueError, match="^User BB is in .* and in .*; move one of them away.$"):
            fetch_extrasensory(users)

    def test_no_list_of_users(self, users):
        write_folds(users)
        (users / "cv_5_folds" / "fold_1_test_android_uuids.txt").write_text("<!DOCTYPE html>")
        with pytest.raises(ValueError, match=r"uuids.txt cannot be read \(it begins with '<!DOCTYPE html>'\); replace"):
            fetch_extrasensory(users)

    @pytest.mark.parametrize(
        "name, change, sentence",
        [
            ("X_acc", lambda X: X[:, 1:], r"should hold X_acc of shape \(4, 2\), but it is \(4, 1\)"),
            ("X_audio", lambda X: X[:-1], r"should hold X_audio of shape \(4, 2\), but it is \(3, 2\)"),
            ("Y", lambda Y: Y + 3, "should hold Y from -1 to 1, but has others"),
            ("Y", lambda Y: Y.astype(float), "should hold Y from -1 to 1, but has others"),
            ("user", lambda user: user + 1, "should hold user from 0 to 2, but has others"),
            ("official_fold", lambda fold: fold[1:], r"should hold official_fold of shape \(3,\), but it is \(2,\)"),
            ("timestamp", lambda stamp: stamp[1:], r"should hold timestamp of shape \(4,\), but it is \(3,\)"),
            (
                "timestamp",
                lambda stamp: stamp + np.nan,
                "should hold timestamp from 0 to 1099511627775, but has others",
            ),
            ("X_gyro", lambda X: X.astype(str), "should hold floats in X_gyro, but has <U32"),
            ("names_gyro", lambda names: np.arange(1), "should hold text in names_gyro, but has int64"),
        ],
    )
    def test_damaged_compact_file(self, users, name, change, sentence):
        life = fetch_extrasensory(users)
        arrays = {f"X_{key}": array for key, array in life.data.items()}
        arrays |= {f"names_{key}": names for key, names in life.feature_names.items()}
        arrays |= {"Y": np.nan_to_num(life.target, nan=-1).astype(np.int8), "label_names": life.label_names}
        arrays |= {"user": life.groups, "user_uuid": life.group_names, "timestamp": life.timestamp}
        arrays |= {"official_fold": np.array([0, -1, 4])}
        home = users / "compact"
        home.mkdir()
        np.savez(home / "extrasensory37.npz", **arrays)
        assert fetch_extrasensory(home).data == life.data
        np.savez(home / "extrasensory37.npz", **{**arrays, name: change(np.asarray(arrays[name]))})
        with pytest.raises(ValueError, match=rf"extrasensory37.npz {sentence}; remove it, to use the tables from"):
            fetch_extrasensory(home)

    def test_offline(self, tmp_path, offline):
        with pytest.raises(OSError) as info:
            fetch_extrasensory(tmp_path, n_retries=1)
        name = "ExtraSensory.per_uuid_features_labels.zip"
        assert message(info) == (
            f"{name} could not be downloaded from http://extrasensory.ucsd.edu/data/primary_data_files/{name} (no "
            f"network); download it where there is a network and put it at {tmp_path / name}."
        )

    @needs("extrasensory37.npz")
    def test_real_compact_file(self):
        life = fetch_extrasensory(REAL)
        assert life.data.shape == (50_498, 225)
        assert_allclose(1 - life.data.present.mean(axis=0), [0, 0.11, 0.13, 0.42, 0.68, 0.13, 0.03, 0], atol=0.006)
        assert set(np.unique(life.target[~np.isnan(life.target)])) == {0, 1}
        assert life.target.shape == (50_498, len(life.label_names))
        assert np.isnan(life.target).any()
        assert set(life.fold) == set(range(5))
        assert len(life.group_names) == 37
        # Every published name begins with a prefix that the reader of tables knows, of the same modality.
        columns = ["timestamp", *chain(*life.feature_names.values()), "label:SITTING", "label_source"]
        positions = _extrasensory._positions(columns, "")
        assert {name: [columns[i] for i in positions[name]] for name in life.data} == life.feature_names
