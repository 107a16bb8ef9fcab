"""Which step of a session each of the page's components takes, and what is shown after it."""

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from metalearn.errors import UserError
from metalearn.page.events import path_of, reported, unlink
from metalearn.page.layout import EMPTY
from metalearn.page.names import class_name, without_kind
from metalearn.page.session import (
    Session,
    Step,
    asking,
    corrected,
    learned,
    with_photos,
    without_class,
)
from metalearn.page.shown import (
    Card,
    card_html,
    cards_of,
    notes_html,
    sentence,
    state_html,
    told,
)
from metalearn.page.watched import Report
from metalearn.personal.model import Maker
from metalearn.personal.opening import save_fitted

FILE = "mine.recogniser"
Updates = dict[Any, Any]  # component -> what becomes of it


class Wiring(NamedTuple):
    """Connects components with the steps of a session.

    Attributes:
      gr: the module gradio.
      maker: of a first recogniser's model.
      pixels: a side of the photographs that it takes.
      folder: of files that people fetch.
      first: session that everybody begins with.
      parts: components, by name.
      own: state that holds the session.
      cards: state that holds the list of classes.
    """

    gr: ModuleType
    maker: Maker
    pixels: int
    folder: Path
    first: Session
    parts: SimpleNamespace
    own: Any
    cards: Any

    def connect(self, page: Any) -> None:
        """Say what happens when somebody does something."""
        (parts, own) = (self.parts, self.own)
        progress = self.gr.Progress()

        def learn(session: Session, bar: Any = progress) -> Updates:
            return self.learn(session, reported(bar))

        def correct(session: Session, name: str, bar: Any = progress) -> Updates:
            return self.correct(session, name, reported(bar))

        parts.camera.preprocess = path_of
        parts.photo.preprocess = path_of
        page.load(self.begin, None, self._outputs, show_progress="hidden")
        self.on(parts.add.click, self.add, [own, parts.name, parts.files], parts.files)
        self.on(parts.camera.input, self.add_shot, [own, parts.name, parts.camera], parts.camera)
        self.on(parts.learn.click, learn, [own], parts.progress)
        self.on(parts.photo.input, self.ask, [own, parts.photo], parts.headline)
        self.on(parts.photo.clear, self.ask_nothing, [own], parts.hint)
        self.on(parts.correct.click, correct, [own, parts.right], parts.headline)
        with parts.list:
            triggers = [self.cards.change]
            self.gr.render(inputs=self.cards, triggers=triggers)(self.lay_out_cards)

    @property
    def _outputs(self) -> list[Any]:
        """All that a step may change."""
        return [self.own, self.cards, *vars(self.parts).values()]

    def on(self, event: Any, step: Callable[..., Updates], inputs: list, busy: Any) -> None:
        """Take a step at an event.

        Args:
          event: of a component.
          step: session and values of components to what changes.
          inputs: the session's state, and these components.
          busy: the component that shows that it takes time; None for none.
        """
        event(
            self._guarded(step),
            inputs,
            self._outputs,
            show_progress="hidden" if busy is None else "full",
            show_progress_on=busy,
            api_visibility="private",
            concurrency_id="step",  # one person's work at a time: it takes all cores
        )

    def _guarded(self, step: Callable[..., Updates]) -> Callable[..., Updates]:
        """The step; a user's error is told on the page, and changes nothing else."""

        @functools.wraps(step)
        def guarded(session: Session | None, *values: Any, **more: Any) -> Updates:
            try:
                # Gradio takes an empty dict for one value
                return step(session or self.first, *values, **more) or self.gr.skip()
            except UserError as error:
                line = without_kind(str(error))
                self.gr.Warning(escape(sentence(line)), title="Please note")
                return {self.parts.notes: notes_html([line])}

        return guarded

    def after(self, step: Step) -> Updates:
        """What the page shows after a step, with what there is to say of it."""
        return {**self.shown(step.session), self.parts.notes: notes_html(step.notes)}

    def shown(self, session: Session) -> Updates:
        """What the page shows of a session, but for an answer."""
        (gr, parts) = (self.gr, self.parts)
        ready = session.fitted is not None
        return {
            self.own: session,
            self.cards: cards_of(session),
            parts.state: state_html(session),
            parts.learn: gr.update(interactive=bool(session.waiting) and len(session.classes) > 1),
            parts.trying: gr.update(visible=ready),
            parts.not_yet: gr.update(visible=not ready),
            parts.right: gr.update(choices=list(session.classes)),
        }

    def begin(self) -> Updates:
        """The page as it is opened."""
        return {**self.shown(self.first), **self._saved(self.first)}

    def add(self, session: Session, name: str, files: list[str] | None) -> Updates:
        """Photographs of files into a class."""
        step = with_photos(session, name, [Path(file) for file in files or ()], self.pixels)
        unlink(files or ())
        return {**self.after(step), self.parts.name: "", self.parts.files: None}

    def add_shot(self, session: Session, name: str, file: str | None) -> Updates:
        """A picture of the camera into a class."""
        if file is None:
            return {}
        try:
            step = with_photos(session, name, [Path(file)], self.pixels)
            return {**self.after(step), self.parts.camera: None}
        finally:
            unlink([file])

    def remove(self, name: str, session: Session) -> Updates:
        """A class out of the list."""
        step = without_class(session, name)
        return {**self.after(step), **self._saved(step.session)}

    def start_over(self, session: Session) -> Updates:
        """All forgotten."""
        empty = self.after(Step(Session()))
        forgotten = {self.parts.photo: None}
        return {**empty, **self._saved(Session()), **self._no_answer(), **forgotten}

    def learn(self, session: Session, report: Report) -> Updates:
        """All that waits, learned."""
        step = learned(session, self.maker, report)
        again = self._told(step.session) if step.session.asked else {}
        return {**self.after(step), **self._saved(step.session), **again}

    def ask_nothing(self, session: Session) -> Updates:
        """No photograph any more."""
        return {self.own: replace(session, asked=None), **self._no_answer()}

    def ask(self, session: Session, file: str | None) -> Updates:
        """What a photograph shows."""
        if file is None:
            return self.ask_nothing(session)
        step = asking(session, Path(file))
        nothing = self.gr.update(choices=list(session.classes), value=None)
        remark = {self.parts.remark: notes_html(step.notes), self.parts.right: nothing}
        return {**self.shown(step.session), **self._told(step.session), **remark}

    def correct(self, session: Session, name: str, report: Report) -> Updates:
        """What a photograph shows, learned."""
        step = corrected(session, name, report)
        self.gr.Info(escape(f"Learned: this is {class_name(name)}."), title="Thank you")
        return {**self.after(step), **self._saved(step.session), **self._told(step.session)}

    def _told(self, session: Session) -> Updates:
        (gr, parts) = (self.gr, self.parts)
        found = told(session)
        return {
            parts.hint: gr.update(visible=False),
            parts.answered: gr.update(visible=True),
            parts.headline: found.headline,
            parts.probabilities: found.probabilities,
            parts.nearest: found.nearest,
            parts.why: gr.update(visible=True),
            parts.map: gr.update(visible=found.heat is not None),
            parts.reason: found.reason,
            parts.heat: found.heat,
        }

    def _no_answer(self) -> Updates:
        (gr, parts) = (self.gr, self.parts)
        return {
            parts.hint: gr.update(visible=True),
            parts.answered: gr.update(visible=False),
            parts.why: gr.update(visible=False),
        }

    def _saved(self, session: Session) -> Updates:
        """The button that fetches the recogniser's file."""
        (gr, parts) = (self.gr, self.parts)
        if session.fitted is None:
            return {parts.download: gr.update(value=None, interactive=False)}
        path = Path(tempfile.mkdtemp(dir=self.folder)) / FILE
        save_fitted(session.fitted, path)
        return {parts.download: gr.update(value=str(path), interactive=True)}

    def lay_out_cards(self, cards: Sequence[Card]) -> None:
        """The list of classes, each with a button that removes it."""
        gr = self.gr
        if not cards:
            gr.HTML(EMPTY)
        for card in cards:
            with gr.Row(elem_classes="class-row", equal_height=True):
                gr.HTML(card_html(card), elem_classes="grow")
                button = gr.Button("Remove", size="sm", scale=0, min_width=90)
                without = functools.partial(self.remove, card.name)
                self.on(button.click, without, [self.own], self.parts.notes)
