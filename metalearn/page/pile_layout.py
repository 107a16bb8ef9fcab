"""The part of the page that asks about a pile of photographs, and its keys."""

from types import ModuleType, SimpleNamespace

KEYS = 9  # classes that have a button and a key
HINT = (
    "Many photos of different things in one heap? Give them all: it asks about those that tell it "
    "most, one at a time."
)
# A digit answers, 0 leaves the photo out, u takes an answer back; not while something is typed
ON_KEY = """
() => {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input, textarea, [contenteditable=true]")) return;
    const names = {"0": "pile-skip", "u": "pile-undo", "U": "pile-undo"};
    const name = names[event.key] ?? (/^[1-9]$/.test(event.key) ? "pile-" + event.key : null);
    const button = name && document.getElementById(name);
    if (button && !button.disabled && button.offsetParent) {
      event.preventDefault();
      button.click();
    }
  });
}
"""


def lay_out_pile(gr: ModuleType, found: SimpleNamespace, pictures: list[str]) -> None:
    """Add its components to those of the page.

    Args:
      gr: the module gradio.
      found: components by name.
      pictures: kinds of files that are taken.
    """
    found.pile = gr.State(None)
    gr.HTML(f'<h2>Or label a pile</h2><p class="hint">{HINT}</p>')
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            found.pile_files = gr.File(
                label="Photos of anything",
                file_count="multiple",
                file_types=pictures,
                height=150,
                elem_id="pile",
            )
            found.pile_add = gr.Button("Ask me about these", variant="primary", elem_id="pile-add")
            found.pile_said = gr.HTML(elem_id="pile-said")
        with gr.Column(min_width=300, visible=False) as found.pile_asked:
            found.pile_photo = gr.HTML(elem_id="pile-photo")
            _lay_out_answers(gr, found)


def _lay_out_answers(gr: ModuleType, found: SimpleNamespace) -> None:
    with gr.Row(elem_id="pile-keys"):
        for number in range(1, KEYS + 1):
            button = gr.Button(
                "", visible=False, size="sm", min_width=110, elem_id=f"pile-{number}"
            )
            setattr(found, f"pile_{number}", button)
    with gr.Row(elem_classes="correction"):
        found.pile_name = gr.Dropdown(
            [],
            label="What it is",
            allow_custom_value=True,
            container=False,
            scale=3,
            min_width=180,
            elem_id="pile-name",
        )
        found.pile_other = gr.Button("It is this", scale=1, min_width=110, elem_id="pile-other")
    with gr.Row():
        found.pile_skip = gr.Button("Leave it out (0)", size="sm", elem_id="pile-skip")
        found.pile_undo = gr.Button("Undo (u)", size="sm", elem_id="pile-undo")
