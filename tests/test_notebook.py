"""The notebook runs from top to bottom, with small settings in its cell of parameters."""

from pathlib import Path

import pytest

from tests.programs import ROOT, TINY, environment, fitting, make_images

nbclient = pytest.importorskip("nbclient", reason="nbclient comes with requirements-dev.txt")
nbformat = pytest.importorskip("nbformat", reason="nbformat comes with requirements-dev.txt")


def parameters(images: Path) -> str:
    small = [f"--{k}={v}" for k, v in TINY.items() if k != "dataset"]
    flags = {name.upper(): " ".join(fitting(name, small)) for name in ("maml", "protonet")}
    data = f"--data_dir={images} --cache_dir={images.parent / 'cache'}"
    values = {"REPOSITORY": "", "DATASET": "--dataset=folder", "DATA": data, **flags}
    return "\n".join(f"{name} = {value!r}" for name, value in values.items())


def test_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"  # its folder of runs is not the user's
    checkout.mkdir()
    for name in ("metalearn", "experiments", "results", "requirements.txt"):
        (checkout / name).symlink_to(ROOT / name)
    notebook = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    assert all(
        f"{name} = " in cell.source
        for name in ("REPOSITORY", "DATASET", "DATA", "MAML", "PROTONET")
    )
    cell.source = parameters(make_images(tmp_path / "images"))
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(checkout)}}
    ).execute()

    outputs = [output for c in notebook.cells if c.cell_type == "code" for output in c.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert f"checkout: {checkout}" in text and "(95 % CI, 6 test episodes " in text
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert (
        shown.count("image/png") == 4 and shown.count("text/markdown") == 1
    )  # curve, three episodes; the table
    table = next(
        output["data"]["text/markdown"]
        for output in outputs
        if "text/markdown" in output.get("data", {})
    )
    assert "| maml | conv2-8 |" in table and "| protonet | conv2-8 |" in table
