"""A person's folder of photographs: which are found, what is read of each, what is said of others."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.data.decode import Unreadable, cropped, read_image
from metalearn.data.snapshots import (
    Refused,
    Snapshot,
    duplicates_across,
    find_labelled,
    find_photos,
    from_bytes,
    from_pixels,
    notes_on,
    printable,
    read_snapshot,
    read_snapshots,
)
from metalearn.errors import UserError


def scene(seed: int, width: int = 120, height: int = 100) -> Image.Image:
    """Coarse coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST)


def save(path: Path, seed: int = 0, quality: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scene(seed).save(path, "JPEG", quality=quality)
    return path


def names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def refused(call: object, *args: object) -> str:
    with pytest.raises(UserError) as caught:
        call(*args)
    said = str(caught.value)
    assert said == printable(said)
    return said


def test_classes_and_photos_are_sorted_at_any_depth(tmp_path: Path) -> None:
    for name in ("mug/b.jpg", "mug/a.JPG", "mug/2024/summer/c.png", "cup/x.heic", "cup/ y.jpeg"):
        save(tmp_path / name)
    found = find_labelled(tmp_path)
    assert list(found) == ["cup", "mug"]
    assert names(found["mug"], tmp_path) == ["mug/2024/summer/c.png", "mug/a.JPG", "mug/b.jpg"]
    assert names(found["cup"], tmp_path) == ["cup/ y.jpeg", "cup/x.heic"]


def test_what_systems_leave_in_folders_is_passed_over_silently(tmp_path: Path) -> None:
    save(tmp_path / "cup" / "1.jpg")
    for name in ("Thumbs.db", ".DS_Store", "._1.jpg", "desktop.ini", ".hidden.jpg"):
        (tmp_path / "cup" / name).write_bytes(b"anything")
    save(tmp_path / ".trash" / "1.jpg")
    save(tmp_path / "$RECYCLE.BIN" / "1.jpg")
    assert names(find_labelled(tmp_path)["cup"], tmp_path) == ["cup/1.jpg"]
    assert list(find_labelled(tmp_path)) == ["cup"] and notes_on(tmp_path) == []


def test_files_of_other_endings_are_counted_in_a_note(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.heic"):
        save(tmp_path / "cup" / name)
    for name in ("a.mp4", "b.MP4", "c.CR2", "d.nef", "e.psd", "f.svg", "notes.txt"):
        (tmp_path / "cup" / name).write_bytes(b"anything")
    said = "note: passed over files that are not read as images: 1 .cr2, 2 .mp4, 1 .nef, 1 .psd, "
    assert notes_on(tmp_path) == [said + "1 .svg"]


def test_notes_on_loose_photos_empty_folders_and_case(tmp_path: Path) -> None:
    for name in ("Cup/1.jpg", "cup/1.jpg", "mug/1.jpg", "loose.jpg", "other.png"):
        save(tmp_path / name)
    (tmp_path / "plate").mkdir()
    if len(list(tmp_path.iterdir())) < 6:
        pytest.skip("this file system does not tell Cup from cup")
    assert list(find_labelled(tmp_path)) == ["Cup", "cup", "mug"]
    assert notes_on(tmp_path) == [
        "note: passed over photos in no class folder: 2",
        "note: passed over folders without a photo: plate",
        "note: Cup and cup are different classes",
    ]


def test_class_names_are_composed(tmp_path: Path) -> None:
    """macOS writes é as e and an accent."""
    save(tmp_path / unicodedata.normalize("NFD", "café") / "1.jpg")
    assert list(find_labelled(tmp_path)) == [unicodedata.normalize("NFC", "café")]


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        save(tmp_path / unicodedata.normalize(form, "café") / "1.jpg")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system composes names")
    assert "has two folders named 'café', which differ in spaces" in refused(
        find_labelled, tmp_path
    )


def test_folders_without_classes_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "flat" / "1.jpg")
    (tmp_path / "empty" / "cup").mkdir(parents=True)
    for name in ("flat", "empty"):
        said = refused(find_labelled, tmp_path / name)
        assert said.startswith(f"{tmp_path / name} has no class folder with a photo: put ")
    assert refused(find_labelled, tmp_path / "none").startswith("there is no folder ")
    assert refused(find_labelled, tmp_path / "flat" / "1.jpg").startswith("there is no folder ")


def loops(folder: Path) -> None:
    """Eight links to the folder around: of 32 folders one in the other, 8 to the power of 32."""
    save(folder / "cup" / "1.jpg")
    for number in range(8):
        os.symlink("..", folder / "cup" / f"up{number}")


def test_loops_of_links_are_refused_at_once(tmp_path: Path) -> None:
    loops(tmp_path)
    start = time.monotonic()
    for find in (find_labelled, find_photos, notes_on):
        said = refused(find, tmp_path)
        assert "cup/up" in said and "links to a folder around it" in said
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("target", [".", "..", "/"])
def test_a_class_that_is_a_link_to_a_folder_around_is_refused(tmp_path: Path, target: str) -> None:
    """Before all that lies below it is walked."""
    save(tmp_path / "cup" / "1.jpg")
    os.symlink(target, tmp_path / "loop")
    assert "loop is nested too deeply" in refused(find_labelled, tmp_path)


def test_a_folder_that_many_links_lead_to_is_entered_once(tmp_path: Path) -> None:
    """Else the ways to it are 2 to the power of 30."""
    for number in range(30):
        (tmp_path / "store" / f"{number}").mkdir(parents=True)
        for side in ("left", "right"):
            os.symlink(f"../{number + 1}", tmp_path / "store" / f"{number}" / side)
    save(tmp_path / "store" / "30" / "1.jpg")
    (tmp_path / "own").mkdir()
    os.symlink("../store/0", tmp_path / "own" / "cup")
    found = find_labelled(tmp_path / "own")["cup"]
    assert len(found) == 1 and found[0].is_file()


def test_a_link_to_a_class_elsewhere_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "pictures" / "cups" / "1.jpg")
    (tmp_path / "own").mkdir()
    os.symlink(tmp_path / "pictures" / "cups", tmp_path / "own" / "cup")
    assert names(find_labelled(tmp_path / "own")["cup"], tmp_path) == ["own/cup/1.jpg"]


