"""`seedream generate`: submit, wait, save."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..output.presenters import Presenter, SavedImages, SubmittedTasks
from ._command import CommandResult, command
from ._context import CommandContext
from ._generate_request import RequestArgs, is_literal
from ._generate_resume import check_resume_options, resume_operation
from ._generate_submit import MAX_COUNT, OverwritePolicy, create_tasks, show_requests
from ._options import (
    MaxBytes,
    NoWait,
    OutputTemplate,
    Overwrite,
    PollInterval,
    RequestFieldOptions,
    TaskOptions,
    Timeout,
)
from ._output import Open, Preview, output_template, show_images

_PICTURE = "Picture"
_REQUEST = "Request"
Prompt = Annotated[
    str | None,
    typer.Argument(metavar="[PROMPT]", help="What to draw; - reads it from stdin.", show_default=False),
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


Image = Annotated[
    list[str] | None,
    typer.Option(
        "-i",
        "--image",
        help="A source image, of a file, an https URL or stdin (-); repeatable. Uses the model's edit form.",
        metavar="PATH|URL",
        show_default=False,
        rich_help_panel=_PICTURE,
    ),
]
Details = Annotated[
    str | None,
    typer.Option(
        "--details",
        help="Light, colour, mood: joined to the prompt.",
        metavar="TEXT",
        show_default=False,
        rich_help_panel=_PICTURE,
    ),
]
Style = Annotated[
    str | None,
    typer.Option(
        "--style",
        help="A style in words, or the name of one that the config or the project has: joined at the end.",
        metavar="NAME|TEXT",
        show_default=False,
        rich_help_panel=_PICTURE,
    ),
]
Count = Annotated[
    int,
    typer.Option(
        "-n",
        "--count",
        help=f"So many tasks side by side, each paid for; at most {MAX_COUNT}.",
        metavar="N",
        min=1,
        max=MAX_COUNT,
        rich_help_panel=_PICTURE,
    ),
]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Do nothing if the file is there.", rich_help_panel="Output")
]
Sidecar = Annotated[
    bool,
    typer.Option(
        "--sidecar",
        help="Write FILE.json beside each image: prompt, task, time, digests.",
        rich_help_panel="Output",
    ),
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


def _presenter(values: Mapping[str, Any]) -> Presenter:
    return SubmittedTasks() if values["no_wait"] else SavedImages()


@command(TaskOptions, _presenter)
def generate(
    context: CommandContext,
    typer_context: typer.Context,
    prompt: Prompt = None,
    prompt_file: PromptFile = None,
    fields: RequestFieldOptions = MappingProxyType({}),
    image: Image = None,
    details: Details = None,
    style: Style = None,
    count: Count = 1,
    output: OutputTemplate = None,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    sidecar: Sidecar = False,
    max_bytes: MaxBytes = None,
    preview: Preview = False,
    open_: Open = False,
    no_wait: NoWait = False,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
    dry_run: DryRun = False,
    resume: Resume = None,
    new_key: NewKey = False,
) -> CommandResult:
    """Generate an image: submit the prompt, wait for the task, save the result.

    \b
    seedream generate "a red fox in snow" -a 16:9
    seedream generate --prompt-file prompt.md -o hero.png
    seedream generate "as a watercolour" -i photo.jpg
    echo "雪中的红狐" | seedream generate - --json
    seedream generate "a red fox" -n 4 -o fox.png
    seedream generate "a red fox" --no-wait

    Prints the saved paths on stdout. Ctrl-C is safe: the message says how to get the image.
    """
    show_images(
        context,
        preview=preview,
        opened=open_,
        override=output,
        has_output=resume is not None,
        saves=not no_wait and not dry_run,
    )
    if resume is not None:
        check_resume_options(
            *(prompt, prompt_file, details, style, image, *fields.values()),
            *(flag or None for flag in (dry_run, skip_existing, count > 1)),
        )
        moved = output_template(context, wait=not no_wait) if output is not None else None
        outcomes = resume_operation(
            context,
            resume,
            output=moved,
            overwrite=overwrite,
            new_key=new_key,
            wait=not no_wait,
            sidecar=sidecar,
        )
    else:
        if new_key:
            raise UsageError("--new-key goes with --resume")
        if overwrite and skip_existing:
            raise UsageError("--overwrite and --skip-existing contradict each other")
        arguments = RequestArgs(
            prompt, prompt_file, is_literal(typer_context), tuple(image or ()), details, style
        )
        request, parts = arguments.build(context)
        if dry_run:
            show_requests(context, request, count)
            return CommandResult()
        policy = OverwritePolicy(overwrite, skip_existing, wait=not no_wait, sidecar=sidecar)
        outcomes = create_tasks(context, request, parts, count, policy)
    submitted = [one.operation for one in outcomes if one.operation.task_id and one.failure is None]
    # Nobody waits for these tasks: say how to get their images.
    later = context.failures.resume_command(*submitted) if no_wait and submitted else None
    return CommandResult(outcomes, next_command=later)
