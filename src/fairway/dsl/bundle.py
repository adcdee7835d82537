"""The bundle: the user's code as it was when a run began, content-addressed. Steps run from it, so editing a file never changes a run in
progress.

It is laid out by module: with the bundle's folder on the import path every module of the user's is found, wherever it was found before.
Declared includes and files named by command steps lie beside them, relative to the pipeline's folder (else to the project's root).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from fairway.dsl.reach import open_sources
from fairway.dsl.sources import Module, Sources, user_folders
from fairway.errors import ConfigError, DefinitionError, NotFoundError
from fairway.spec.layout import BUNDLES
from fairway.spec.record import Record, field, record
from fairway.step.wholefolder import place_whole, write_file

if TYPE_CHECKING:
    from pathlib import Path

SIZE_LIMIT_BYTES = 20 << 20
_SCRIPT = "__script__"
DENIED_FOLDERS = frozenset(
    {".git", ".hg", ".svn", ".fairway", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", ".ipynb_checkpoints", ".mypy_cache"}
    | {".pytest_cache", ".ruff_cache", ".ssh", ".aws", ".gnupg", ".kube", ".docker"}
)
DENIED_FILES = (
    *(
        ".env",
        ".env.*",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.keystore",
        "*.jks",
        "id_rsa*",
        "id_dsa*",
        "id_ecdsa*",
        "id_ed25519*",
        ".netrc",
        ".pypirc",
    ),
    *("credentials", "credentials.json", "service-account*.json", "*.kdbx", ".htpasswd", ".pgpass", ".git-credentials", "kubeconfig"),
)
DATA_FILES = (
    *(
        "*.csv",
        "*.tsv",
        "*.parquet",
        "*.feather",
        "*.arrow",
        "*.npy",
        "*.npz",
        "*.h5",
        "*.hdf5",
        "*.db",
        "*.sqlite",
        "*.sqlite3",
        "*.pkl",
        "*.pickle",
    ),
    *(
        "*.joblib",
        "*.pt",
        "*.pth",
        "*.safetensors",
        "*.onnx",
        "*.zip",
        "*.tar",
        "*.tar.gz",
        "*.tgz",
        "*.whl",
        "*.so",
        "*.pyc",
        "*.xlsx",
        "*.jsonl",
    ),
)


@record
class BundleFile(Record):
    """One file: `path` in the bundle, `source` on this machine, and why it is there: "module", "include", "command"."""

    path: str
    source: str
    digest: str
    size_bytes: int
    why: str


@record
class Bundle(Record):
    """`digest` is that of the paths and contents. `files` are in order of path. `scripts`: a Python file that a command names -> the files
    of the user's modules that it imports."""

    digest: str
    files: tuple[BundleFile, ...] = ()
    data: dict[str, bytes] = field(default_factory=dict)
    scripts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    def includes(self) -> dict[str, str]:
        """Path in the bundle -> file, of what is not a module: `reach` takes them into account."""
        return {file.path: file.source for file in self.files if file.why != "module"}

    def programs(self) -> frozenset[str]:
        """Those of them that only command steps brought along: no Python step depends on one that it does not name."""
        return frozenset(file.path for file in self.files if file.why == "command")


def collect(
    entry_file: str | Path,
    root: str | Path,
    includes: Iterable[str] = (),
    *,
    modules: Sequence[str] = (),
    commands: Iterable[Sequence[str]] = (),
    sources: Sources | None = None,
    limit_bytes: int = SIZE_LIMIT_BYTES,
) -> Bundle:
    """The modules that the entry file's modules import, plus `includes` (globs relative to `root`), plus files that `commands` (argument
    lists) name, with the modules that those import which are Python.

    `modules` are the modules that steps are defined in, by default the entry file's own; `sources` is what `open_sources` gave, if it was
    called already. Raises ConfigError for what must not or cannot travel.
    """
    entry = os.path.realpath(entry_file)
    names = list(dict.fromkeys(m for m in modules if m and m != "__main__")) or [os.path.splitext(os.path.basename(entry))[0]]
    found: dict[str, BundleFile] = {}
    data: dict[str, bytes] = {}
    base = os.path.dirname(entry)
    if entry.endswith(".py"):
        sources = sources or open_sources(entry, root, names)
        base = sources.folders[0]
        closure = sources.closure(names)
        for name in _imported_dynamically(sources.folders[0]):
            if name not in closure:
                closure.update(sources.closure([name]))
        for module in closure.values():
            if not module.text and not os.path.exists(module.path):
                continue  # a folder without __init__.py
            path = os.path.relpath(module.path, sources.folder_of(module))
            _add(found, data, path, module.path, "module", module.text)
    for path, source in _included(os.path.realpath(root), includes):
        _add(found, data, _place(source, path, base), source, "include")
    scripts: dict[str, tuple[str, ...]] = {}
    for path, source in _named(commands, base, os.path.realpath(root)):
        _add(found, data, path, source, "command")
        if path.endswith(".py"):
            imported = {place: module for place, module in _imported_by(source, base, os.path.realpath(root)) if place != path}
            for place, module in imported.items():
                _add(found, data, place, module.path, "command", module.text)
            scripts[path] = tuple(sorted(imported))
    files = tuple(found[path] for path in sorted(found))
    _check_size(files, limit_bytes)
    text = "".join(f"{file.path}\0{file.digest}\n" for file in files)
    return Bundle(hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(), files, data, scripts)


