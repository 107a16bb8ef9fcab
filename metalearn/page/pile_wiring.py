"""Which step of a pile each of its components takes, and what is shown after it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metalearn.page.events import reported, unlink
from metalearn.page.pile import Pile, answered, skipped, synced, undone, with_pile
from metalearn.page.pile_layout import KEYS, ON_KEY
from metalearn.page.pile_shown import photo_html, said_html
from metalearn.page.session import Session
from metalearn.page.shown import notes_html
from metalearn.page.watched import Report, watched
from metalearn.page.wiring import Updates, Wiring
from metalearn.personal.model import Model


class PileWiring(NamedTuple):
    """Connects components with the steps of a pile.

    Attributes:
      page: what the page is connected by.
    """

    page: Wiring

    def connect(self, blocks: Any) -> None:
        """Say what happens when somebody does something; `blocks` is gradio's page."""
        (page, parts) = (self.page, self.page.parts)
        progress = page.gr.Progress()

        def add(session: Session, pile: Pile | None, files: Any, bar: Any = progress) -> Updates:
            return self.add(session, pile, files, reported(bar))

        inputs = [page.own, parts.pile]
        page.on(parts.pile_add.click, add, [*inputs, parts.pile_files], parts.pile_files)
        for number in range(KEYS):
            press = partial(self.press, number)
            page.on(self._key(number).click, press, inputs, parts.pile_photo)
        named = [*inputs, parts.pile_name]
        page.on(parts.pile_other.click, self.name, named, parts.pile_photo)
        page.on(parts.pile_skip.click, self.skip, inputs, parts.pile_photo)
        page.on(parts.pile_undo.click, self.undo, inputs, parts.pile_photo)
        page.on(page.cards.change, self.follow, inputs, None)
        page.on(parts.start_over.click, self.start_over, [page.own], parts.notes)
        blocks.load(None, None, None, js=ON_KEY)

    def _key(self, number: int) -> Any:
        return getattr(self.page.parts, f"pile_{number + 1}")

    def _model(self, session: Session) -> Model:
        if session.fitted is not None:
            return session.fitted.model
        return self.page.maker(np.array([2, 2])).model

    def add(
        self, session: Session, pile: Pile | None, files: list[str] | None, report: Report
    ) -> Updates:
        """Photographs of files onto the pile.

        Args:
          session: the photographs of classes.
          pile: before.
          files: that were sent.
          report: is told how far it is.
        """
        paths = [Path(file) for file in files or ()]
        model = watched(self._model(session), report)
        (pile, notes) = with_pile(pile or Pile(), session, paths, model)
        unlink(files or ())
        noted = {self.page.parts.notes: notes_html(notes), self.page.parts.pile_files: None}
        return {**self.shown(pile), **noted}

    def press(self, number: int, session: Session, pile: Pile | None) -> Updates:
        """A class's button or key."""
        known = (pile or Pile()).keys
        return self.name(session, pile, known[number] if number < len(known) else "")

    def name(self, session: Session, pile: Pile | None, name: str | None) -> Updates:
        """The photograph that is asked about is of a class."""
        model = self._model(session)
        (pile, session) = answered(pile or Pile(), session, name or "", model)
        return {**self.page.shown(session), **self.shown(pile), self.page.parts.notes: ""}

    def skip(self, session: Session, pile: Pile | None) -> Updates:
        """The photograph that is asked about is left out."""
        return self.shown(skipped(pile or Pile(), self._model(session)))

    def undo(self, session: Session, pile: Pile | None) -> Updates:
        """The last answer is taken back."""
        (pile, session) = undone(pile or Pile(), session, self._model(session))
        return {**self.page.shown(session), **self.shown(pile)}

    def follow(self, session: Session, pile: Pile | None) -> Updates:
        """The classes have changed elsewhere on the page."""
        if pile is None:
            return {}
        pile = synced(pile, session, self._model(session))
        typed = self.page.gr.update(choices=list(pile.keys))  # what is typed by now stays
        return {**self.shown(pile), self.page.parts.pile_name: typed}

    def start_over(self, session: Session) -> Updates:
        """All forgotten, the pile too."""
        return {**self.page.start_over(session), **self.shown(Pile())}

    def shown(self, pile: Pile) -> Updates:
        """What the page shows of a pile."""
        (gr, parts) = (self.page.gr, self.page.parts)
        asked = pile.asked is not None
        answers = bool(pile.history)
        return {
            parts.pile: pile,
            parts.pile_asked: gr.update(visible=asked or answers),
            parts.pile_photo: photo_html(pile),
            parts.pile_said: said_html(pile),
            parts.pile_name: gr.update(choices=list(pile.keys), value=None, interactive=asked),
            parts.pile_other: gr.update(interactive=asked),
            parts.pile_skip: gr.update(interactive=asked),
            parts.pile_undo: gr.update(interactive=answers),
            **self._keys(pile.keys, asked),
        }

    def _keys(self, names: Sequence[str], asked: bool) -> Updates:
        gr = self.page.gr
        found = {}
        for number in range(KEYS):
            there = number < len(names)
            label = f"{number + 1}  {names[number]}" if there else ""
            found[self._key(number)] = gr.update(value=label, visible=there, interactive=asked)
        return found