def test_relative_folders_are_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "own" / "cup" / "1.jpg")
    for here, place in (("own", "."), ("own/cup", ".."), ("", "own"), ("own", "../own")):
        monkeypatch.chdir(tmp_path / here)
        assert [path.name for path in find_labelled(Path(place))["cup"]] == ["1.jpg"]


def test_a_folder_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "cup" / "private" / "1.jpg")
    listed = os.listdir

    def deny(folder: Path) -> list[str]:
        if Path(folder).name == "private":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "listdir", deny)
    for find in (find_labelled, find_photos):
        said = refused(find, tmp_path)
        assert "cup/private cannot be read (Permission denied): make it readable" in said


def test_a_file_given_by_name_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    path = save(tmp_path / "scan.dat")
    os.symlink("gone.jpg", tmp_path / "link.jpg")
    assert find_photos(path) == [path]
    assert find_photos(tmp_path / "link.jpg") == [tmp_path / "link.jpg"]


def test_all_photos_of_a_folder_are_found(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/c.png", "a/d.heic"):
        save(tmp_path / name)
    save(tmp_path / "scan.dat")
    assert names(find_photos(tmp_path), tmp_path) == ["a/c.png", "a/d.heic", "b.jpg"]


def test_places_without_photos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    assert "has no photo" in refused(find_photos, tmp_path)
    for name in ("none.jpg", "x" * 5000, "odd\nname\udce9.jpg"):
        assert refused(find_photos, tmp_path / name).startswith("there is no file or folder ")


def test_a_snapshot_of_a_file(tmp_path: Path) -> None:
    path = save(tmp_path / "cup" / "1.jpg")
    found = read_snapshot(path, 64, tmp_path)
    assert found.name == "cup/1.jpg" and found.path == path and found.doubts == ()
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.pixels == read_image(path, 64, fit=cropped).pixels).all()
    assert read_snapshot(path, 64).name == read_snapshot(path, 64, tmp_path / "mug").name == "1.jpg"


def test_thumbnails_are_small_and_show_the_photo() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    found = [from_pixels(scene(0), 100), from_pixels(noise, 48), from_pixels(noise[:20], 16)]
    assert all(len(one.thumbnail) < 900 for one in found)
    for one in found:
        opened = Image.open(io.BytesIO(one.thumbnail))
        assert opened.format == "WEBP" and opened.size == (48, 48)
    shown = Image.open(io.BytesIO(found[0].thumbnail)).convert("RGB")
    small = Image.fromarray(found[0].pixels).resize((48, 48))
    assert np.corrcoef(np.asarray(shown).ravel(), np.asarray(small).ravel())[0, 1] > 0.9


def test_doubts_are_told_of_the_photo_itself(tmp_path: Path) -> None:
    scene(0, 40, 30).save(tmp_path / "small.jpg")
    Image.new("RGB", (300, 300), "white").save(tmp_path / "white.png")
    assert read_snapshot(tmp_path / "small.jpg", 224).doubts == ("only 40 x 30 pixels",)
    assert read_snapshot(tmp_path / "small.jpg", 64).doubts == ()
    assert read_snapshot(tmp_path / "white.png", 224).doubts == ("nearly all one colour",)


def test_photographs_in_memory() -> None:
    file = io.BytesIO()
    scene(1).save(file, "PNG")
    by_bytes = from_bytes(file.getvalue(), 50, "upload.png")
    assert by_bytes.name == "upload.png" and by_bytes.path == Path("upload.png")
    assert by_bytes.digest == hashlib.sha256(file.getvalue()).hexdigest()
    by_array = from_pixels(np.asarray(scene(1)), 50)
    by_image = from_pixels(scene(1), 50)
    assert (by_bytes.pixels == by_array.pixels).all() and (by_array.pixels == by_image.pixels).all()
    assert by_array.digest == by_image.digest != from_pixels(scene(2), 50).digest
    assert by_array.name == "photo" and by_array.doubts == ()
    with pytest.raises(Unreadable, match="it is text"):
        from_bytes(b"words", 50)
    with pytest.raises(UserError, match="array of uint8"):
        from_pixels(np.zeros((8, 8, 3)), 50)


