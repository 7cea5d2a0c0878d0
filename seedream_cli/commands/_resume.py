"""`generate --resume`: an operation carried on from where it stands, never paid twice."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import config
from ..errors import InvalidOutput, UsageProblem
from ..models import Operation, Status
from ._session import Session
from ._target import prepare_folder, refuse_taken

if TYPE_CHECKING:
    from ..naming import Output

#: The service keeps idempotency keys for 7 days (API reference): later, a repetition would pay again. An
#: hour is left for clocks that differ and for the retries.
KEY_LIFETIME = 7 * 86400.0 - 3600.0
#: A clock may have been set back by so much that an operation seems to come from the future.
CLOCK_SLACK = 300.0


def refuse_with_resume(*given: object) -> None:
    """Refuse what would make the request another one, or keep it from being sent."""
    if any(value is not None for value in given):
        raise UsageProblem(
            "--resume sends the request as it was: no prompt, no option of the picture, "
            "--dry-run or --skip-existing goes with it"
        )


def carry_on(
    run: Session, name: str, *, output: Output | None, overwrite: bool, new_key: bool, wait: bool
) -> None:
    """Carry the operation of this name on from where it stands; ``output`` moves its images."""
    from .. import jobs
    from ..naming import Output

    since = time.time() - KEY_LIFETIME
    operation = (
        run.history.last_unsettled(run.service, since=since)
        if name == "last"
        else run.history.find(run.service, name)
    )
    if operation is None:
        what = "nothing is left to resume" if name == "last" else f"no operation is called {name!r}"
        raise UsageProblem(f"{what} at this service", code="unknown_operation", hint="seedream status")
    if operation.task_id is None:
        operation = _sendable(run, operation, new_key=new_key)
    elif new_key:
        raise UsageProblem(f"{operation.id} was answered: its task is {operation.task_id}", code="answered")
    where = output
    if where is not None:
        refuse_taken(where, operation, overwrite=overwrite)
        if not where.stdout:
            # Also for whoever carries it on after this call.
            operation = replace(operation, output=where.template)
            if operation.task_id is not None:
                operation = run.history.record(operation)
    try:
        prepare_folder(run, where or Output(operation.output), operation)
    except InvalidOutput as error:
        # Its key grows old: it need not wait for the folder.
        error.hint = error.hint or run.next.command("generate", "-o", "./", "--resume", operation.id)
        raise
    quality = operation.request.quality if operation.request else None
    work = run.work(output=where, overwrite=overwrite, quality=quality)
    # Without waiting, all that is left of a known task is to name it.
    act = jobs.generate if operation.task_id is None or not wait else jobs.download
    run.report(act(work, operation, wait=wait))


def _sendable(run: Session, operation: Operation, *, new_key: bool) -> Operation:
    """The operation as it may be sent again without paying twice; raises UsageProblem otherwise."""
    if new_key:
        return replace(
            operation,
            idempotency_key=str(uuid.uuid4()),
            key_id=config.fingerprint(run.api_key),
            created=time.time(),
            status=Status.UNANSWERED,
            request_id=None,
            error_code=None,
            error_message=None,
        )
    hint = run.next.resume(operation) + " --new-key"
    if operation.unsuccessful:
        raise UsageProblem(f"{operation.id} was refused by the API: {operation.error_message}", hint=hint)
    if not -CLOCK_SLACK <= time.time() - operation.created <= KEY_LIFETIME:
        raise UsageProblem(
            f"{operation.id} is not from the last 7 days, for which the service keeps idempotency keys: "
            "sending it again could pay again",
            code="idempotency_expired",
            hint=hint,
        )
    if operation.key_id not in (None, config.fingerprint(run.api_key)):
        raise UsageProblem(
            f"{operation.id} was sent with another API key: sending it with this one could pay again",
            code="other_api_key",
            hint=hint,
        )
    return operation
