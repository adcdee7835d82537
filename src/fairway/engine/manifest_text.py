"""Kubernetes objects as YAML for people: a document each, texts of several lines as they read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def render_yaml(objects: Sequence[dict[str, Any]]) -> str:
    """The objects as YAML documents; `kubectl apply -f` takes them."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and what is there twice twice."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def write_text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, write_text)
    documents = [yaml.dump(one, Dumper=Dumper, sort_keys=False, width=140, allow_unicode=True) for one in objects]
    return "---\n".join(documents)
