"""What serves, as objects: valid on every Kubernetes that is kept, within the restricted standard, the same every time."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest

from fairway.errors import ConfigError
from fairway.kube.manifests import Link
from fairway.kube.serving_gateway import GATEWAY_KEY, GatewayPlan, gateway_token, render_gateway, render_table
from fairway.kube.serving_manifests import (
    NOTICE_S,
    SERVES,
    Served,
    Way,
    render_fence,
    render_revision,
    render_template,
    revision_name,
)
from fairway.kube.serving_others import address_of, render_other
from fairway.kube.serving_routes import is_routed, render_route
from fairway.kube.target import ClusterSettings
from fairway.spec.endpoint import Limits, Revision, Scaling, ServeSpec
from fairway.spec.placement import Placement, Toleration
from fairway.spec.record import replace, to_plain
from fairway.spec.resources import Resources
from fairway.spec.target import TargetSettings
from tests.kube.emulator.admission import restricted_violations

Object = dict[str, Any]
MINORS = pytest.mark.parametrize("minor", range(28, 38))
PACKAGE = {"digest": "ab" * 32, "size_bytes": 10, "format": "model"}
OWNER = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fairway", "uid": "u-0"}}
SETTINGS = ClusterSettings(
    TargetSettings(
        "campus", "kubernetes", nodes={"kubernetes.io/arch": "amd64"}, tolerations=(Toleration("team"),), pull_secrets=("pull",)
    ),
    "team",
)
WAY = Way(Link("http://10.0.0.1:8080", "http://10.0.0.1:8081", "cd" * 32), "w1.ep-risk-3.99.ff")
PLAIN = Served("risk", Revision(3, ServeSpec("runs/42/winner", PACKAGE)), 1, owner=OWNER)
FULL = Served(
    "risk",
    Revision(
        4,
        ServeSpec(
            "winner",
            PACKAGE,
            lock="ef" * 32,
            image="ghcr.io/team/serve:2",
            options={
                "method": "predict_proba",
                "workers": 2,
                "env": {"PRICE": "$5"},
                "placement": to_plain(
                    Placement(
                        nodes={"zone": "a"},
                        priority_class="high",
                        variables_from=("secret:keys", "config:shared"),
                        labels={"team": "x"},
                        patch={"spec": {"runtimeClassName": "nvidia"}},
                    )
                ),
            },
            resources=to_plain(Resources(2.0, 4 << 30, accelerators={"nvidia.com/gpu": 1}, model="NVIDIA-L4", shared_memory_bytes=1 << 30)),
            limits=Limits(deadline_s=12.5),
        ),
    ),
    3,
    Scaling(1, 8, shrink_delay_s=90.0, window_s=10.0, shrink_step=2),
    OWNER,
    is_self_scaled=True,
)
SERVED = pytest.mark.parametrize("served", [PLAIN, FULL], ids=["plain", "every setting"])


def of_kind(made: list[Object], kind: str) -> Object:
    (found,) = [one for one in made if one["kind"] == kind]
    return found


def pod(served: Served) -> Object:
    return render_template(served, SETTINGS, WAY)["spec"]


def container(served: Served) -> Object:
    (only,) = pod(served)["containers"]
    return only


def told(served: Served) -> Object:
    text = next(one["value"] for one in container(served)["env"] if one["name"] == "FAIRWAY_SERVE")
    return json.loads(text.replace("$$", "$"))


@MINORS
@SERVED
def test_every_object_of_a_revision_is_valid_strictly_on_every_version(served: Served, minor: int) -> None:
    for made in [*render_revision(served, SETTINGS, WAY), render_fence(SETTINGS, OWNER)]:
        kubernetes_validate.validate(made, f"1.{minor}", strict=True)


@MINORS
@pytest.mark.parametrize("plan", [GatewayPlan(owner=OWNER), GatewayPlan(2, 60.0, "LoadBalancer", "certificate", OWNER)], ids=["one", "two"])
def test_every_object_of_the_gateway_is_valid_strictly_on_every_version(plan: GatewayPlan, minor: int) -> None:
    for made in [*render_gateway(plan, SETTINGS, WAY), render_table({"version": 1, "endpoints": {}}, SETTINGS, OWNER)]:
        kubernetes_validate.validate(made, f"1.{minor}", strict=True)


@MINORS
@pytest.mark.parametrize("expose", [{"host": "risk.example.org", "class": "nginx", "tls": "cert"}, {"class": "nginx"}])
def test_an_ingress_is_valid_strictly_on_every_version(expose: Object, minor: int) -> None:
    kubernetes_validate.validate(render_route("risk", expose, SETTINGS, OWNER), f"1.{minor}", strict=True)


@SERVED
def test_pods_pass_the_restricted_standard_and_cannot_write_their_image(served: Served) -> None:
    assert restricted_violations(pod(served)) == []
    assert container(served)["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod(served)["automountServiceAccountToken"] is False


def test_gateway_pods_pass_the_restricted_standard() -> None:
    made = of_kind(render_gateway(GatewayPlan(2), SETTINGS, WAY), "Deployment")["spec"]["template"]["spec"]
    assert restricted_violations(made) == []
    assert made["automountServiceAccountToken"] is False


def test_the_same_revision_is_the_same_object_however_often_it_is_rendered() -> None:
    assert json.dumps(render_revision(FULL, SETTINGS, WAY)) == json.dumps(render_revision(FULL, SETTINGS, WAY))


def test_the_number_of_replicas_changes_no_pod() -> None:
    three = replace(PLAIN, replicas=3, scaling=Scaling(3, 3))
    assert render_template(three, SETTINGS, WAY) == render_template(PLAIN, SETTINGS, WAY)
    assert of_kind(render_revision(three, SETTINGS, WAY), "Deployment")["spec"]["replicas"] == 3


def test_nothing_else_sets_replicas_where_an_autoscaler_does() -> None:
    made = render_revision(FULL, SETTINGS, WAY)
    assert "replicas" not in of_kind(made, "Deployment")["spec"]
    scaler = of_kind(made, "HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "fairway-ep-risk-4"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 8)
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 90
    assert scaler["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 2, "periodSeconds": 10}]
    assert container(FULL)["resources"]["requests"]["cpu"], "an HPA counts by what was asked for"


def test_more_than_one_replica_has_a_disruption_budget_and_one_has_none() -> None:
    assert [one["kind"] for one in render_revision(PLAIN, SETTINGS, WAY)] == ["Service", "Deployment"]
    made = of_kind(render_revision(replace(PLAIN, replicas=2), SETTINGS, WAY), "PodDisruptionBudget")
    assert made["spec"]["maxUnavailable"] == 1


def test_a_pod_is_replaced_before_it_goes_and_answers_while_others_hear_of_it() -> None:
    deployment = of_kind(render_revision(PLAIN, SETTINGS, WAY), "Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert f"time.sleep({NOTICE_S})" in container(PLAIN)["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert pod(FULL)["terminationGracePeriodSeconds"] > NOTICE_S + 12.5


def test_the_probes_are_patient_at_the_start_and_quick_to_see_that_it_is_ready() -> None:
    made = container(PLAIN)
    assert made["startupProbe"]["httpGet"]["path"] == made["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert made["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert made["startupProbe"]["periodSeconds"] * made["startupProbe"]["failureThreshold"] >= 1800
    assert made["readinessProbe"]["periodSeconds"] == 1


def test_replicas_spread_over_nodes_and_zones_and_schedule_all_the_same() -> None:
    made = pod(PLAIN)["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in made] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert {one["whenUnsatisfiable"] for one in made} == {"ScheduleAnyway"}


def test_hardware_is_what_the_revision_asks_for() -> None:
    assert container(FULL)["resources"]["limits"] == {"memory": str(4 << 30), "nvidia.com/gpu": "1"}
    assert "limits" not in container(PLAIN)["resources"], "nothing of what training asked for"
    assert pod(FULL)["nodeSelector"] == {"kubernetes.io/arch": "amd64", "zone": "a"}
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(1 << 30)}} in pod(FULL)["volumes"]
    assert (pod(FULL)["priorityClassName"], pod(FULL)["runtimeClassName"]) == ("high", "nvidia")
    assert container(FULL)["envFrom"] == [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "shared"}}]
    assert (container(FULL)["image"], container(PLAIN)["image"]) == ("ghcr.io/team/serve:2", "python:3.11-slim")


def test_the_program_is_told_its_revision_and_variables_as_they_were_written() -> None:
    assert told(FULL) == {
        "name": "risk",
        "version": "4",
        "package": PACKAGE,
        "lock": "ef" * 32,
        "options": {"method": "predict_proba"},
        "workers": 2,
        "variables": {"PRICE": "$5"},
        "limits": to_plain(Limits(deadline_s=12.5)),
        "grpc_port": 8081,
    }
    assert "$$5" in json.dumps(container(FULL)["env"]), "Kubernetes would read $(…) as a variable"


@pytest.mark.parametrize(("placement", "words"), [({"node": {}}, "'node'"), ({"nodes": 3}, "placement"), ("gpu", "placement")])
def test_a_placement_that_says_nothing_known_is_refused(placement: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        render_template(replace(PLAIN, revision=Revision(1, ServeSpec("x", PACKAGE, options={"placement": placement}))), SETTINGS, WAY)


def test_long_names_fit_and_stay_apart() -> None:
    names = {revision_name(SETTINGS, "a" * 39 + letter, 12) for letter in "bcd"}
    assert len(names) == 3
    assert all(len(name) <= 46 and name.endswith("-12") for name in names)


def test_serving_pods_are_not_taken_for_workers() -> None:
    """The executor follows what carries `fairway.dev/role`, and ends what nobody asks for."""
    labels = render_template(PLAIN, SETTINGS, WAY)["metadata"]["labels"]
    assert "fairway.dev/role" not in labels and labels[SERVES] == "replica"


def test_replicas_are_called_by_the_gateway_and_the_server_only() -> None:
    made = render_fence(SETTINGS, OWNER)["spec"]
    callers = [one["podSelector"]["matchLabels"] for one in made["ingress"][0]["from"]]
    gateway = of_kind(render_gateway(GatewayPlan(), SETTINGS, WAY), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert callers[0].items() <= gateway.items()
    assert made["podSelector"]["matchLabels"].items() <= render_template(PLAIN, SETTINGS, WAY)["metadata"]["labels"].items()


def test_a_gateway_gets_one_key_of_the_servers_secret_and_reads_its_table_where_there_is_one() -> None:
    made = of_kind(render_gateway(GatewayPlan(), SETTINGS, WAY), "Deployment")["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in made["volumes"]}
    assert volumes["admin"]["secret"]["items"] == [{"key": GATEWAY_KEY, "path": "token"}]
    assert volumes["table"]["configMap"] == {"name": "fairway-gateway", "optional": True}
    assert gateway_token("ab" * 32) != gateway_token("cd" * 32) != "ab" * 32


def test_two_gateways_have_a_budget_and_one_has_none() -> None:
    assert [one["kind"] for one in render_gateway(GatewayPlan(1), SETTINGS, WAY)] == ["Service", "Deployment"]
    assert [one["kind"] for one in render_gateway(GatewayPlan(2), SETTINGS, WAY)] == ["Service", "Deployment", "PodDisruptionBudget"]


def test_a_route_leads_to_the_gateway() -> None:
    made = render_route("risk", {"gateway": "infra/public", "host": "risk.example.org"}, SETTINGS, OWNER)
    assert (made["apiVersion"], made["kind"]) == ("gateway.networking.k8s.io/v1", "HTTPRoute")
    assert made["spec"]["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    assert made["spec"]["hostnames"] == ["risk.example.org"]
    assert made["spec"]["rules"][0]["backendRefs"] == [{"name": "fairway-gateway", "port": 80}]


def test_without_a_host_of_its_own_an_endpoint_is_below_its_name() -> None:
    (rule,) = render_route("risk", {"class": "nginx"}, SETTINGS, OWNER)["spec"]["rules"]
    assert rule["http"]["paths"][0]["path"] == "/risk" and "host" not in rule


@pytest.mark.parametrize(
    ("expose", "words"),
    [
        ({"clas": "nginx"}, "clas"),
        ({"class": "nginx", "gateway": "public"}, "not by both"),
        ({"gateway": "public", "tls": "cert"}, "certificates itself"),
        ({"host": "Not a host"}, "no host's name"),
        ({"host": 7}, "came 7"),
        ({"service": "Balancer"}, "'Balancer'"),
        ({"with": "seldon"}, "'seldon'"),
        ({"annotations": "x"}, "annotations"),
        ({"hold_s": "long"}, "hold_s"),
    ],
)
def test_what_does_not_go_together_is_refused(expose: Object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        render_route("risk", expose, SETTINGS, OWNER)


def test_an_endpoint_that_names_nothing_has_no_route() -> None:
    assert not is_routed({}) and not is_routed({"service": "LoadBalancer"}) and is_routed({"host": "x"})


def test_knative_gets_a_service_that_it_takes() -> None:
    """By its own rules: one port, no hooks, no probe at the start, no security settings of the pod, no field references."""
    made = render_other("knative", replace(FULL, scaling=Scaling(0, 4, target=16)), SETTINGS, WAY)
    template = made["spec"]["template"]
    (only,) = template["spec"]["containers"]
    assert (made["apiVersion"], made["kind"]) == ("serving.knative.dev/v1", "Service")
    allowed = {"automountServiceAccountToken", "enableServiceLinks", "imagePullSecrets", "volumes", "timeoutSeconds", "containers"}
    assert set(template["spec"]) == allowed
    assert not {"lifecycle", "startupProbe"} & set(only)
    assert [one["containerPort"] for one in only["ports"]] == [8080]
    assert not [one for one in only["env"] if "valueFrom" in one]
    assert only["securityContext"]["runAsNonRoot"] is True
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/target"] == "16"
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/min-scale"] == "0"


def test_kserve_gets_a_predictor_with_our_program() -> None:
    made = render_other("kserve", FULL, SETTINGS, WAY)
    predictor = made["spec"]["predictor"]
    assert (made["apiVersion"], made["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert (predictor["minReplicas"], predictor["maxReplicas"], predictor["timeout"]) == (1, 8, 13)
    assert predictor["containers"][0]["name"] == "kserve-container"
    assert predictor["containers"][0]["lifecycle"], "a Deployment is drained as ours are"
    assert made["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"
    to_zero = render_other("kserve", replace(FULL, scaling=Scaling(0, 4)), SETTINGS, WAY)
    assert to_zero["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Serverless"
    assert "lifecycle" not in to_zero["spec"]["predictor"]["containers"][0]


def test_what_neither_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="seldon"):
        render_other("seldon", FULL, SETTINGS, WAY)


@pytest.mark.parametrize(
    ("status", "address"),
    [
        ({}, ""),
        ({"address": {"url": "http://risk.team.svc.cluster.local"}}, ""),
        (
            {"conditions": [{"type": "Ready", "status": "True"}], "address": {"url": "http://risk.team.svc.cluster.local"}},
            "risk.team.svc.cluster.local:80",
        ),
        ({"conditions": [{"type": "Ready", "status": "True"}], "address": {"url": "http://risk.team:8080/v1"}}, "risk.team:8080"),
    ],
)
def test_others_are_reached_where_they_say_once_they_are_ready(status: Object, address: str) -> None:
    assert address_of({"status": status}) == address
