"""The state of the operations of one call, so that an error can name those to resume."""

from __future__ import annotations

from collections.abc import Iterable

from ..models import Operation
from ..output.outcome import Failure, TaskOutcome


class TaskTracker:
    """The latest state of each operation, in the order in which they were first tracked."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation] = {}
        self._failures: dict[str, Failure] = {}
        self._ended: set[str] = set()

    def expect(self, operations: Iterable[Operation]) -> None:
        """Track these operations before they begin."""
        for operation in operations:
            self._operations[operation.id] = operation

    def update(self, operation: Operation) -> None:
        """Store the latest state of an operation."""
        self._operations[operation.id] = operation

    def end(self, operation: Operation, failure: Failure | None) -> None:
        """Store the final state of an operation in this call, and its failure, if any."""
        self._operations[operation.id] = operation
        self._ended.add(operation.id)
        if failure is not None:
            self._failures[operation.id] = failure

    def outcomes_of(self, operations: Iterable[Operation]) -> list[TaskOutcome]:
        """Return the outcomes of these operations, in this order."""
        return [
            TaskOutcome(self._operations[operation.id], self._failures.get(operation.id))
            for operation in operations
        ]

    def has_ended(self, operation: Operation) -> bool:
        return operation.id in self._ended

    def fail(self, operation: Operation, failure: Failure) -> None:
        """Store a failure with a cause outside the operation, such as a signal."""
        self._failures[operation.id] = failure

    @property
    def outcomes(self) -> list[TaskOutcome]:
        return self.outcomes_of(self._operations.values())

    @property
    def unfinished(self) -> list[Operation]:
        """Return the operations that can be resumed: running, or failed before their images were saved."""
        return [
            operation
            for operation in self._operations.values()
            if not operation.is_final and (operation.id in self._failures or operation.id not in self._ended)
        ]
