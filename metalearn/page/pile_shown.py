"""What the page shows of a pile, as HTML. No gradio here.

Names of classes and of files are other people's words: all are escaped.
"""

import base64
import io
from html import escape

from PIL import Image

from metalearn.data.snapshots import Snapshot
from metalearn.labelling.head import Outlook
from metalearn.page.pile import MORE, Pile

QUALITY = 85  # of JPEG
BACK = 10  # labels ago, with which accuracy is compared
(WIDE, HIGH) = (240, 56)  # of the line of accuracies
LEAST = 3  # accuracies that make a line


def photo_html(pile: Pile) -> str:
    """The photograph that is asked about; that all are answered where there is none."""
    shot = pile.asked
    if shot is None:
        return ""
    guess = f" Perhaps {escape(pile.guess)}." if pile.guess else ""
    return (
        f'<figure class="asked"><img src="{_uri(shot)}" alt="">'
        f"<figcaption>{escape(shot.name)}. <b>What is it?</b>{guess}</figcaption></figure>"
    )


def _uri(shot: Snapshot) -> str:
    written = io.BytesIO()
    Image.fromarray(shot.pixels).save(written, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def said_html(pile: Pile) -> str:
    """How many answers there are, what they give, and what more would bring."""
    if not pile.shots:
        return ""
    left = pile.left
    known = len(pile.state.labelled)
    lines = [f"<b>{known}</b> labelled, {left} left to ask about."]
    if not left:
        lines.append("All are answered, or nearly the same as one that is: press Learn.")
    now = pile.course[-1] if pile.course else None
    if now is not None and now[1] is not None:
        lines.append(_accuracy(pile, now[0], now[1]))
    elif known:
        lines.append("Two of each of two things, and it can tell how well it does.")
    line = _line([(labels, one.accuracy) for labels, one in pile.course if one is not None])
    return f'<p class="next">{" ".join(lines)}</p>{line}'


def _accuracy(pile: Pile, labels: int, now: Outlook) -> str:
    """How good it is, how that moved, and what more labels may bring."""
    before = [one for number, one in pile.course if number <= labels - BACK and one is not None]
    moved = f" ({before[-1].accuracy:.0%} with {BACK} labels less)" if before else ""
    text = f"About <b>{now.accuracy:.0%}</b> are right, each held out in turn{moved}."
    if now.later is None:
        return text
    gain = 100 * (now.later - now.accuracy) / MORE
    return (
        f"{text} Each further label brings about {gain:.1f} points: {MORE} more, {now.later:.0%}."
    )


def _line(points: list[tuple[int, float]]) -> str:
    """The accuracies by number of labels as a line, from 0 to 100 %; nothing of too few."""
    if len(points) < LEAST:
        return ""
    (first, last) = (points[0][0], points[-1][0])
    places = " ".join(
        f"{WIDE * (labels - first) / max(1, last - first):.1f},{HIGH * (1 - accuracy):.1f}"
        for labels, accuracy in points
    )
    return (
        f'<figure class="course"><svg viewBox="0 -2 {WIDE} {HIGH + 4}" aria-hidden="true">'
        f'<polyline points="{places}"/></svg>'
        f"<figcaption>Share right, from {first} to {last} labels</figcaption></figure>"
    )
