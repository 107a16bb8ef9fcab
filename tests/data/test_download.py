"""Names that are not known, files that are not there, downloads that fail or succeed."""

import gc
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from metalearn.data import find_reader, load
from metalearn.data.download import check_digests, fetch
from metalearn.data.source import RemoteFile
from metalearn.errors import UserError

# pooch leaves the connection of a refused request to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = b"0123456789" * 1000
DIGEST = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of one file, `data.bin`, which pooch is to fetch."""
    pytest.importorskip("pooch")
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "data.bin").write_bytes(CONTENT)
    with HTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "www"))) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()
        thread.join()
    gc.collect()


def test_fetch_downloads_a_missing_file_once(tmp_path: Path, server: str) -> None:
    file = RemoteFile("data.bin", f"{server}/data.bin", DIGEST)
    fetch((file,), tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder" / "data.bin").read_bytes() == CONTENT
    fetch((file._replace(url="http://127.0.0.1:9/none"),), tmp_path / "new" / "folder")


def test_fetch_refuses_another_digest(tmp_path: Path, server: str) -> None:
    file = RemoteFile("data.bin", f"{server}/data.bin", "md5:" + "0" * 32)
    with pytest.raises(UserError, match="not the official file"):
        fetch((file,), tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("path", ["/missing.bin", None])
def test_failed_download_names_the_address_to_fetch_by_hand(
    tmp_path: Path, server: str, path: str | None
) -> None:
    url = server + path if path else "http://127.0.0.1:9/data.bin"  # nobody listens on port 9
    with pytest.raises(UserError) as caught:
        fetch((RemoteFile("data.bin", url, DIGEST),), tmp_path / "new")
    text = str(caught.value)
    assert "\n" not in text and "data.bin" in text and url in text and str(tmp_path / "new") in text
    assert list((tmp_path / "new").iterdir()) == []


def test_official_digest_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    check_digests((RemoteFile("data.bin", "", DIGEST),), tmp_path)
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "hint"),
    [("cifarfs", "Did you mean cifar_fs"), ("zzz", "Known: cifar10, cifar100, cifar_fs")],
)
def test_unknown_dataset_is_refused_with_a_hint(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(UserError, match=hint) as caught:
        load(name, tmp_path, tmp_path)
    assert "tfds:NAME" in str(caught.value) and "\n" not in str(caught.value)


def test_load_options_reach_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(
        "metalearn.data._import",
        lambda target: lambda *args, **options: calls.append((args, options)),
    )
    find_reader("tfds:some/thing:1.0.0", 3, 32)
    find_reader("folder", 4, 64)
    assert calls == [
        (("some/thing:1.0.0",), {"seed": 3, "image_size": 32}),
        ((), {"seed": 4, "image_size": 64}),
    ]


@pytest.mark.parametrize("name", ["cifar_fs", "fc100", "omniglot"])
def test_every_official_file_has_an_address_and_a_digest(name: str) -> None:
    for file in find_reader(name).files:
        assert file.url.startswith("https://") and file.url.endswith(file.name)
        assert file.digest.startswith("md5:") and len(file.digest) == 36