def of_source(name: str, text: str) -> Bundle:
    """The bundle of one module that has no file, such as one made of a notebook's definitions."""
    content = text.encode()
    file = BundleFile(f"{name}.py", "", hashlib.sha256(content).hexdigest(), len(content), "module")
    digest = hashlib.sha256(f"{file.path}\0{file.digest}\n".encode()).hexdigest()
    return Bundle(digest, (file,), {file.path: content})


def write(bundle: Bundle, home: str | Path) -> str:
    """The folder under `home` with the bundle's files, made whole or not at all; nothing is done if it is there.

    Files keep their times, so that Python's compiled forms of them, copied along, stay good.
    """

    def fill(folder: str) -> None:
        for file in bundle.files:
            path = f"{folder}/{file.path}"
            write_file(path, bundle.data[file.path])
            if file.source:
                _copy_state(file.source, path)

    return place_whole(f"{os.fspath(home)}/{BUNDLES}/{bundle.digest}", "bundle", fill)


def _copy_state(source: str, path: str) -> None:
    """Mode and times, and the compiled form if it is the one of this very source."""
    try:
        stat = os.stat(source)
        os.chmod(path, 0o755 if stat.st_mode & 0o100 else 0o644)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if not path.endswith(".py"):
            return
        folder, name = os.path.split(source)
        compiled = f"__pycache__/{name[:-3]}.{sys.implementation.cache_tag}.pyc"
        with open(f"{folder}/{compiled}", "rb") as file:
            if os.fstat(file.fileno()).st_mtime_ns < stat.st_mtime_ns:
                return  # Python compares whole seconds: two edits within one would leave the older code in force
            content = file.read()
        wanted = (int(stat.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + (stat.st_size & 0xFFFFFFFF).to_bytes(4, "little")
        if content[4:16] != b"\0\0\0\0" + wanted:
            return
        os.makedirs(f"{os.path.dirname(path)}/__pycache__", exist_ok=True)
        with open(f"{os.path.dirname(path)}/{compiled}", "wb") as out:
            out.write(content)
    except OSError:  # the source has gone meanwhile, or was never compiled: the copy is good without
        return


def _add(found: dict[str, BundleFile], data: dict[str, bytes], path: str, source: str, why: str, content: bytes | None = None) -> None:
    if path in found:
        return
    if content is None:
        try:
            size = os.stat(source).st_size
            if size > 8 * SIZE_LIMIT_BYTES:
                content = b""  # far over any limit: refused by its size, not read
                found[path] = BundleFile(path, source, "", size, why)
                return
            with open(source, "rb") as file:
                content = file.read()
        except OSError as error:
            raise ConfigError(f"cannot read {source}: {error.strerror or error}", hint="make it readable, or do not include it") from error
    data[path] = content
    found[path] = BundleFile(path, source, hashlib.sha256(content).hexdigest(), len(content), why)


def _check_size(files: Sequence[BundleFile], limit_bytes: int) -> None:
    total = sum(file.size_bytes for file in files)
    if total <= limit_bytes:
        return
    largest = sorted(files, key=lambda f: -f.size_bytes)[:3]
    shown = ", ".join(f"{file.path} ({_megabytes(file.size_bytes)})" for file in largest)
    raise ConfigError(
        f"the code to take along is {_megabytes(total)}, more than {_megabytes(limit_bytes)}: {shown}",
        hint="pass large files to steps as fw.File parameters or fw.artifact(...), and take them out of `include`",
    )


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"


def _place(source: str, path: str, base: str) -> str:
    return os.path.relpath(source, base) if source.startswith(base + os.sep) else path


def denied(path: str) -> str:
    """Why a file must not travel with the code ("" if it may): the rule of the deny-list that it meets."""
    from fnmatch import fnmatch

    *folders, name = path.split(os.sep)
    for folder in folders:
        if folder in DENIED_FOLDERS:
            return f"it lies in {folder}"
    for pattern in DENIED_FILES:
        if fnmatch(name, pattern):
            return f"files like {pattern} may hold secrets"
    return ""


def _included(root: str, patterns: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(path relative to root, file) for each glob. A file named outright that must not travel is refused; a glob just passes it by."""
    wanted = list(patterns)
    if not wanted:
        return  # `glob`, with what it imports, is too slow for runs that include nothing
    import glob

    for pattern in wanted:
        magic = glob.has_magic(pattern)
        matches = sorted(glob.glob(pattern, root_dir=root, recursive=True, include_hidden=True))
        if not magic and not matches:
            raise NotFoundError(f"`include` names {pattern}, and there is no such file", hint=f"looked in {root}")
        for match in matches:
            full = os.path.realpath(os.path.join(root, match))
            if not full.startswith(root + os.sep):
                raise ConfigError(
                    f"`include` names {pattern}, which leads out of the project", hint="keep what steps need inside the project's folder"
                )
            if os.path.isdir(full):
                if not magic:
                    yield from _inside(root, full)
                continue
            rule = denied(match)
            if rule and not magic:
                raise ConfigError(
                    f"{match} cannot be included: {rule}", hint='use fw.secret("NAME") for secrets and fw.File parameters for data'
                )
            if not rule and not (magic and _is_data(match, pattern)):
                yield match, full


def _inside(root: str, folder: str) -> Iterator[tuple[str, str]]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in DENIED_FOLDERS)
        for name in sorted(names):
            path = os.path.relpath(os.path.join(here, name), root)
            if not denied(path) and not _is_data(path, ""):
                yield path, os.path.join(here, name)


def _is_data(path: str, pattern: str) -> bool:
    """Data travels as artifacts, unless the glob itself says that such files are meant ("queries/*.csv")."""
    from fnmatch import fnmatch

    name = os.path.basename(path)
    return any(fnmatch(name, data) and not pattern.endswith(data[1:]) for data in DATA_FILES)


def _named(commands: Iterable[Sequence[str]], base: str, root: str) -> Iterator[tuple[str, str]]:
    """Files of the project that a command's words name: `train.R` of `Rscript train.R`."""
    for argv in commands:
        for word in argv:
            if not word or os.path.isabs(word) or "{" in word or "\n" in word or len(word) > 255 or word.startswith("-"):
                continue
            for folder in (base, root):
                full = os.path.realpath(f"{folder}/{word}")
                if os.path.isfile(full) and full.startswith(folder + os.sep):
                    if not denied(word):
                        yield os.path.normpath(word), full
                    break


def _imported_by(script: str, base: str, root: str) -> Iterator[tuple[str, Module]]:
    """(place in the bundle, module) of what a Python script imports of the project's: from its own folder, as Python looks there first."""
    sources = Sources(user_folders(os.path.dirname(script), root))
    try:
        sources.add(_SCRIPT, script)
        modules = sources.closure([_SCRIPT])
    except DefinitionError:  # not Python that we can read: the program's own Python says so, if it is wrong
        return
    for module in modules.values():
        for folder in (base, root):
            if module.path.startswith(folder + os.sep) and os.path.exists(module.path):
                yield os.path.relpath(module.path, folder), module
                break


def _imported_dynamically(base: str) -> list[str]:
    """Names of modules under the pipeline's folder that are imported already, though no import statement of the pipeline's says so."""
    prefix = base + os.sep
    return [
        name
        for name, module in list(sys.modules.items())
        if name != "__main__" and (getattr(module, "__file__", None) or "").startswith(prefix) and "site-packages" not in module.__file__  # type: ignore[operator]
    ]
