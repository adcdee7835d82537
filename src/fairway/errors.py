"""Every error Fairway raises: a stable code, a hint that says what to do, and an exit status.

Errors are caught in three places only: the attempt's boundary, a port's boundary, the command line.
What crosses processes is `fairway.spec.outcome.ErrorInfo`, never a pickled exception.
"""

from __future__ import annotations

from typing import Any


class FairwayError(Exception):
    """An error with a stable `code`, a `hint` (what to do about it) and a process `exit_status`.

    `where` is a "file:line" of the user's own code or file, when one is to blame.
    """

    code = "FW-INTERNAL"
    exit_status = 70
    retryable = False

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # Python shows it below the message, in a script or a notebook
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class DataAnomalies(FairwayError):
    """Data does not keep to its schema."""

    code, exit_status = "FW-DATA-ANOMALIES", 1


class UserError(FairwayError):
    """Something the user wrote cannot work; nothing has run yet."""

    code, exit_status = "FW-USER", 2


class DefinitionError(UserError):
    """A step or a pipeline is written in a way that cannot run."""

    code = "FW-DEFINITION"


class ConfigError(UserError):
    """A setting, a flag or a parameter has a value that is not allowed."""

    code = "FW-CONFIG"


class NotFoundError(UserError):
    """A run, task, artifact or file that was named does not exist."""

    code = "FW-NOT-FOUND"


class UnsupportedError(UserError):
    """This machine or target lacks what was asked for."""

    code = "FW-UNSUPPORTED"


class ForbiddenError(UserError):
    """The cluster does not allow you to do this; its administrator can."""

    code = "FW-FORBIDDEN"


class AdmissionRefused(UserError):
    """The cluster's admission rules do not let an object in (pod security, a policy)."""

    code = "FW-ADMISSION"


class TaskError(FairwayError):
    """A task of a run did not succeed."""

    code, exit_status = "FW-TASK", 3
    run: Any = None
    """The `fw.Run` whose task it is, where the run was started from Python."""


class TaskFailed(TaskError):
    """The user's code raised, or a command ended with an exit code that means failure."""

    code = "FW-TASK-FAILED"


class TaskTimeout(TaskError):
    """A task or a run took longer than its timeout."""

    code = "FW-TASK-TIMEOUT"


class TaskOutOfMemory(TaskError):
    """A task was killed for memory, or raised MemoryError."""

    code = "FW-TASK-OOM"


class TaskCrashed(TaskError):
    """A task's process died from a signal (native code crashed, or somebody killed it)."""

    code = "FW-TASK-CRASHED"


class TaskStalled(TaskError):
    """A gang stood still: no rank reported progress within its stall_timeout, or one never came within its start_timeout."""

    code = "FW-TASK-STALLED"


class TaskCancelled(TaskError):
    """A task or a run was cancelled."""

    code = "FW-TASK-CANCELLED"


class InfraError(FairwayError):
    """What runs the tasks failed, not the tasks; trying again may help."""

    code, exit_status, retryable = "FW-INFRA", 4, True


class UnschedulableError(InfraError):
    """No machine can hold the task now."""

    code = "FW-UNSCHEDULABLE"


class QuotaExceeded(InfraError):
    """The namespace's quota is used up; what ends gives it back."""

    code = "FW-QUOTA"


class ImageUnavailable(InfraError):
    """A container image cannot be pulled."""

    code = "FW-IMAGE-UNAVAILABLE"


class PreemptedError(InfraError):
    """The machine was taken away."""

    code = "FW-PREEMPTED"


class LostError(InfraError):
    """A worker or attempt vanished without an outcome."""

    code = "FW-LOST"


class PortTaken(InfraError):
    """Another program took a port that a gang was to use; it is started again with others."""

    code = "FW-PORT-TAKEN"


class StoreUnavailable(InfraError):
    """A journal or artifact store cannot be read or written."""

    code = "FW-STORE-UNAVAILABLE"


class ConflictError(FairwayError):
    """Somebody else changed the same thing first (for example a second driver of one run)."""

    code, exit_status = "FW-CONFLICT", 5


class JournalConflict(ConflictError):
    """The journal's head is not where this writer believed it to be."""

    code = "FW-JOURNAL-CONFLICT"


class InternalError(FairwayError):
    """A defect of Fairway itself."""
