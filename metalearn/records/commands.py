"""The commands that made the lines of a table, as a tree: what continues from what."""

from collections.abc import Mapping, Sequence


def commands(
    lines: Sequence[Sequence[str]], commits: Mapping[str, Sequence[str]] | None = None
) -> str:
    """A sentence and the commands, each below the one that it continues from.

    Args:
      lines: of a table; of each, the commands of its records, stages joined by ` && `.
      commits: of commands, where the table has no column of them.
    """
    made: dict[tuple[str, ...], list[int]] = {}
    for number, of_line in enumerate(lines, 1):
        for command in of_line:
            chain = tuple(command.split(" && "))
            numbers = [made.setdefault(chain[:end], []) for end in range(1, len(chain) + 1)][-1]
            numbers += [] if number in numbers else [number]
    listed = []
    for chain, numbers in sorted(made.items()):
        at = (commits or {}).get(" && ".join(chain), ()) if numbers else ()
        of = ", ".join([*map(str, numbers), *dict.fromkeys(at)])
        of = f"  # {of}" if of else ""
        listed.append(f"{'    ' * (len(chain) - 1)}{chain[-1]}{of}\n")
    commit = " with the commit" if commits else ""
    said = (
        "Commands, an indented one on what the one above it left, and the lines of the table "
        f"that they made{commit}; trainings whose folders have one name need a `--workdir` each:"
    )
    return f"{said}\n\n```\n{''.join(listed)}```\n"
