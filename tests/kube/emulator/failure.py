"""What the API server says when it refuses."""

from __future__ import annotations

from typing import Any

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """A refusal, as a Status object."""

    def __init__(self, code: int, message: str, *, reason: str = "", details: dict[str, Any] | None = None, retry_after: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "")
        self.details = details or {}
        self.retry_after = retry_after

    def to_status(self) -> dict[str, Any]:
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        details = dict(self.details)
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        if details:
            status["details"] = details
        return status


def not_found(plural: str, name: str, group: str = "") -> ApiError:
    resource = f"{plural}.{group}" if group else plural
    return ApiError(404, f'{resource} "{name}" not found', details={"name": name, "kind": plural} | ({"group": group} if group else {}))


def invalid(kind: str, name: str, field: str, message: str) -> ApiError:
    """422 as the field validation of the API server writes it: `message` starts with "Required value", "Invalid value: …" and the like."""
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": field}]
    return ApiError(422, f'{kind} "{name}" is invalid: {field}: {message}', details={"name": name, "kind": kind, "causes": causes})
