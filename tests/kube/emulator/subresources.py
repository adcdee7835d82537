"""What pods and workloads have beside themselves: logs, port-forward, eviction, scale."""

from __future__ import annotations

import datetime
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import DISRUPTION_BUDGET, POD
from tests.kube.emulator.memory import Object
from tests.kube.emulator.patches import json_patch, merge
from tests.kube.emulator.selectors import matches_labels
from tests.kube.emulator.wire import Route, read_body

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster


async def serve(cluster: Cluster, raw: web.BaseRequest, route: Route) -> web.StreamResponse:
    found = cluster.memory.get(route.kind, route.namespace, route.name)
    if route.kind is POD and route.sub == "log":
        return await _log(cluster, raw, found)
    if route.kind is POD and route.sub == "portforward":
        return await cluster.network.port_forward(raw, found)
    if route.kind is POD and route.sub == "eviction":
        return await _evict(cluster, raw, found)
    if route.sub == "scale" and route.kind.scale:
        return await _scale(cluster, raw, route, found)
    raise ApiError(404, "the server could not find the requested resource")


async def _log(cluster: Cluster, raw: web.BaseRequest, pod: Object) -> web.StreamResponse:
    query = raw.query
    container = cluster.kubelet.get_container(pod, query.get("container", ""))
    previous = query.get("previous") == "true"
    log = container.previous if previous else container.log
    if log is None:
        raise ApiError(400, f'previous terminated container "{container.name}" in pod "{pod["metadata"]["name"]}" not found')
    since = datetime.datetime.now(datetime.UTC).timestamp() - float(query["sinceSeconds"]) if "sinceSeconds" in query else 0.0
    if "sinceTime" in query:
        since = datetime.datetime.fromisoformat(query["sinceTime"]).timestamp()
    tail = int(query["tailLines"]) if "tailLines" in query else None
    left = int(query["limitBytes"]) if "limitBytes" in query else 1 << 60
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(raw)
    follow = query.get("follow") in ("true", "1")
    with suppress(ConnectionError):  # the client has gone
        async for data in log.read(follow=follow, tail=tail, since=since, stamps=query.get("timestamps") in ("true", "1")):
            await response.write(data[:left])
            left -= len(data)
            if left <= 0:
                break
    return response


async def _evict(cluster: Cluster, raw: web.BaseRequest, pod: Object) -> web.Response:
    """Through the disruption budgets of the pod's labels."""
    body = await read_body(raw)
    meta = pod["metadata"]
    for budget in cluster.memory.list(DISRUPTION_BUDGET, meta["namespace"]):
        covered = matches_labels(meta.get("labels") or {}, budget["spec"].get("selector") or {})
        if covered and str(budget["spec"].get("maxUnavailable", 1)) in ("0", "0%"):
            cause = {
                "reason": "DisruptionBudget",
                "message": f"The disruption budget {budget['metadata']['name']} does not allow evicting pods currently",
            }
            raise ApiError(429, "Cannot evict pod as it would violate the pod's disruption budget.", details={"causes": [cause]})
    grace = (body.get("deleteOptions") or {}).get("gracePeriodSeconds")
    cluster.mishaps.disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting")
    cluster.memory.delete(POD, meta["namespace"], meta["name"], grace_s=grace)
    return web.json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, status=201)


async def _scale(cluster: Cluster, raw: web.BaseRequest, route: Route, found: Object) -> web.Response:
    if raw.method != "GET":
        body = await read_body(raw)
        if raw.method == "PATCH":
            patch = json_patch if raw.content_type == "application/json-patch+json" else merge
            body = patch(_rendered(found), body)
        wanted = int(body["spec"].get("replicas", 0))
        changed: Any = json.loads(json.dumps(found))
        changed["spec"]["replicas"] = wanted
        found = cluster.memory.update(route.kind, changed)
    return web.json_response(_rendered(found))


def _rendered(found: Object) -> Object:
    meta = {key: found["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")}
    selector = (found["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": found["spec"].get("replicas", 1)},
        "status": {
            "replicas": (found.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
        },
    }
