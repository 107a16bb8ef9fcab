"""What the page shows of a session, as HTML and images. No gradio here.

Names of classes and of files are other people's words: all are escaped.
"""

import base64
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from PIL import Image

from metalearn.page.session import Session
from metalearn.personal.answers import Answer, Nearest, answer
from metalearn.personal.fitted import Fitted
from metalearn.personal.heat import heat_map, overlay

TILES = 6  # thumbnails of a class
SURE = 0.8  # probability from which an answer is said without doubt
LARGE = 480  # pixels a side of the picture with the heat map


class Card(NamedTuple):
    """A class in the list.

    Attributes:
      name: of the class.
      learned: photographs that the recogniser has of it.
      waiting: photographs that it has not learned.
      thumbnails: WebP, of some.
    """

    name: str
    learned: int
    waiting: int
    thumbnails: tuple[bytes, ...]


class Told(NamedTuple):
    """An answer as the page shows it.

    Attributes:
      headline: HTML.
      probabilities: of the classes.
      nearest: HTML.
      reason: HTML, what the picture shows.
      heat: what spoke for it, or None where the body has no such map.
    """

    headline: str
    probabilities: dict[str, float]
    nearest: str
    reason: str
    heat: Image.Image | None


def cards_of(session: Session) -> tuple[Card, ...]:
    """The classes of a session."""
    return tuple(_card(session, name) for name in session.classes)


def _card(session: Session, name: str) -> Card:
    waiting = session.waiting.get(name, ())
    given = [each for (label, _), each in session.thumbnails.items() if label == name]
    learned = 0
    kept: list[bytes] = []
    if session.fitted is not None and name in session.fitted.classes:
        place = session.fitted.classes.index(name)
        learned = int(session.fitted.counts[place])
        kept = [each for each in _thumbnails(session.fitted, place) if each not in given]
    return Card(name, learned, len(waiting), tuple((kept + given[::-1])[:TILES]))


def _thumbnails(fitted: Fitted, place: int) -> list[bytes]:
    photos = fitted.photos
    pairs = zip(photos.thumbnails, photos.labels, strict=True)
    return [each for each, label in pairs if label == place and each]


def card_html(card: Card) -> str:
    """A class with its photographs."""
    parts = []
    if card.learned:
        parts.append(f"{_photos(card.learned)} learned")
    if card.waiting:
        parts.append(f"<b>{_photos(card.waiting)} new</b>")
    tiles = "".join(f'<img src="{_uri(each)}" alt="">' for each in card.thumbnails)
    more = card.learned + card.waiting - len(card.thumbnails)
    tiles += f'<span class="more">+{more}</span>' if more else ""
    return (
        f'<div class="card"><div class="name">{escape(card.name)}</div>'
        f'<div class="count">{", ".join(parts)}</div><div class="tiles">{tiles}</div></div>'
    )


def _photos(number: int) -> str:
    return "1 photo" if number == 1 else f"{number} photos"


def _uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def notes_html(notes: Sequence[str]) -> str:
    """Lines to heed; empty where there are none."""
    if not notes:
        return ""
    lines = "".join(f"<li>{escape(sentence(note))}</li>" for note in notes)
    return f'<ul class="notes">{lines}</ul>'


def sentence(line: str) -> str:
    """A line of a program as people read it."""
    return line[:1].upper() + line[1:]


def state_html(session: Session) -> str:
    """What to do next, and how good the recogniser is."""
    new = sum(map(len, session.waiting.values()))
    if len(session.classes) < 2:
        lacking = "two things" if not session.classes else "a second thing"
        return f'<p class="next">First add photos of {lacking} above.</p>'
    lines = []
    if session.fitted is not None:
        lines.append(f'<p class="done">{_learned(session.fitted)}</p>')
    if new:
        lines.append(f'<p class="next">Ready to learn {_photos(new)}: press the button.</p>')
    return "".join(lines)


def _learned(fitted: Fitted) -> str:
    known = f"Learned {len(fitted.classes)} things from {_photos(int(fitted.counts.sum()))}."
    expected = fitted.expected
    if expected is None:
        return f"{known} Add a second photo of each to find out how well it does."
    return (
        f"{known} Tested on each of them before it had learned that one, it was right for "
        f"<b>{expected.accuracy:.0%}</b>."
    )


def told(session: Session) -> Told:
    """What the recogniser says of the photograph it is asked about, and why."""
    assert session.fitted is not None and session.asked is not None
    (found,) = answer(session.fitted, [session.asked])
    heat = heat_map(session.fitted, session.asked)
    picture = None
    if heat is not None:
        picture = overlay(session.asked.pixels, heat).resize((LARGE, LARGE))
    probabilities = dict(zip(session.fitted.classes, found.probabilities.tolist(), strict=True))
    return Told(
        headline=headline_html(found),
        probabilities=probabilities,
        nearest=nearest_html(session, found.nearest),
        reason=f"<h3>What looks like {escape(found.label)} to it</h3>",
        heat=picture,
    )


def headline_html(found: Answer) -> str:
    """The answer in large letters."""
    label = escape(found.label)
    if not found.known:
        return (
            '<div class="answer unknown">unknown<small>It does not look enough like any of your '
            f"things. The nearest is {label}.</small></div>"
        )
    how = "" if found.probability >= SURE else "Probably "
    return (
        f'<div class="answer">{how}<b>{label}</b><small>{found.probability:.0%} sure</small></div>'
    )


def nearest_html(session: Session, nearest: Sequence[Nearest]) -> str:
    """The photographs that it finds most alike."""
    tiles = []
    for one in nearest:
        thumbnail = one.thumbnail or session.thumbnails.get((one.label, one.name), b"")
        image = (
            f'<img src="{_uri(thumbnail)}" alt="">' if thumbnail else '<span class="none"></span>'
        )
        caption = f"<b>{escape(one.label)}</b><br>{escape(one.name)}"
        tiles.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="nearest">{"".join(tiles)}</div>'
