"""`seedream generate`: submit, wait, save."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import config
from ..errors import InvalidOutput, InvalidRequest, UsageProblem
from ..models import GenerationRequest, Operation
from ..output.plain import Kind
from ._options import (
    MaxBytes,
    NoWait,
    Output,
    Overwrite,
    PollInterval,
    TaskOptions,
    Timeout,
    described,
    with_options,
)
from ._resume import carry_on, refuse_with_resume
from ._session import Session, read_stdin, session
from ._target import existing, kept, prepare_folder, wanted_output

_PICTURE, _REQUEST = "Picture", "Request"
Prompt = Annotated[
    str | None, typer.Argument(help="What to draw; - reads it from stdin.", show_default=False)
]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompt-file",
        help="Read the prompt from a UTF-8 file.",
        show_default=False,
        metavar="FILE",
        rich_help_panel=_PICTURE,
    ),
]
Model = Annotated[str | None, described("model", "-m", metavar="NAME", panel=_PICTURE)]
AspectRatio = Annotated[str | None, described("aspect_ratio", "-a", metavar="RATIO", panel=_PICTURE)]
Quality = Annotated[str | None, described("quality", panel=_PICTURE)]
CallbackUrl = Annotated[str | None, described("callback_url", metavar="URL", panel=_PICTURE)]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Do nothing if the file is there.", rich_help_panel="Output")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the request as JSON and send nothing.", rich_help_panel=_REQUEST),
]
Resume = Annotated[
    str | None,
    typer.Option(
        "--resume",
        help="Carry on an operation (op_…, a task id, or last): never a second task.",
        metavar="ID",
        show_default=False,
        rich_help_panel=_REQUEST,
    ),
]
NewKey = Annotated[
    bool,
    typer.Option(
        "--new-key",
        help="With --resume: send it under a new idempotency key, which may pay again.",
        rich_help_panel=_REQUEST,
    ),
]


@with_options(TaskOptions)
def generate(
    context: typer.Context,
    options: TaskOptions,
    prompt: Prompt = None,
    prompt_file: PromptFile = None,
    model: Model = None,
    aspect_ratio: AspectRatio = None,
    quality: Quality = None,
    callback_url: CallbackUrl = None,
    output: Output = None,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    max_bytes: MaxBytes = None,
    no_wait: NoWait = False,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
    dry_run: DryRun = False,
    resume: Resume = None,
    new_key: NewKey = False,
) -> None:
    """Generate an image: submit the prompt, wait for the task, save the result.

    \b
    seedream generate "a red fox in snow" -a 16:9
    seedream generate --prompt-file prompt.md -o hero.png
    echo "雪中的红狐" | seedream generate - --json
    seedream generate "a red fox" --no-wait

    Prints the saved paths on stdout. Ctrl-C is safe: the message says how to get the image.
    """
    picture = {
        "model": model,
        "aspect_ratio": aspect_ratio,
        "quality": quality,
        "callback_url": callback_url,
    }
    rest = {"output": output, "max_bytes": max_bytes, "timeout": timeout, "poll_interval": poll_interval}
    kind: Kind = "ids" if no_wait else "paths"
    with session(options, kind=kind, flags={**picture, **rest}) as run:
        if resume is not None:
            refuse_with_resume(prompt, prompt_file, *picture.values(), dry_run or None, skip_existing or None)
            moved = wanted_output(run, wait=not no_wait) if output is not None else None
            carry_on(run, resume, output=moved, overwrite=overwrite, new_key=new_key, wait=not no_wait)
            return
        if new_key:
            raise UsageProblem("--new-key goes with --resume")
        if overwrite and skip_existing:
            raise UsageProblem("--overwrite and --skip-existing contradict each other")
        _refuse_two_readers(run, prompt, prompt_file, literal=_is_literal(context))
        request = _request(run, _prompt(prompt, prompt_file, literal=_is_literal(context)))
        if dry_run:
            _show_request(run, request)
            return
        _generate(run, request, overwrite=overwrite, skip_existing=skip_existing, wait=not no_wait)


def _generate(
    run: Session, request: GenerationRequest, *, overwrite: bool, skip_existing: bool, wait: bool
) -> None:
    from .. import jobs
    from ..naming import fields_of, new_operation_id, parse_output

    where = wanted_output(run, wait=wait)
    cwd = os.getcwd()
    operation = Operation(
        id=new_operation_id(),
        service=run.service,
        created=time.time(),
        # Bytes for stdout become a file of the default name when they are fetched again.
        output=where.template or parse_output(None, cwd=cwd).template,
        request=request,
        idempotency_key=str(uuid.uuid4()),
        key_id=config.fingerprint(run.api_key),
    )
    if skip_existing and not where.known_targets(fields_of(operation)):
        raise InvalidOutput("--skip-existing needs a name that is known beforehand: -o without {task}")
    if (taken := existing(where, operation, overwrite=overwrite)) is not None:
        if not skip_existing:
            raise InvalidOutput(
                f"{where.shown(str(taken))} exists (--overwrite, --skip-existing)", code="output_exists"
            )
        run.report(kept(operation, where, taken))
        return
    work = run.work(output=where, overwrite=overwrite, quality=request.quality)
    prepare_folder(run, where, operation)
    run.report(jobs.generate(work, operation, wait=wait))


def _prompt(argument: str | None, file: Path | None, *, literal: bool) -> str:
    if argument is not None and file is not None:
        raise UsageProblem("the prompt is given twice: as an argument and as a file")
    if file is not None and str(file) == "-":
        return read_stdin().strip()
    if file is not None:
        try:
            return file.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the prompt's file cannot be read: {file}", detail=str(error)) from None
    if argument is None:
        raise InvalidRequest("no prompt was given", hint='seedream generate "a red fox in snow"')
    if argument == "-" and not literal:
        return read_stdin().strip()
    try:
        # In an ASCII locale Python hands over UTF-8 as surrogates.
        return argument.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return argument


def _refuse_two_readers(run: Session, argument: str | None, file: Path | None, *, literal: bool) -> None:
    prompt_on_stdin = (argument == "-" and not literal) or str(file) == "-"
    if prompt_on_stdin and run.settings.value("api_key_file") in ("-", "/dev/stdin"):
        raise UsageProblem("the prompt and the API key both want stdin")


def _is_literal(context: typer.Context) -> bool:
    """Whether the prompt stands behind `--`, where a dash is a dash.

    Typer hands over the same value in both cases, so the arguments are looked at as they were
    written; an option in front of `--` would have taken it as its value.
    """
    arguments: list[str] = context.obj or []
    if arguments[-2:] != ["--", "-"]:
        return False
    valued = {
        name
        for one in context.command.params
        if not getattr(one, "is_flag", False)
        for name in getattr(one, "opts", ())
    }
    return arguments[-3:-2] == [] or arguments[-3] not in valued


def _request(run: Session, prompt: str) -> GenerationRequest:
    values: dict[str, Any] = {
        name: run.settings.value(name) for name in ("model", "aspect_ratio", "quality", "callback_url")
    }
    request = GenerationRequest(prompt=prompt, **values)
    request.validate()
    return request


def _show_request(run: Session, request: GenerationRequest) -> None:
    from ..output.json import dumped

    base_url = "http://127.0.0.1/sandbox/v1" if run.sandboxed else run.settings.value("base_url")
    url = f"{base_url}/images/generations"
    document = {"requests": [{"method": "POST", "url": url, "json": request.body()}]}
    run.reporter.tell(dumped(document).split("\n"), document)
