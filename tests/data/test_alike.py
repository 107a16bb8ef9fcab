"""Images that show the same are one group: equal ones, and near-duplicates where asked for."""

import numpy as np

from metalearn.data.alike import difference_hash, groups_of, resized_groups


def scene(seed: int, side: int = 64) -> np.ndarray:
    """A picture of coarse coloured patches, uint8 [side, side, 3]."""
    patches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.kron(patches, np.ones((side // 8, side // 8, 1), np.uint8))


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    """The picture with the noise of another shot, and a little brighter."""
    noise = np.random.default_rng(seed).normal(2, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def same(groups: np.ndarray, one: int, other: int) -> bool:
    return bool(groups[one] == groups[other])


def test_equal_images_are_one_group() -> None:
    groups = groups_of(np.stack([scene(0), scene(1), scene(0), noisy(scene(0), 1)]), near=False)
    assert same(groups, 0, 2) and len(set(groups.tolist())) == 3


def test_near_duplicates_are_one_group_only_where_asked_for() -> None:
    images = np.stack([scene(0), scene(1), noisy(scene(0), 1), scene(2), noisy(scene(1), 2)])
    groups = groups_of(images, near=True)
    assert same(groups, 0, 2) and same(groups, 1, 4) and len(set(groups.tolist())) == 3
    assert len(set(groups_of(images, near=False).tolist())) == 5


def test_near_duplicates_are_found_among_more_images_than_are_compared_at_once() -> None:
    """The pair lies in different blocks of the comparison."""
    plain = np.random.default_rng(0).integers(0, 256, (1500, 16, 16, 1), np.uint8)
    images = np.concatenate([plain, noisy(plain[:1], 1)])
    groups = groups_of(images, near=True)
    assert same(groups, 0, 1500) and len(set(groups.tolist())) == 1500


def test_plain_images_of_different_colours_are_not_the_same() -> None:
    """Their hashes are: nothing rises."""
    red, grey = (np.full((16, 16, 3), colour, np.uint8) for colour in ((200, 0, 0), (90, 90, 90)))
    assert difference_hash(red) == difference_hash(grey) == 0
    assert not same(groups_of(np.stack([red, grey]), near=True), 0, 1)


def test_difference_hash_tells_where_brightness_rises() -> None:
    ramp = np.tile(np.linspace(0, 255, 72).astype(np.uint8)[None, :, None], (64, 1, 1))
    assert difference_hash(ramp) == 2**64 - 1 and difference_hash(ramp[:, ::-1]) == 0


def test_no_images_have_no_groups() -> None:
    assert groups_of(np.zeros((0, 8, 8, 3), np.uint8), near=True).shape == (0,)


def test_groups_are_numbered_in_the_order_of_the_images_at_every_size() -> None:
    scenes = [scene(number) for number in (3, 1, 3, 2, 4, 1)]
    for step in (1, 2):
        images = np.stack([image[::step, ::step] for image in scenes])
        assert resized_groups(images).tolist() == [0, 1, 0, 2, 3, 1]
        assert resized_groups(images[..., :1]).tolist() == [0, 1, 0, 2, 3, 1]


def test_grey_images_are_alike_only_if_they_are_equal() -> None:
    images = np.stack([scene(0), noisy(scene(0), 1), scene(0)])
    assert resized_groups(images).tolist() == [0, 0, 0]
    assert resized_groups(images[..., :1]).tolist() == [0, 1, 0]
