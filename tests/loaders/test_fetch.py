"""Downloads from a server of the test's own, and the files that fetchers keep."""

import hashlib
import http.server
import threading

import numpy as np
import pytest
from fetch_helpers import message

from sklearn_aecf.datasets import _fetch, fetch_avmnist, fetch_coco, fetch_extrasensory

CONTENT = bytes(range(256)) * 20
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.resumes else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = server.cut.pop() if server.cut else len(CONTENT)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.asked, running.cut, running.resumes = [], [], True
    running.url = f"http://127.0.0.1:{running.server_port}/file.bin"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


class TestDownload:
    def test_downloads_once(self, server, tmp_path):
        path = tmp_path / "new" / "file.bin"
        for _ in range(2):
            assert _fetch.fetch_file(path, [server.url], sha256=SHA256) == path
        assert path.read_bytes() == CONTENT
        assert server.asked == [None]
        assert [file.name for file in path.parent.iterdir()] == ["file.bin"]

    def test_resumes_a_part(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
        path = _fetch.fetch_file(tmp_path / "file.bin", [server.url], sha256=SHA256)
        assert path.read_bytes() == CONTENT
        assert server.asked == ["bytes=1000-"]

    def test_resumes_after_a_cut(self, server, tmp_path):
        server.cut = [3000]
        path = _fetch.fetch_file(tmp_path / "file.bin", [server.url], delay=0)
        assert path.read_bytes() == CONTENT
        assert server.asked == [None, "bytes=3000-"]

    def test_a_later_call_resumes_what_an_earlier_one_left(self, server, tmp_path):
        server.cut = [3000]
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path / "file.bin", [server.url], n_retries=1)
        assert message(info) == (
            f"file.bin could not be downloaded from {server.url} (the connection ended after 3000 of 5120 bytes); "
            f"download it where there is a network and put it at {tmp_path / 'file.bin'}."
        )
        assert _fetch.fetch_file(tmp_path / "file.bin", [server.url]).read_bytes() == CONTENT

    def test_starts_again_where_the_server_cannot_resume(self, server, tmp_path):
        server.resumes = False
        (tmp_path / "file.bin.part").write_bytes(b"old" * 100)
        assert _fetch.fetch_file(tmp_path / "file.bin", [server.url]).read_bytes() == CONTENT

    def test_starts_again_where_the_part_is_too_long(self, server, tmp_path):
        (tmp_path / "file.bin.part").write_bytes(b"x" * 9999)
        assert _fetch.fetch_file(tmp_path / "file.bin", [server.url], delay=0).read_bytes() == CONTENT
        assert server.asked == ["bytes=9999-", None]

    def test_refuses_a_wrong_checksum_and_forgets_the_part(self, server, tmp_path):
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path / "file.bin", [server.url], sha256="0" * 64)
        assert message(info) == (
            f"file.bin from {server.url} has SHA-256 {SHA256}, but {'0' * 64} was expected; the file was refused and "
            f"removed. Try again, or put a good copy at {tmp_path / 'file.bin'}."
        )
        assert list(tmp_path.iterdir()) == []

    def test_tries_mirrors_in_turn(self, tmp_path):
        (tmp_path / "there.bin").write_bytes(CONTENT)
        urls = [(tmp_path / name).as_uri() for name in ("nowhere.bin", "there.bin")]
        assert _fetch.fetch_file(tmp_path / "file.bin", urls, sha256=SHA256).read_bytes() == CONTENT

    def test_not_allowed(self, tmp_path):
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path / "file.bin", ["http://a/file.bin"], download_if_missing=False)
        assert message(info) == (
            f"{tmp_path / 'file.bin'} does not exist and download_if_missing=False; allow the download, or get the file "
            "from http://a/file.bin and put it there."
        )


class TestFiles:
    def test_unwritable_home_warns(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.warns(UserWarning, match="could not be written .* the next call builds the data again"):
            _fetch.save_npz(tmp_path / "file" / "a.npz", {"a": np.ones(2)})

    def test_a_failed_write_leaves_nothing(self, tmp_path, monkeypatch):
        def full(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(_fetch.os, "replace", full)
        with pytest.warns(UserWarning, match=r"a.npz could not be written \(No space left on device\)"):
            _fetch.save_npz(tmp_path / "a.npz", {"a": np.ones(2)})
        assert list(tmp_path.iterdir()) == []

    def test_lacking_array(self, tmp_path):
        _fetch.save_npz(tmp_path / "a.npz", {"a": np.ones(2)})
        with pytest.raises(ValueError) as info:
            _fetch.read_npz(tmp_path / "a.npz", ["a", "b"], "delete it.")
        assert message(info) == f"{tmp_path / 'a.npz'} has no array 'b'; delete it."

    @pytest.mark.parametrize("content", [b"", b"no archive", "pickle", "cut"])
    def test_damaged(self, tmp_path, content):
        path = tmp_path / "a.npz"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            np.savez(path, a=np.array([None]) if content == "pickle" else np.ones(100))
        if content == "cut":
            path.write_bytes(path.read_bytes()[:-50])
        with pytest.raises(ValueError, match=r"a.npz cannot be read as an npz file \(.*\); delete it\."):
            _fetch.read_npz(path, ["a"], "delete it.")

    def test_an_npy_file(self, tmp_path):
        np.save(tmp_path / "a.npy", np.ones(2))
        (tmp_path / "a.npy").rename(tmp_path / "a.npz")
        with pytest.raises(ValueError, match=r"a.npz cannot be read as an npz file \(.*\); delete it\."):
            _fetch.read_npz(tmp_path / "a.npz", ["a"], "delete it.")

    @pytest.mark.parametrize("fetch", [fetch_avmnist, fetch_coco, fetch_extrasensory])
    def test_home_is_a_file(self, fetch, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError) as info:
            fetch(tmp_path / "file")
        assert message(info) == (
            f"data_home must be a folder, but {tmp_path / 'file'} is a file; give the folder that it is in."
        )

    def test_a_folder_in_place_of_a_file(self, tmp_path):
        with pytest.raises(OSError) as info:
            _fetch.fetch_file(tmp_path, ["http://a/file.bin"])
        assert (
            message(info)
            == f"{tmp_path} must be a file, but it is a folder; move it away, or put http://a/file.bin in its place."
        )

    def test_default_home(self, monkeypatch, tmp_path):
        monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
        assert _fetch.resolve_home(None) == tmp_path / "sklearn_aecf"
