"""The report of `seedream sync`: the plan, the result of each image, the summary and the JSON document."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import Drift, ExitCode, UsageError
from ..events import ImageDone, ImageEvent, ImageFailed
from ..output import github_actions
from ..output.documents import CountsDocument, Document, ImageDocument, SyncedProject, error_document
from ..output.outcome import Annotation, Failure
from ..output.plain_reporter import total_cost
from ..output.stdio import terminal_width
from ..output.table import table
from ..sync.manifest import Manifest
from ..sync.plan import Plan
from ..sync.plan_items import Action, PlanItem, State
from ..text import format_duration, format_size
from ._context import CommandContext

#: Codes of errors that only --force can get past: another try without it fails in the same way.
_NEEDS_FORCE = ("taken", "idempotency_expired", "other_api_key")
#: Images named in a message that is about several; the rest are counted.
_MAX_NAMES = 3


class SyncReport:
    """The report of one run of ``plan``; ``options`` are those that repeat the run on the same images."""

    def __init__(
        self, context: CommandContext, manifest: Manifest, plan: Plan, options: Sequence[str]
    ) -> None:
        self._context = context
        self._manifest = manifest
        self._plan = plan
        self._options = options
        self._items = {item.label: item for item in plan.items}
        self._done: dict[str, ImageDone] = {}
        self._failures: dict[str, Failure] = {}
        self._not_begun = 0
        self._started_at = time.monotonic()

    # The plan, and the errors that end the command after it

    def show_plan(self) -> None:
        """Print a row for each image that is not in step, and how many tasks would be paid for."""
        items = [item for item in self._plan.items if item.state != State.OK]
        rows = [(item.state, item.action, item.label, self._planned_path(item)) for item in items]
        self._context.reporter.result(table(rows, width=terminal_width()), self._document())
        closing = f"{self._counts()}; {_tasks(self._plan.to_pay)} would be paid for"
        self._context.reporter.say(closing)
        self._write_step_summary(rows, ("state", "action", "asset", "file"), closing)

    def drift_error(self) -> Drift:
        """Annotate each image that is not in step, and return the error of `--check`."""
        items = [item for item in self._plan.items if item.state != State.OK]
        for item in items:
            self._annotate(item, f"{item.label} is {item.state}")
        total = len(self._plan.items)
        # Without --prune, sync leaves orphans as they are.
        needs_prune = all(item.state == State.ORPHAN for item in items)
        return Drift(
            f"{len(items)} of {total} images are not in step with {self._manifest.path}: {self._counts()}",
            hint=self._command("--prune", *self._options) if needs_prune else self.repeat_command,
        )

    def frozen_error(self) -> Drift:
        """Print the document, annotate each image to generate, and return the error of `--frozen`."""
        items = self._plan.with_action(Action.GENERATE)
        for item in items:
            self._annotate(item, f"{item.label} is {item.state}")
        self._context.reporter.result([], self._document())
        return Drift(
            f"{_tasks(self._plan.to_pay)} would have to be paid for: "
            f"{_abbreviated([item.label for item in items])}",
            hint=self.repeat_command,
        )

    def spending_cap_error(self, max_tasks: int) -> UsageError:
        """Print the document, and return the error of `--max`."""
        self._context.reporter.result([], self._document())
        return UsageError(
            f"{_tasks(self._plan.to_pay)} would be paid for, and --max allows {max_tasks}",
            code="spending_cap",
            hint=self._command("--dry-run", *self._options),
        )

    # The run

    def handle(self, event: ImageEvent | ImageDone | ImageFailed) -> None:
        """Report one event of the executor."""
        reporter = self._context.reporter
        if isinstance(event, ImageEvent):
            reporter.image_event(event.label, event.event)
        elif isinstance(event, ImageDone):
            self._done[event.label] = event
            reporter.image_done(event, self._display_path(event.path))
        else:
            reporter.image_failed(event.label)
            failure = self._context.failures.for_image(
                event.error,
                event.operation,
                label=event.label,
                place=self._location(self._items[event.label]),
                retry=self._retry_commands(event),
            )
            self._failures[event.label] = failure
            self._context.fail_part(failure)

    def stopped_message(self, running: int) -> str:
        """Return the message for a signal that ended the run while this many tasks were running."""
        if not running:
            return "stopped; nothing is lost"
        tasks = "1 task goes" if running == 1 else f"{running} tasks go"
        return f"stopped; {tasks} on at the service, nothing is lost"

    def close(self, not_begun: int = 0) -> None:
        """Print the document and the summary; ``not_begun`` images were skipped because of an error."""
        self._not_begun = not_begun
        self._report_skipped()
        self._context.reporter.result([], self._document())
        closing = self._closing()
        self._context.reporter.say(closing)
        rows = [
            (label, done.done, format_size(done.bytes) if done.bytes else "", done.cost or "")
            for label, done in self._done.items()
        ]
        rows += [
            (label, f"failed: {failure.error.message}", "", "") for label, failure in self._failures.items()
        ]
        self._write_step_summary(sorted(rows), ("asset", "state", "size", "cost"), closing)

    def _report_skipped(self) -> None:
        """Report orphaned and edited images that the plan leaves alone, with the option that handles them."""
        skipped = self._plan.with_action(Action.NOTHING)
        if orphans := [item.label for item in skipped if item.state == State.ORPHAN]:
            self._context.reporter.notice(
                f"{_abbreviated(orphans)}: in the lock and not in the manifest "
                f"({self._repeat_with('--prune')})"
            )
        if edited := [item for item in skipped if item.state == State.EDITED]:
            for item in edited:
                self._annotate(item, f"{item.path} is not what the lock says")
            verb = "is" if len(edited) == 1 else "are"
            error = Drift(
                f"{_abbreviated([str(item.path) for item in edited])} {verb} not what the lock says: "
                "--accept takes it, --force overwrites it",
                code="edited",
                hint=self._repeat_with("--accept"),
            )
            self._context.fail_part(Failure(error, None, error.hint))

    def _closing(self) -> str:
        """Return the last line of stderr, such as "2 generated, 1 failed; cost 0.070; 31.2 s"."""
        words = Counter(done.done for done in self._done.values())
        ok = self._plan.counts.get(State.OK, 0)
        parts = [f"{count} {word}" for word, count in words.items()]
        parts += [f"{len(self._failures)} failed"] if self._failures else []
        parts += [f"{self._not_begun} not begun"] if self._not_begun else []
        parts += [f"{ok} ok"] if ok or not parts else []
        text = ", ".join(parts) if self._plan.items else "no images"
        if cost := total_cost(done.cost for done in self._done.values() if done.cost):
            text += f"; cost {cost}"
        return f"{text}; {format_duration(time.monotonic() - self._started_at)}" if self._done else text

    # Commands to run next

    @property
    def repeat_command(self) -> str:
        """Return the command that repeats this run on the same images."""
        return self._command(*self._options)

    def _repeat_with(self, option: str) -> str:
        """Return the command that repeats this run with ``option`` instead of --force and --accept."""
        return self._command(option, *(word for word in self._options if word not in ("--force", "--accept")))

    def _retry_commands(self, failed: ImageFailed) -> list[str]:
        """Return the command that retries the image, or nothing if the manifest must be changed first."""
        name = failed.label.partition("[")[0]
        if failed.error.code in _NEEDS_FORCE:
            return [self._command("--only", name, "--force")]
        return [self._command("--only", name)] if failed.error.exit_code != ExitCode.USAGE else []

    def _command(self, *options: str) -> str:
        file = str(self._manifest.path)
        argument = [] if file == "seedream.toml" else ["--", file] if file.startswith("-") else [file]
        return self._context.next.command("sync", *options, *argument)

    # Paths and counts

    def _display_path(self, path: str) -> str:
        """Return a path of the project as it is printed: relative if the manifest's path is."""
        return os.path.join(os.path.dirname(self._manifest.path), *path.split("/"))

    def _planned_path(self, item: PlanItem) -> str:
        """Return the display path, with `{ext}` for an extension that only the image decides."""
        if item.path is not None:
            return self._display_path(item.path)
        return self._display_path("{ext}".join(item.image.target.parts)) if item.image is not None else ""

    def _counts(self) -> str:
        counts = self._plan.counts
        return ", ".join(f"{counts[state]} {state}" for state in State if counts.get(state)) or "no images"

    # The JSON document

    def _document(self) -> Document:
        if not self._context.options.json:
            # Nothing prints it, and it is slow to build for thousands of images.
            return Document()
        return SyncedProject(
            manifest=os.path.abspath(self._manifest.path),
            lock=os.path.abspath(self._manifest.lockfile_path),
            to_pay=self._plan.to_pay,
            counts=CountsDocument(**{state.value: self._plan.counts.get(state, 0) for state in State}),
            images=[self._image_document(item) for item in self._plan.items],
        )

    def _image_document(self, item: PlanItem) -> ImageDocument:
        done = self._done.get(item.label)
        failure = self._failures.get(item.label)
        entry = item.entry
        path = done.path if done else item.path
        return ImageDocument(
            name=item.name,
            number=item.number,
            state=item.state.value,
            action=item.action.value,
            done=done.done if done else None,
            path=str(self._manifest.folder.joinpath(*path.split("/"))) if path else None,
            task_id=done.task_id if done else entry.task_id if entry else None,
            sha256=done.sha256 if done else entry.sha256 if entry else None,
            bytes=done.bytes if done else None,
            cost=done.cost if done else None,
            seconds=round(done.seconds, 3) if done and done.seconds is not None else None,
            error=error_document(failure) if failure else None,
        )

    # GitHub Actions

    def _annotate(self, item: PlanItem, message: str) -> None:
        self._context.reporter.stderr.annotate(Annotation([message], item.label, *self._location(item)))

    def _location(self, item: PlanItem) -> tuple[Path, int]:
        """Return file and line of the image: of its asset in the manifest, or the lockfile for an orphan."""
        if item.image is None:
            return self._manifest.lockfile_path, 1
        return self._manifest.path, self._manifest.line_of("assets", item.name)

    def _write_step_summary(self, rows: Sequence[Sequence[str]], header: Sequence[str], closing: str) -> None:
        if "GITHUB_STEP_SUMMARY" in os.environ:
            github_actions.append_summary(github_actions.markdown_table(header, rows, closing), os.environ)


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _abbreviated(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
