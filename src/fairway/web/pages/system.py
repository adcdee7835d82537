"""The system: what runs and what waits, what the target has, how large the store is, what went wrong lately, who did what."""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
from typing import Any

import msgspec
from starlette.responses import Response

import fairway
from fairway.engine.state import RunState
from fairway.errors import FairwayError, InfraError
from fairway.spec.event import address
from fairway.spec.ports import Journal
from fairway.spec.query import RunQuery
from fairway.spec.resources import Resources
from fairway.spec.summary import RunSummary
from fairway.web.access import check_all_projects
from fairway.web.pages.page import Page, Visit

RUNS_SHOWN = 20
WAITING_SHOWN = 50
ERRORS_SHOWN = 10
AUDIT_SHOWN = 100
_UNSAID: tuple[Any, ...] = ("", 0, [], {}, None, ())


class AuditQuery(msgspec.Struct, kw_only=True):
    """`before`: epoch seconds, entries that are older; `user`: that user's alone."""

    before: float = 0.0
    user: str = ""


async def show_system(visit: Visit) -> Response:
    """The whole page; the parts that take longer come by themselves."""
    site = visit.site
    shown: dict[str, Any] = {
        "versions": _versions(site.services.journal),
        "settings": {
            name: value for name, value in site.settings.target.items() if name != "machine" and value not in ("", 0, [], {}, None, ())
        },
        "capabilities": sorted(site.services.executor.capabilities),
        "quick": await asyncio.to_thread(site.meter.quick),
        "size": site.meter.last,
        "problem": None,
        "secrets": await _secrets(visit),
        "errors": await _errors(visit),
        "pid": os.getpid(),
        "address": site.settings.address or str(visit.request.base_url).rstrip("/"),
        **await _work(visit),
    }
    return visit.html("system.html", block="work" if visit.wanted == "work" else "", **shown)


async def show_inventory(visit: Visit) -> Response:
    """What the target has and what is free."""
    site = visit.site
    try:
        found = await site.services.executor.inventory()
        more = await site.settings.cluster() if site.settings.cluster is not None else {}
    except FairwayError as error:
        return visit.html("system_inventory.html", problem=error, rows=[], more={}, facts={})
    return visit.html(
        "system_inventory.html", problem=None, rows=resource_rows(found.total, found.free, found.largest), more=more, facts=found.facts
    )


async def show_store(visit: Visit) -> Response:
    """How large the store is, and what a collection would free."""
    meter = visit.site.meter
    problem: InfraError | None = None
    try:
        await meter.measure()
    except InfraError as error:
        problem = error
    return visit.html("system_store.html", problem=problem, size=meter.last, quick=await asyncio.to_thread(meter.quick))


async def show_audit(visit: Visit) -> Response:
    """Who did what; for admins of all projects."""
    check_all_projects(visit.identity)
    query = visit.query
    entries = await asyncio.to_thread(visit.site.audit.read, limit=AUDIT_SHOWN + 1, before=query.before, user=query.user)
    return visit.html("audit.html", entries=entries[:AUDIT_SHOWN], more=len(entries) > AUDIT_SHOWN, of=query.user)


def resource_rows(total: Resources, free: Resources, largest: Resources) -> list[dict[str, Any]]:
    """One row for each kind of resource there is: its name, in all, free, the most for one attempt, and whether these are bytes."""
    rows = [
        {"name": "CPU cores", "total": total.cpu, "free": free.cpu, "largest": largest.cpu, "bytes": False},
        {"name": "memory", "total": total.memory_bytes, "free": free.memory_bytes, "largest": largest.memory_bytes, "bytes": True},
    ]
    for name in sorted({*total.accelerators, *free.accelerators}):
        rows.append(
            {
                "name": name,
                "total": total.accelerators.get(name, 0),
                "free": free.accelerators.get(name, 0),
                "largest": largest.accelerators.get(name, 0),
                "bytes": False,
            }
        )
    return [row for row in rows if row["total"] or row["free"]]


async def _work(visit: Visit) -> dict[str, Any]:
    """Runs that go on, and their attempts that wait or run."""
    site = visit.site
    found = await site.services.journal.search(
        RunQuery(statuses=("running",), projects=visit.identity.projects, limit=RUNS_SHOWN, archived=None)
    )
    live: list[dict[str, Any]] = []
    for row in found.rows:
        driven = site.host.find_state(row.run)
        if driven is not None:
            live += attempts_of(driven[1], WAITING_SHOWN - len(live))
    problems = {row.run: problem for row in found.rows if (problem := site.host.find_problem(row.run)) is not None}
    return {
        "running": found.rows,
        "running_total": found.total,
        "here": {row.run for row in found.rows if row.run in site.host.driven},
        "abandoned": {row.run for row in found.rows if not site.driven(row.run)},
        "live": live,
        "problems": problems,
    }


def attempts_of(state: RunState, limit: int) -> list[dict[str, Any]]:
    """What the run's live attempts do, those that wait first."""
    order = {"queued": 0, "starting": 1, "running": 2}
    rows = [
        {
            "run": state.run,
            "task": address(attempt.scope, attempt.node, attempt.items[0] if len(attempt.items) == 1 else ()),
            "items": len(attempt.items),
            "phase": "waiting" if attempt.phase == "queued" else attempt.phase,
            "reason": attempt.reason,
            "planned_at": attempt.planned_at,
            "rank": order.get(attempt.phase, 3),
        }
        for attempt in list(state.live.values())
    ]
    return sorted(rows, key=lambda row: (row["rank"], row["planned_at"]))[: max(limit, 0)]


async def _errors(visit: Visit) -> tuple[RunSummary, ...]:
    query = RunQuery(statuses=("failed", "timeout"), projects=visit.identity.projects, limit=ERRORS_SHOWN)
    return (await visit.site.services.journal.search(query)).rows


async def _secrets(visit: Visit) -> list[str]:
    names = visit.site.settings.secrets
    try:
        return sorted(await names()) if names is not None else []
    except FairwayError:
        return []


def _versions(journal: Journal) -> dict[str, str]:
    elsewhere = getattr(journal, "place", "") if hasattr(journal, "url") else ""
    return {
        "Fairway": fairway.__version__,
        "Python": platform.python_version(),
        **({"journal": elsewhere} if elsewhere else {"SQLite": sqlite3.sqlite_version}),
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
    }


PAGES = (
    Page("GET", "/system", show_system),
    Page("GET", "/system/inventory", show_inventory),
    Page("GET", "/system/store", show_store),
    Page("GET", "/system/audit", show_audit, role="admin", query=AuditQuery),
)
