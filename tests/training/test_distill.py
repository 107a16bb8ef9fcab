"""Teachers: of the same images, on any number of devices."""

from functools import partial
from pathlib import Path

from tests.programs import make_images, program, words


def test_teacher_is_of_the_same_images_and_of_any_meta_batch(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    of = partial(words, method="rfs", support_copies=1)
    teacher = tmp_path / "teacher"
    assert program("finetune", *of(images, workdir=teacher, meta_batch=1)).code == 0
    taught = partial(of, teacher=teacher, workdir=tmp_path / "taught")
    others = make_images(tmp_path / "others", images=7)
    refused = program("finetune", *taught(others))
    assert "was trained on other images of folder than these" in refused.complaint
    said = program("finetune", *taught(images, meta_batch=2))  # on two devices
    assert said.code == 0, said.err
