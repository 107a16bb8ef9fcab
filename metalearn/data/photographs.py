"""Photographs of any size to one size, once; small square images of one size stay as they are."""

from collections.abc import Mapping

from metalearn.data.decode import cropped, size_within, unchanged
from metalearn.data.images import Photos, read_photos
from metalearn.data.source import Prepared

SIZE = 224  # pixels, what most networks trained on photographs take


def read_photographs(splits: Mapping[str, Photos], size: int) -> Prepared:
    """Every image as RGB: the shorter side made `size` pixels, then the central square.

    Images that all have one size, no larger than that, are not resized, and of oblong ones the
    central square is taken: a body that takes larger ones gets them enlarged on the device.

    Raises:
      UserError: as `read_photos`.
    """
    shape = one_size(splits, size)
    if shape is None:
        return read_photos(splits, size, cropped)
    if shape[0] != shape[1]:  # the device would make them square by stretching
        return read_photos(splits, min(shape), cropped)
    return read_photos(splits, size, unchanged, shape)


def one_size(splits: Mapping[str, Photos], largest: int) -> tuple[int, int] | None:
    """Height and width of all images; None if they differ, or if one is larger than `largest`."""
    found = None
    for classes in splits.values():
        for photos in classes.values():
            for photo in photos:
                size = size_within(photo.source(), largest)
                if size is None or found not in (None, size):
                    return None
                found = size
    return found
