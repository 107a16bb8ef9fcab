"""What makes a photograph a poor example: said of those that are, not of good ones."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from metalearn.data.decode import read_image
from metalearn.data.quality import doubts, steepness

SIZE = 224


def scene(seed: int = 0, size: int = SIZE) -> np.ndarray:
    """Sharp discs of many colours and sizes, antialiased, uint8 [size, size, 3]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] + 0.5
    image = np.full((size, size, 3), 128.0)
    for _ in range(60):
        (across, down, radius) = rng.uniform((0, 0, 0.02), (1, 1, 0.15)) * size
        cover = np.clip(radius - np.hypot(x - across, y - down), 0, 1)[..., None]
        image += cover * (rng.uniform(0, 255, 3) - image)
    return np.rint(image).astype(np.uint8)


def blurred(image: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def moved(image: np.ndarray, pixels: int, axis: int) -> np.ndarray:
    """The image of a camera that moved while the shutter was open."""
    shots = [np.roll(image, by, axis).astype(float) for by in range(pixels)]
    return np.mean(shots, axis=0).astype(np.uint8)


@pytest.mark.parametrize("size", [64, 84, 224, 300])
def test_a_sharp_photograph_is_in_no_doubt(size: int) -> None:
    assert doubts(scene(1, size), size, 2 * size) == ()


@pytest.mark.parametrize("radius", [3, 4, 6])
def test_a_blurred_photograph_is_named(radius: float) -> None:
    assert doubts(blurred(scene(), radius), SIZE, SIZE) == ("blurred",)


@pytest.mark.parametrize("axis", [0, 1])
def test_blur_of_movement_is_named_whatever_its_direction(axis: int) -> None:
    assert doubts(moved(scene(), 14, axis), SIZE, SIZE) == ("blurred",)


def test_a_sharp_thing_before_a_blurred_ground_is_in_no_doubt() -> None:
    image = blurred(scene(), 6).copy()
    image[70:150, 70:150] = scene()[70:150, 70:150]
    assert doubts(image, SIZE, SIZE) == ()


def test_sharpness_does_not_depend_on_contrast() -> None:
    grey = scene().mean(axis=2).astype(np.int16)
    assert abs(steepness(grey) - steepness(grey // 3)) < 0.1
    assert steepness(blurred(scene(), 4).mean(axis=2).astype(np.int16) // 3) < 0.29


@pytest.mark.parametrize("side", [1, 3, 5])
def test_images_of_hardly_any_pixels_have_no_edges_to_judge(side: int) -> None:
    assert steepness(np.zeros((side, side), np.int16)) == 1


@pytest.mark.parametrize(("width", "height"), [(40, 30), (900, 74)])
def test_few_pixels_are_named_and_not_called_blurred(width: int, height: int) -> None:
    small = Image.fromarray(scene()).resize((40, 40), Image.Resampling.BICUBIC)
    enlarged = np.asarray(small.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    assert doubts(enlarged, width, height) == (f"only {width} x {height} pixels",)


def test_a_third_of_the_pixels_is_enough() -> None:
    assert doubts(scene(), 75, 75) == ()


def test_a_very_dark_photograph_is_named() -> None:
    assert doubts((scene() * 0.2).astype(np.uint8), SIZE, SIZE) == ("very dark",)
    assert doubts((scene() * 0.6).astype(np.uint8), SIZE, SIZE) == ()
    assert doubts(np.zeros((SIZE, SIZE, 3), np.uint8), SIZE, SIZE) == ("very dark",)


@pytest.mark.parametrize("colour", [(255, 255, 255), (200, 60, 60)])
def test_nearly_one_colour_is_named(colour: tuple[int, int, int]) -> None:
    """Noise and a spot of dirt do not make it a picture of something."""
    noise = np.random.default_rng(0).normal(colour, 6, (SIZE, SIZE, 3))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    image[100:120, 100:120] = 0
    assert doubts(image, SIZE, SIZE) == ("nearly all one colour",)
    image[60:160, 60:160] = scene()[60:160, 60:160]
    assert doubts(image, SIZE, SIZE) == ()


def test_real_photographs_are_in_doubt_once_they_are_blurred(data_dir: Path) -> None:
    archive = data_dir / "grocery-store-224.zip"
    if not archive.is_file():
        pytest.skip(f"no {archive.name} in {data_dir}")
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.startswith("test/"))
        some = [file.read(name) for name in names if name.endswith(".jpg")][::8]
    images = [read_image(BytesIO(data), SIZE).pixels for data in some]
    assert len(images) > 300
    flagged = sum(bool(doubts(image, SIZE, SIZE)) for image in images)
    useless = sum("blurred" in doubts(blurred(image, 3), SIZE, SIZE) for image in images)
    assert flagged < 0.01 * len(images) and useless > 0.9 * len(images)
