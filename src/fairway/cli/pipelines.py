"""Pipelines named on the command line: a file, a function in a file or module, a graph written as YAML or JSON."""

from __future__ import annotations

import os

from fairway.spec.graph import Graph

_SUFFIXES = (".py", ".yaml", ".yml", ".json", ".ipynb")


def is_pipeline_file(text: str) -> bool:
    """Does this word name a pipeline rather than a run?"""
    file, _, name = text.partition(":")
    return bool(file) and (file.endswith(_SUFFIXES) or os.path.isfile(file) or (bool(name) and not file.isdigit()))


def load_graph(text: str) -> Graph:
    """The graph of the pipeline, traced and checked. Raises DefinitionError, NotFoundError."""
    from fairway.dsl.load import load_pipeline

    found = load_pipeline(text)
    return found if isinstance(found, Graph) else found.trace()
