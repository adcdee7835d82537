"""`space.yaml`: a search's space as a file, with errors that name file, line and field."""

from __future__ import annotations

from typing import Any

from fairway.dsl.source import shown
from fairway.dsl.space import SpaceError, read_space
from fairway.errors import DefinitionError, NotFoundError


def load_space(path: str) -> dict[str, dict[str, Any]]:
    """The space in a YAML or JSON file. Raises NotFoundError, or DefinitionError with file, line and field."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no file {path}", hint="a space is YAML: `lr: [float, 0.0001, 0.1, log]`, a line a parameter"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path} cannot be read: {error}", hint="give a text file in UTF-8") from None
    return parse_space(text, path)


def parse_space(text: str, name: str = "space.yaml") -> dict[str, dict[str, Any]]:
    """The space in a text; `name` is the file's, for messages."""
    import yaml

    try:
        root, data = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        message = f"not YAML: {error.problem or error.context}"
        raise DefinitionError(message, hint="mend the syntax", where=f"{shown(name)}:{line}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DefinitionError(f"not YAML: {error}", hint="mend the syntax", where=f"{shown(name)}:1") from None
    seen: dict[str, int] = {}
    for key, _ in root.value if isinstance(root, yaml.MappingNode) else ():
        line = key.start_mark.line + 1
        if seen.setdefault(key.value, line) != line:
            message = f"space: `{key.value}` stands in line {seen[key.value]}, too"
            raise DefinitionError(message, hint="leave one of them", where=f"{shown(name)}:{line}")
    try:
        return read_space(data)
    except SpaceError as error:
        raise DefinitionError(error.message, hint=error.hint, where=f"{shown(name)}:{_line(root, error.field)}") from None


def find_line(path: str, field: tuple[str, ...]) -> str:
    """ "FILE:LINE" of a field of the space in a file that has been read."""
    import yaml

    with open(path, encoding="utf-8") as file:
        return f"{shown(path)}:{_line(yaml.compose(file, Loader=yaml.SafeLoader), field)}"


def _line(root: Any, field: tuple[str, ...]) -> int:
    """The line of the field, or of what is nearest around it."""
    node: Any = root
    line = 1 if node is None else node.start_mark.line + 1
    for part in field:
        pairs: list[Any] = getattr(node, "value", []) if getattr(node, "id", "") == "mapping" else []
        found = next(((key, value) for key, value in pairs if key.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
