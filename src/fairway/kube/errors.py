"""What the API server answered, as one of Fairway's errors."""

from __future__ import annotations

import re
from typing import Any

from fairway.errors import (
    AdmissionRefused,
    ConfigError,
    ConflictError,
    FairwayError,
    ForbiddenError,
    InfraError,
    NotFoundError,
    QuotaExceeded,
)
from fairway.kube.rights import Right, render_rule

_ADMISSION = re.compile(r"violates PodSecurity|admission webhook|denied the request|ValidatingAdmissionPolicy|is forbidden: ")
_DENIED = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[\w./-]+)" in API group "(?P<group>[^"]*)"')


_SILENT = re.compile(r'failed calling webhook "(?P<name>[^"]+)"')
_DENYING = re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request')


class Expired(Exception):
    """A resourceVersion or a page's token is too old: list again. Never leaves this room."""


def error_from_status(http_status: int, status: dict[str, Any], *, what: str) -> FairwayError:
    """The error for an answer that is a refusal: `status` is the API server's Status object ({} if it sent something else), `what` the
    request in words ("create Pod a-1")."""
    message = str(status.get("message") or f"the Kubernetes API answered {http_status}")
    code = int(status.get("code") or http_status)
    if code == 404:
        return NotFoundError(message if status else f"cannot {what}: the cluster does not know this kind")
    if code == 409:
        return ConflictError(message)
    if _SILENT.search(message):  # whatever the status: nobody has refused anything
        return InfraError(f"cannot {what}: {message}", hint=explain_webhook(message))
    if code == 401:
        return ConfigError(
            "the cluster does not know these credentials (401 Unauthorized)", hint="log in again, or check the context's user"
        )
    if code == 403:
        return _forbidden(message, what)
    if code in {400, 422} and "denied the request" in message:
        return AdmissionRefused(f"cannot {what}: {message}", hint=explain_webhook(message))
    if code in {400, 405, 406, 413, 415, 422}:
        return ConfigError(f"cannot {what}: {message}")
    return InfraError(f"cannot {what}: {message}", hint="the cluster's API server failed; this may pass")


def explain_webhook(message: str) -> str:
    """What to do where one of the cluster's webhooks does not answer, or refuses; "" if the message is of none."""
    if found := _SILENT.search(message):
        return (
            f"the cluster's webhook {found['name']!r} does not answer, and nothing gets past it: tell who runs the cluster; this may pass"
        )
    if found := _DENYING.search(message):
        return f"the cluster's webhook {found['name']!r} refuses it: its words say why; who runs the cluster can make an exception"
    return ""


def _forbidden(message: str, what: str) -> FairwayError:
    if "exceeded quota: " in message:
        return QuotaExceeded(f"cannot {what}: {message}", hint="wait for what runs, ask for less, or have the namespace's quota raised")
    denied = _DENIED.search(message)
    if denied is None and _ADMISSION.search(message):
        return AdmissionRefused(f"cannot {what}: {message}", hint=explain_webhook(message))
    if denied is None:
        return ForbiddenError(f"cannot {what}: {message}", hint="ask the cluster's administrator")
    resource, _, subresource = denied["resource"].partition("/")
    right = Right(denied["verb"], resource, group=denied["group"], subresource=subresource)
    return ForbiddenError(f"cannot {what}: {message}", hint=f"ask the cluster's administrator for the rule {render_rule(right)}")


def error_from_transport(error: Exception, *, server: str, what: str) -> FairwayError:
    """The error for a request that got no answer."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ConfigError(
            f"{server} shows a certificate that is not trusted: {text}", hint="check certificate-authority in the kubeconfig"
        )
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return InfraError(f"cannot {what}: {server} does not answer in time", hint="is the network, or a VPN, up?")
    return InfraError(f"cannot {what}: {server} cannot be reached: {text}", hint="is the cluster running, and the network, or a VPN, up?")
