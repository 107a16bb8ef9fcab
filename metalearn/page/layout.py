"""The parts of the page: three steps, below each other."""

from types import ModuleType, SimpleNamespace

from metalearn.page.pile_layout import lay_out_pile

PICTURES = ["image"]
TOP = 5  # classes whose probabilities are shown
TITLE = """
# Teach it your own things

Show a few photos of each thing. It learns to tell them apart in seconds, here on this computer: no
photo leaves it.
"""
HINTS = (
    "Of two things at least. Five of each are good: from several sides, in several places.",
    "It takes a few seconds. With more photos it gets better.",
    "Show it a photo that it has not seen, and see what it says.",
)
EMPTY = '<div class="empty">Nothing here yet. Add photos of a first thing.</div>'


def lay_out(gr: ModuleType) -> SimpleNamespace:
    """All components, by name; to be called inside a page.

    Args:
      gr: the module gradio.
    """
    gr.Markdown(TITLE, elem_classes="title")
    found = SimpleNamespace()
    with gr.Column(elem_classes="step"):
        _heading(gr, 1, "Add photos", HINTS[0])
        _lay_out_photos(gr, found)
    with gr.Column(elem_classes="step"):
        lay_out_pile(gr, found, PICTURES)
    with gr.Column(elem_classes="step"):
        _heading(gr, 2, "Learn", HINTS[1])
        _lay_out_learning(gr, found)
    with gr.Column(elem_classes="step"):
        _heading(gr, 3, "Try it", HINTS[2])
        _lay_out_trying(gr, found)
    return found


def _heading(gr: ModuleType, number: int, title: str, hint: str) -> None:
    below = f'<p class="hint">{hint}</p>' if hint else ""
    gr.HTML(f"<h2><span>{number}</span>{title}</h2>{below}")


def _lay_out_photos(gr: ModuleType, found: SimpleNamespace) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            found.name = gr.Textbox(
                label="What is it?",
                placeholder="for example: my cup",
                max_lines=1,
                elem_id="name",
            )
            with gr.Tab("Photos"):
                found.files = gr.File(
                    label="Photos of it",
                    file_count="multiple",
                    file_types=PICTURES,
                    height=170,
                    elem_id="files",
                )
                found.add = gr.Button("Add these photos", variant="primary", elem_id="add")
            with gr.Tab("Camera"):
                gr.HTML('<p class="hint">Every picture that you take is added at once.</p>')
                found.camera = gr.Image(
                    show_label=False,
                    sources=["webcam"],
                    type="filepath",
                    buttons=[],
                    height=300,
                    elem_id="camera",
                )
        with gr.Column(min_width=300):
            found.list = gr.Column(elem_id="classes")
            found.start_over = gr.Button("Start again", size="sm", elem_id="start-over")
    found.notes = gr.HTML(elem_id="notes")


def _lay_out_learning(gr: ModuleType, found: SimpleNamespace) -> None:
    found.state = gr.HTML(elem_id="state")
    with gr.Row():
        found.learn = gr.Button("Learn", variant="primary", elem_id="learn")
        found.download = gr.DownloadButton(
            "Save what it learned", interactive=False, elem_id="download"
        )
    found.progress = gr.HTML(elem_id="progress")


def _lay_out_trying(gr: ModuleType, found: SimpleNamespace) -> None:
    found.not_yet = gr.HTML('<p class="empty">This opens when it has learned.</p>')
    with gr.Row(visible=False) as found.trying:
        with gr.Column(min_width=300):
            found.photo = gr.Image(
                label="Photo",
                sources=["upload", "webcam", "clipboard"],
                type="filepath",
                height=340,
                elem_id="photo",
            )
        with gr.Column(min_width=300):
            found.hint = gr.HTML('<p class="empty">Its answer will be here.</p>')
            with gr.Column(visible=False) as found.answered:
                _lay_out_answer(gr, found)
    with gr.Row(visible=False) as found.why:
        with gr.Column(min_width=300):
            gr.HTML("<h3>The most alike of your photos</h3>")
            found.nearest = gr.HTML(elem_id="nearest")
        with gr.Column(min_width=300, visible=False) as found.map:
            found.reason = gr.HTML()
            found.heat = gr.Image(
                interactive=False,
                buttons=[],
                height=300,
                container=False,
                elem_id="heat",
            )


def _lay_out_answer(gr: ModuleType, found: SimpleNamespace) -> None:
    found.headline = gr.HTML(elem_id="headline")
    found.remark = gr.HTML(elem_id="remark")
    gr.HTML("<h3>If it is one of your things</h3>")
    found.probabilities = gr.Label(
        num_top_classes=TOP,
        show_heading=False,
        container=False,
        elem_id="probabilities",
    )
    gr.HTML(
        "<h3>Wrong?</h3><p class='hint'>Choose what it is, or type the name of a new thing.</p>"
    )
    with gr.Row(elem_classes="correction"):
        found.right = gr.Dropdown(
            [],
            label="What it is",
            allow_custom_value=True,
            container=False,
            scale=3,
            min_width=180,
            elem_id="right",
        )
        found.correct = gr.Button("Learn this", scale=1, min_width=110, elem_id="correct")
