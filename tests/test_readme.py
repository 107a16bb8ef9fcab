"""README.md: its snippet runs, its links lead somewhere, and it stays short."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.recogniser import Recogniser
from tests.programs import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def said_by(code: str) -> str:
    """What a snippet prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    return said.getvalue()


def test_readme_snippet_of_a_recogniser_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    names = ["photos/red/1.jpg", "photos/red/2.jpg", "photos/blue/1.jpg", "photos/blue/2.jpg"]
    for name in [*names, "new.jpg", "a.jpg", "b.jpg"]:
        pixels = random.integers(0, 60, (64, 64, 3), np.uint8)
        pixels[..., 2 if "blue" in name else 0] += 150
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert said_by(SNIPPETS[0]) == "red\n"
    assert Recogniser.load("mine.recogniser").classes == ("blue", "cup", "red")


def test_readme_snippet_of_a_learner_runs_as_it_stands() -> None:
    assert 0 <= float(said_by(SNIPPETS[1])) <= 1


def test_links_of_all_documents_lead_to_files() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    missing = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert missing == []


def test_readme_can_be_read_in_minutes() -> None:
    assert TEXT.count("\n") <= 150


NUMBER = r"\d+\.\d\d(?: ± \d\.\d\d)?"


def section_of_results(*titles: str) -> str:
    """The text of sections of RESULTS.md, by their titles."""
    text = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return "".join(found[title] for title in titles)


def test_accuracies_of_readme_are_those_of_the_tables() -> None:
    """Each number with two decimals in its section of results is a cell of the table it is from."""
    (own, rows) = re.findall(r"## Results\n(.*?)\*\*Meta-learning\*\*(.*?)\n## ", TEXT, re.S)[0]
    numbers = re.findall(NUMBER, own)
    photographs = section_of_results("Recognisers of few photographs", "Active learning")
    assert len(numbers) >= 8
    assert [number for number in numbers if number not in photographs] == []
    lines = re.findall(r"^\| (\w+) \| ([\w-]+), (\d) \|.*?\| (" + NUMBER + r") \|", rows, re.M)
    assert len(lines) >= 5
    for method, dataset, shots, accuracy in lines:
        table = section_of_results(dataset.lower().replace("-", "_")).splitlines()
        of_method = re.compile(rf"\| {method.lower()}( \([^|]*\))? \|")  # or a variant of its head
        fitting = [line for line in table if of_method.search(line)]
        assert any(f"5-way {shots}-shot" in line and accuracy in line for line in fitting), method
