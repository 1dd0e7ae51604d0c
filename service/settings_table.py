"""The table of settings in docs/operations.md, made from the `Settings` class.

python -m service.settings_table                      # prints it
python -m service.settings_table docs/operations.md   # writes it between the markers
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from service.inference.pipeline import WEIGHTS
from service.settings import PREFIX, Settings

BEGIN = "<!-- settings: written by `python -m service.settings_table docs/operations.md` -->"
END = "<!-- /settings -->"
_BOUNDS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}


def table() -> str:
    """The table as Markdown."""
    lines = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{PREFIX}{name.upper()}` | {_default(field)} | {_allowed(field)} | {meaning} |")
    return "\n".join(lines)


def put_into(document: str) -> str:
    """A document with the table between its markers. Raises ValueError when they are missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers are missing: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path):
        return f"`service/weights/{value.name}`" if value.parent == WEIGHTS else f"`{value}`"
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value >= 2**20 and value % 2**20 == 0:
        return f"{value} ({value // 2**20} MiB)"
    return str(value)


def _allowed(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    if annotation is bool:
        return "true, false"
    limits: dict[str, float] = {}
    for constraint in field.metadata:
        limits |= {name: bound for name in _BOUNDS if (bound := getattr(constraint, name, None)) is not None}
    words = [f"{word} {limits[name]:.15g}" for name, word in _BOUNDS.items() if name in limits]
    if annotation in (int, float):
        return " ".join(words)
    return "a path" if "Path" in str(annotation) else "text"


def main(arguments: Sequence[str]) -> int:
    """Print the table, or write it into the documents named."""
    if not arguments:
        print(table())  # noqa: T201
    for name in arguments:
        path = Path(name)
        path.write_text(put_into(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
