"""Tables in Markdown."""


def table(lines: list[dict[str, str]]) -> str:
    """A table of one line or more: cells by column, which are those of the first line."""
    grid = [list(lines[0]), ["---"] * len(lines[0]), *(list(line.values()) for line in lines)]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in grid
    )
