"""An unknown command: which one may have been meant, by how it is written or by what other programs call it."""

from __future__ import annotations

from collections.abc import Sequence

import click

MOST = 2
SAME = (
    (("list", "ls", "history", "ps", "jobs"), ("list", "ls", "runs")),
    (("start", "launch", "execute", "exec", "submit"), ("start", "run")),
    (("status", "state", "describe", "info", "inspect", "view"), ("show", "stats", "runs")),
    (("print", "cat", "read", "show"), ("cat", "head", "artifacts")),
    (("get", "fetch", "download"), ("get", "artifacts")),
    (("kill", "stop", "abort", "terminate"), ("cancel",)),
    (("delete", "rm", "remove", "del", "clean", "prune", "purge"), ("remove", "archive", "gc")),
    (("new", "create", "add", "make", "put"), ("add", "set", "build", "init")),
    (("continue", "restart"), ("resume", "rerun")),
    (("retry", "repeat", "replay", "debug"), ("rerun", "resume")),
    (("log", "tail", "output", "stdout"), ("logs",)),
    (("dashboard", "web", "browser", "open", "board"), ("ui",)),
    (("explain", "reason"), ("why",)),
    (("compare",), ("diff",)),
    (("plot", "draw", "dag", "picture"), ("graph", "report")),
    (("check", "health"), ("doctor", "validate")),
    (("search", "optimize", "optimise", "sweep", "hpo"), ("tune",)),
    (("install", "upgrade"), ("up",)),
    (("uninstall",), ("down",)),
    (("models", "services"), ("endpoints",)),
    (("predict", "invoke", "call", "request"), ("test",)),
    (("undo", "revert"), ("rollback",)),
    (("user", "users", "login"), ("token",)),
    (("help",), ("--help",)),
    (("version",), ("--version",)),
)
"""What a command is called elsewhere, and what it is called here, the likeliest first."""


def find_meant(word: str, names: Sequence[str]) -> list[str]:
    """Those of the `names` that may have been meant, at most two."""
    import difflib

    close = difflib.get_close_matches(word, names, 1, 0.75)
    same = [name for words, ours in SAME if word.lower() in words for name in ours if name in names]
    return list(dict.fromkeys([*close, *same]))[:MOST] or difflib.get_close_matches(word, names, 1)


def spell_unknown(word: str, names: Sequence[str]) -> str:
    """ "there is no command 'ls'; did you mean 'runs'?"."""
    meant = " or ".join(repr(name) for name in find_meant(word, names))
    return f"there is no command {word!r}" + (f"; did you mean {meant}?" if meant else "")


class KnowingGroup(click.Group):
    """A group that says what may have been meant."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and args[0] not in names and not ctx.resilient_parsing:
            ctx.fail(self.spell_unknown(args[0], names))
        return super().resolve_command(ctx, args)

    def spell_unknown(self, word: str, names: Sequence[str]) -> str:
        """What is said of a word that is no command."""
        return spell_unknown(word, names)
