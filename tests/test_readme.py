"""README.md: its snippet runs, its links lead somewhere, and it stays short."""

import contextlib
import io
import re

from tests.programs import ROOT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_snippet_runs_as_it_stands() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    assert 0 <= float(said.getvalue()) <= 1


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
    assert TEXT.count("\n") <= 120