def test_files_are_read_in_order_and_bad_ones_refused(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{number:02}.jpg", number) for number in range(20)]
    whole = paths[3].read_bytes()
    bad = {3: whole[: len(whole) // 2], 7: b"", 11: b"words", 19: b"\0\0\0\x18ftypheic" + b"\0" * 9}
    for index, data in bad.items():
        paths[index].write_bytes(data)
    if ".heic" in Image.registered_extensions():
        del bad[19]
    found, others = read_snapshots(paths, 32, tmp_path)
    good = [path for index, path in enumerate(paths) if index not in bad]
    assert [one.path for one in found] == good
    assert [one.path for one in others] == [paths[index] for index in bad]
    assert all(isinstance(one, Refused) and "\n" not in one.why for one in others)
    assert others[0].why.startswith("truncated") and others[1].why == "empty file"
    assert (found[5].pixels == read_snapshot(good[5], 32).pixels).all()
    assert read_snapshots([], 32) == ([], [])


def test_pipes_among_photos_are_refused_without_waiting(tmp_path: Path) -> None:
    save(tmp_path / "cup" / "1.jpg")
    os.mkfifo(tmp_path / "cup" / "2.jpg")
    os.symlink("gone", tmp_path / "cup" / "3.jpg")
    found, others = read_snapshots(find_labelled(tmp_path)["cup"], 32, tmp_path)
    assert [one.name for one in found] == ["cup/1.jpg"]
    assert [one.why for one in others] == [
        "not a regular file (a named pipe)",
        "a link to a file that is not there",
    ]


@pytest.mark.parametrize(
    "name", ["my cup.jpg", "☕🫖.jpg", "-rf.jpg", "--help.jpg", "x" * 250 + ".jpg", "a\\b.jpg"]
)
def test_odd_names_stay_as_they_are(tmp_path: Path, name: str) -> None:
    save(tmp_path / "cup" / name)
    (path,) = find_labelled(tmp_path)["cup"]
    assert read_snapshot(path, 16, tmp_path / "cup").name == name


def test_names_that_cannot_be_printed_are_escaped(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and ends of lines."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        save(folder / "a\nb\x1b[31m.jpg")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    ((label, (path,)),) = find_labelled(tmp_path).items()
    assert label == "caf\\udce9"
    found = read_snapshot(path, 16, tmp_path)
    assert found.name == "caf\\udce9/a\\nb\\x1b[31m.jpg"
    assert json.loads(json.dumps(found.name, ensure_ascii=False).encode()) == found.name
    os.symlink("..", folder / "up")
    assert "caf\\udce9/up" in refused(find_labelled, tmp_path)


def shots(folder: Path, seeds: str) -> list[Snapshot]:
    paths = [save(folder / f"{number}.jpg", int(seed)) for number, seed in enumerate(seeds)]
    return [read_snapshot(path, 64, folder.parent) for path in paths]


def test_the_same_photo_in_two_classes_is_named(tmp_path: Path) -> None:
    classes = {"cup": shots(tmp_path / "cup", "123"), "mug": shots(tmp_path / "mug", "425")}
    assert duplicates_across(classes) == [
        "warning: the same photo in 2 classes: cup/1.jpg (cup) and mug/1.jpg (mug)"
    ]


def test_nearly_the_same_photo_in_three_classes_is_one_line(tmp_path: Path) -> None:
    saved_again = save(tmp_path / "pot" / "again.jpg", 1, quality=60)
    classes = {
        "cup": shots(tmp_path / "cup", "123"),
        "mug": shots(tmp_path / "mug", "14"),
        "pot": [read_snapshot(saved_again, 64, tmp_path)],
    }
    assert duplicates_across(classes) == [
        "warning: nearly the same photo in 3 classes: cup/0.jpg (cup) and mug/0.jpg (mug) and "
        "pot/again.jpg (pot)"
    ]


def test_repeated_photos_of_a_class_are_counted_in_one_note(tmp_path: Path) -> None:
    classes = {"cup": shots(tmp_path / "cup", "11123"), "mug": shots(tmp_path / "mug", "455")}
    assert duplicates_across(classes) == [
        "note: photos that show the same as another of their class: 2 in cup, 1 in mug"
    ]


def test_different_photos_are_no_duplicates(tmp_path: Path) -> None:
    classes = {"cup": shots(tmp_path / "cup", "123"), "mug": shots(tmp_path / "mug", "456")}
    assert duplicates_across(classes) == []
    assert duplicates_across({}) == duplicates_across({"cup": []}) == []


def test_reading_photographs_imports_nothing_slow() -> None:
    code = "import sys, metalearn.data.snapshots; print({'scipy', 'jax'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
