"""What `seedream sync` tells: its plan, what became of each image, and how much is left to do."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import Drift, ExitCode, UsageError
from ..events import ImageDone, ImageEvent, ImageFailed
from ..models import Operation
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

#: Errors that only --force gets past.
_UNKNOWN_BYTES = ("taken", "idempotency_expired", "other_api_key")


class SyncReport:
    """Tells of one run over ``plan``; ``options`` are those that the same run would have again."""

    def __init__(
        self, context: CommandContext, manifest: Manifest, plan: Plan, options: Sequence[str]
    ) -> None:
        self._run = context
        self._manifest = manifest
        self._plan = plan
        self._options = options
        self._items = {item.label: item for item in plan.items}
        self._landed: dict[str, ImageDone] = {}
        self._fallen: dict[str, Failure] = {}
        self._not_begun = 0
        self._began = time.monotonic()

    def command(self, *options: str) -> str:
        """This command, with other options."""
        file = str(self._manifest.path)
        named = [] if file == "seedream.toml" else ["--", file] if file.startswith("-") else [file]
        return self._run.next.command("sync", *options, *named)

    @property
    def again(self) -> str:
        return self.command(*self._options)

    # The plan

    def show_plan(self) -> None:
        """What is not in step, and what would be done about it."""
        items = [item for item in self._plan.items if item.state != State.OK]
        rows = [(item.state, item.action, item.label, self._place(item)) for item in items]
        self._run.reporter.result(table(rows, width=terminal_width()), self._document())
        closing = f"{self._counts()}; {_tasks(self._plan.to_pay)} would be paid for"
        self._run.reporter.say(closing)
        self._summarise(rows, ("state", "action", "asset", "file"), closing)

    def drift(self) -> Drift:
        items = [item for item in self._plan.items if item.state != State.OK]
        for item in items:
            self._annotate(item, f"{item.label} is {item.state}")
        whole = len(self._plan.items)
        # Orphans stay, however often sync is run without it.
        prunes = all(item.state == State.ORPHAN for item in items)
        return Drift(
            f"{len(items)} of {whole} images are not in step with {self._manifest.path}: {self._counts()}",
            hint=self.command("--prune", *self._options) if prunes else self.again,
        )

    def frozen(self) -> Drift:
        items = self._plan.of(Action.GENERATE)
        for item in items:
            self._annotate(item, f"{item.label} is {item.state}")
        self._tell_document()
        paid = _tasks(self._plan.to_pay)
        return Drift(f"{paid} would have to be paid for: {_some(items)}", hint=self.again)

    def too_many(self, most: int) -> UsageError:
        self._tell_document()
        return UsageError(
            f"{_tasks(self._plan.to_pay)} would be paid for, and --max allows {most}",
            code="spending_cap",
            hint=self.command("--dry-run", *self._options),
        )

    def _tell_document(self) -> None:
        self._run.reporter.result([], self._document())

    # The run

    def take(self, told: ImageEvent | ImageDone | ImageFailed) -> None:
        reporter = self._run.reporter
        if isinstance(told, ImageEvent):
            reporter.image_event(told.label, told.event)
        elif isinstance(told, ImageDone):
            self._landed[told.label] = told
            reporter.image_done(told, self._shown(told.path))
        else:
            reporter.image_failed(told.label)
            failure = self._run.failures.for_image(
                told.error,
                told.operation,
                label=told.label,
                place=self._line_of(self._items[told.label]),
                retry=self._retry(told),
            )
            self._fallen[told.label] = failure
            self._run.fail_part(failure)

    def stopped(self, under_way: Sequence[Operation]) -> str:
        """What to say where a signal ended the run while these tasks were under way."""
        if not under_way:
            return "stopped; nothing is lost"
        goes = "task goes" if len(under_way) == 1 else "tasks go"
        return f"stopped; {len(under_way)} {goes} on at the service, nothing is lost"

    def close(self, not_begun: int = 0) -> None:
        """The end of the answer, and what is left to do."""
        self._not_begun = not_begun
        self._tell_what_is_left()
        self._tell_document()
        closing = self._closing()
        self._run.reporter.say(closing)
        rows = [
            (label, landed.done, format_size(landed.bytes) if landed.bytes else "", landed.cost or "")
            for label, landed in self._landed.items()
        ]
        rows += [
            (label, f"failed: {failure.error.message}", "", "") for label, failure in self._fallen.items()
        ]
        self._summarise(sorted(rows), ("asset", "state", "size", "cost"), closing)

    def _tell_what_is_left(self) -> None:
        edited = [item for item in self._plan.of(Action.NOTHING) if item.state == State.EDITED]
        orphans = [item for item in self._plan.of(Action.NOTHING) if item.state == State.ORPHAN]
        if orphans:
            self._run.reporter.notice(
                f"{_some(orphans)}: in the lock and not in the manifest ({self._with('--prune')})"
            )
        if edited:
            for item in edited:
                self._annotate(item, f"{item.path} is not what the lock says")
            what = "is not what the lock says" if len(edited) == 1 else "are not what the lock says"
            error = Drift(
                f"{_some(edited, paths=True)} {what}: --accept takes it, --force overwrites it",
                code="edited",
                hint=self._with("--accept"),
            )
            self._run.fail_part(Failure(error, None, error.hint))

    def _with(self, option: str) -> str:
        """This run again, over the same images, with this option instead of those that did not help."""
        return self.command(option, *(word for word in self._options if word not in ("--force", "--accept")))

    def _retry(self, told: ImageFailed) -> list[str]:
        """Return the command that tries the image again."""
        name = told.label.partition("[")[0]
        if told.error.code in _UNKNOWN_BYTES:
            return [self.command("--only", name, "--force")]
        return [self.command("--only", name)] if told.error.exit_code != ExitCode.USAGE else []

    # Words

    def _shown(self, path: str) -> str:
        """A path as it is printed: relative where the manifest's was."""
        return os.path.join(os.path.dirname(self._manifest.path), *path.split("/"))

    def _place(self, item: PlanItem) -> str:
        if item.path is not None:
            return self._shown(item.path)
        return self._shown("{ext}".join(item.image.wanted.parts)) if item.image is not None else ""

    def _counts(self) -> str:
        counts = self._plan.counts
        return ", ".join(f"{counts[state]} {state}" for state in State if counts.get(state)) or "no images"

    def _closing(self) -> str:
        words = Counter(landed.done for landed in self._landed.values())
        ok = self._plan.counts.get(State.OK, 0)
        parts = [f"{count} {word}" for word, count in words.items()]
        parts += [f"{len(self._fallen)} failed"] if self._fallen else []
        parts += [f"{self._not_begun} not begun"] if self._not_begun else []
        parts += [f"{ok} ok"] if ok or not parts else []
        text = ", ".join(parts) if self._plan.items else "no images"
        if cost := total_cost(landed.cost for landed in self._landed.values() if landed.cost):
            text += f"; cost {cost}"
        return f"{text}; {format_duration(time.monotonic() - self._began)}" if self._landed else text

    def _document(self) -> Document:
        if not self._run.options.json:
            # For thousands of images it takes its time, and nobody reads it.
            return Document()
        return SyncedProject(
            manifest=os.path.abspath(self._manifest.path),
            lock=os.path.abspath(self._manifest.lock_path),
            to_pay=self._plan.to_pay,
            counts=CountsDocument(**{state.value: self._plan.counts.get(state, 0) for state in State}),
            images=[self._image(item) for item in self._plan.items],
        )

    def _image(self, item: PlanItem) -> ImageDocument:
        landed, failure = self._landed.get(item.label), self._fallen.get(item.label)
        path = landed.path if landed else item.path
        entry = item.entry
        return ImageDocument(
            name=item.name,
            number=item.number,
            state=item.state.value,
            action=item.action.value,
            done=landed.done if landed else None,
            path=str(self._manifest.folder.joinpath(*path.split("/"))) if path else None,
            task_id=landed.task_id if landed else entry.task_id if entry else None,
            sha256=landed.sha256 if landed else entry.sha256 if entry else None,
            bytes=landed.bytes if landed else None,
            cost=landed.cost if landed else None,
            seconds=round(landed.seconds, 3) if landed and landed.seconds is not None else None,
            error=error_document(failure) if failure else None,
        )

    # GitHub

    def _annotate(self, item: PlanItem, message: str) -> None:
        self._run.reporter.stderr.annotate(Annotation([message], item.label, *self._line_of(item)))

    def _line_of(self, item: PlanItem) -> tuple[Path, int]:
        """Where the image is wanted, or else known."""
        if item.image is None:
            return self._manifest.lock_path, 1
        return self._manifest.path, self._manifest.line_of("assets", item.name)

    def _summarise(self, rows: Sequence[Sequence[str]], header: Sequence[str], closing: str) -> None:
        if "GITHUB_STEP_SUMMARY" in os.environ:
            github_actions.append_summary(github_actions.markdown_table(header, rows, closing), os.environ)


def _tasks(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _some(items: Sequence[PlanItem], *, paths: bool = False) -> str:
    """The first few, by name."""
    names = [str(item.path) if paths else item.label for item in items]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
