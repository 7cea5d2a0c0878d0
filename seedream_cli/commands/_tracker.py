"""The operations of one call and how they ended, so that an error can say how to resume them."""

from __future__ import annotations

from collections.abc import Iterable

from ..models import Operation
from ..output.outcome import Failure, TaskOutcome


class TaskTracker:
    """The latest state of each operation, in the order in which they began."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation] = {}
        self._failures: dict[str, Failure] = {}
        self._ended: set[str] = set()

    def expect(self, operations: Iterable[Operation]) -> None:
        """Track these operations before they begin."""
        for operation in operations:
            self._operations[operation.id] = operation

    def update(self, operation: Operation) -> None:
        """Note the operation's latest state."""
        self._operations[operation.id] = operation

    def end(self, operation: Operation, failure: Failure | None) -> None:
        """Note the operation's last state of this call, and why it has no image, if so."""
        self._operations[operation.id] = operation
        self._ended.add(operation.id)
        if failure is not None:
            self._failures[operation.id] = failure

    def outcomes_of(self, operations: Iterable[Operation]) -> list[TaskOutcome]:
        """Return what became of these operations, in this order."""
        return [TaskOutcome(self._operations[one.id], self._failures.get(one.id)) for one in operations]

    def has_ended(self, operation: Operation) -> bool:
        return operation.id in self._ended

    def fail(self, operation: Operation, failure: Failure) -> None:
        """Note a failure that came from outside the operation, such as a signal."""
        self._failures[operation.id] = failure

    @property
    def outcomes(self) -> list[TaskOutcome]:
        return self.outcomes_of(self._operations.values())

    @property
    def unfinished(self) -> list[Operation]:
        """Operations that can be resumed: still running, or failed on the way to their image."""
        return [
            one
            for one in self._operations.values()
            if not one.is_final and (one.id in self._failures or one.id not in self._ended)
        ]
