"""Images of a project: which a pipeline needs, what is in them, and where they go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.engine.project import Project
from fairway.errors import ConfigError
from fairway.spec import layout
from fairway.spec.environment import Environment
from fairway.spec.graph import Graph
from fairway.spec.record import replace
from fairway.spec.target import TargetSettings

if TYPE_CHECKING:
    from fairway.envs.image import Built, ImagePlan

_GLIBC = "glibc 2.28"  # what the wheels that we choose are made for
_MUSL = "musl 1.2"
_MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


def image_cache() -> Path:
    """Where layers and what is known of base images are kept; the same for all projects of a user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairway" / "images"


def environments_of(graph: Graph) -> list[Environment]:
    """The distinct environments of the graph's Python steps, those without packages too."""
    return list(dict.fromkeys(replace(step.environment, built="") for step in graph.steps.values() if step.kind != "container"))


def plan_environment(environment: Environment, project: Project, target: TargetSettings, *, bundle: str = "", base: str = "") -> ImagePlan:
    """The image of one environment; with the user's code if `bundle` names one of the home's. `base` goes before what the step names."""
    from fairway.envs import get_lock_text
    from fairway.envs.image import ImagePlan, parse_reference

    lock = environment.lock
    return ImagePlan(
        base=parse_reference(base or environment.image or target.image),
        platforms=target.platforms,
        requirements=get_lock_text(lock, Path(project.home)) if lock else "",
        lock=lock,
        python=environment.python if lock else target.python,
        bundle=(os.path.join(project.home, layout.BUNDLES, bundle), bundle) if bundle else ("", ""),
        variables=dict(environment.variables),
    )


def plan_server(base: str, platforms: tuple[str, ...]) -> ImagePlan:
    """The image of this version's server. Raises what reading the base and collecting the packages for it raise."""
    import zipfile
    from contextlib import closing

    from fairway.engine.release import Machine, collect, find_release
    from fairway.envs.image import ImagePlan, parse_reference
    from fairway.envs.image.base import check_python, read_base
    from fairway.envs.image.registry import open_store

    platform, *others = platforms
    if others:
        raise ConfigError("a server's image is built for one platform at a time", hint="build once for each, under tags of their own")
    reference, release = parse_reference(base), find_release(("server", "postgres", "buckets"))
    with closing(open_store(reference)) as store:
        found = read_base(store, reference, platform, image_cache())
    check_python(found, "", reference)
    archive = Path(collect(release, Machine(found.python, _MACHINES[platform], _MUSL if found.libc == "musl" else _GLIBC)))
    folder = image_cache() / "servers" / archive.stem
    if not folder.exists():
        making = folder.with_name(f".{folder.name}-{os.getpid()}")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(making)
        try:
            making.replace(folder)
        except OSError:  # somebody else was quicker
            import shutil

            shutil.rmtree(making, ignore_errors=True)
    command = ("python3", "-m", "fairway.web")
    return ImagePlan(reference, (platform,), python=found.python, bundle=(str(folder), archive.stem), command=command, runtime=False)


def build(plan: ImagePlan, to: str, say: Callable[[str], None]) -> Built:
    """Build and push (or write into an OCI layout, "oci:FOLDER:TAG"). See `envs.image.build_image`."""
    from fairway.envs.image import build_image, parse_reference

    return build_image(plan, parse_reference(to), image_cache(), say=say)


def with_images(graph: Graph, project: Project, target: TargetSettings, say: Callable[[str], None]) -> Graph:
    """The graph whose locked environments have their images in the target's registry; unchanged for a target without one.

    The image holds the packages, not the user's code: that is fetched by the worker, so an edit needs no new image.
    """
    if not target.registry:
        return graph
    built: dict[Environment, str] = {}
    for environment in environments_of(graph):
        if environment.lock:
            built[environment] = build(plan_environment(replace(environment, variables={}), project, target), target.registry, say).image
    steps: dict[str, Any] = {
        name: replace(step, environment=replace(step.environment, built=built[step.environment]))
        for name, step in graph.steps.items()
        if step.environment in built
    }
    return replace(graph, steps={**graph.steps, **steps}) if steps else graph
