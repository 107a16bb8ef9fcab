"""Where records go: runs side by side may share a folder."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.files import check_writable, write_text
from metalearn.records.names import file_name


def test_check_writable_serves_many_threads_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check_writable, [tmp_path / "results"] * 400))
    assert list((tmp_path / "results").iterdir()) == []


def test_check_writable_names_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    with pytest.raises(
        UserError, match="cannot write .*results: .*; make room or choose another folder"
    ):
        check_writable(tmp_path / "results")


def test_write_text_writes_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    write_text(path, "whole")
    with pytest.raises(UserError, match="page.md would hold what is no text"):
        write_text(path, "half a character: \ud800")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_dataset_name_of_several_parts_is_one_file_name() -> None:
    assert file_name("tfds:eurosat/rgb") == "tfds_eurosat_rgb"
