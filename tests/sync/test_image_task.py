"""Generating and fetching one image: it is paid for once, by any machine, whatever happens to its tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import png
from support.machine import KEY_ID, SERVICE, Machine, NewMachine, Outcome
from support.raw import accepted, answer, success
from support.starting import StartRaw
from support.starting import StartSandbox as Start

from seedream_cli.errors import ExitCode, ImageRefused, StillPending, TaskFailed, UsageError
from seedream_cli.events import Notice
from seedream_cli.models import TaskStatus
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sync.assets import Image
from seedream_cli.sync.image_task import FETCHED, GENERATED, RESUMED, history_lookup
from seedream_cli.sync.lockfile import Entry
from seedream_cli.sync.manifest import load_manifest
from seedream_cli.sync.plan_items import Action

DAY = 86400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(start_sandbox: Start, clock: Clock) -> Start:
    """Start a sandbox on the clock of the test. Keywords as for Sandbox."""

    def start(**options: Any) -> Sandbox:
        return start_sandbox(**{"clock": clock, "rate": 0, "seconds": 5.0, **options})

    return start


@pytest.fixture
def new_machine(new_machine: NewMachine, clock: Clock) -> NewMachine:
    """Set up machines on the clock of the test."""
    return partial(new_machine, clock=clock)


Missing = Callable[..., tuple[Sandbox, Machine, Entry]]
Unanswered = Callable[..., tuple[Sandbox, Machine]]


def image_of(machine: Machine) -> Image:
    [image] = load_manifest(machine.manifest).images()
    return image


def sent_keys(sandbox: Sandbox) -> list[str]:
    """Return the idempotency keys of all create requests, in order."""
    return [request.headers["idempotency-key"] for request in sandbox.requests if request.method == "POST"]


def statuses(machine: Machine) -> Counter[str]:
    return Counter(operation.status for operation in machine.history.recent(SERVICE, limit=99))


def notices(outcome: Outcome) -> list[str]:
    return [event.text for event in outcome.events if isinstance(event, Notice)]


def entry_of(machine: Machine, outcome: Outcome) -> Entry:
    """Return the lockfile entry of a saved image."""
    [item] = [item for item in machine.plan().items if item.image is not None]
    return item.saved_entry(
        path=outcome.result.path,
        sha256=outcome.result.file.sha256,
        task_id=outcome.result.operation.task_id,
        time="2026-11-22T17:45:01Z",
    )


def test_generate_uses_idempotency_key_of_request(start: Start, new_machine: NewMachine) -> None:
    sandbox = start()
    machine = new_machine(sandbox)
    outcome = machine.get_image()
    assert (outcome.result.how, outcome.result.path, outcome.result.cost) == (GENERATED, "hero.png", "0.035")
    assert (machine.folder / "hero.png").read_bytes() == png()
    assert sent_keys(sandbox) == [image_of(machine).idempotency_key()]
    [operation] = machine.history.find_by_idempotency_key(SERVICE, image_of(machine).idempotency_key())
    assert operation == outcome.result.operation
    assert (operation.is_done, operation.key_id) == (True, KEY_ID)


def test_generate_saves_first_of_several_results(start_raw: StartRaw, new_machine: NewMachine) -> None:
    image = start_raw(answer(200, png()))
    done = success({"status": "completed", "result": [f"{image.origin}/1", f"{image.origin}/2"]})
    machine = new_machine(start_raw(accepted(), done), clock=None)
    outcome = machine.get_image()
    assert "task_1" in notices(outcome)[0]
    assert (machine.folder / "hero.png").read_bytes() == png()


class TestResume:
    """Tasks that an earlier run has created."""

    def test_resume_task_known_to_history(self, start: Start, new_machine: NewMachine) -> None:
        sandbox = start()
        machine = new_machine(sandbox)
        # Times out right after the create request.
        assert isinstance(
            machine.get_image(
                machine.plan().items[0], machine.sync_context(machine.task_context(timeout=0.0))
            ).error,
            StillPending,
        )
        sandbox.requests.clear()
        outcome = machine.get_image()
        assert (outcome.result.how, outcome.result.cost) == (RESUMED, None)
        assert sent_keys(sandbox) == []
        assert sandbox.task_count() == 1

    def test_resume_task_of_another_machine_by_idempotency_key(
        self, start: Start, new_machine: NewMachine
    ) -> None:
        """Resume as a CI job does that is repeated after a crash. The spending cap does not count it."""
        sandbox = start()
        first = new_machine(sandbox).get_image()
        machine = new_machine(sandbox)
        context = machine.sync_context(max_tasks=1)
        second = machine.get_image(context=context)
        assert (second.result.how, second.result.cost) == (RESUMED, None)
        assert second.result.operation.task_id == first.result.operation.task_id
        assert sandbox.task_count() == 1
        machine.write('[assets.hero]\nprompt = "another"\n')
        (machine.folder / "hero.png").unlink()
        assert machine.get_image(context=context).error is None
        assert sandbox.task_count() == 2

    def test_resume_unanswered_create_request(
        self, start: Start, new_machine: NewMachine, clock: Clock
    ) -> None:
        sandbox = start(faults=["submit-drop=5"], url_seconds=30 * DAY)
        machine = new_machine(sandbox)
        assert machine.get_image().error is not None
        clock.time += 6.9 * DAY
        assert machine.get_image().error is None
        assert sandbox.task_count() == len(set(sent_keys(sandbox))) == 1
        # No second operation was recorded.
        assert statuses(machine) == {"completed": 1}

    def test_resume_prefers_operation_with_task(
        self, start: Start, new_machine: NewMachine, clock: Clock
    ) -> None:
        """Another run may have recorded an unanswered create request with the same key."""
        sandbox = start()
        machine = new_machine(sandbox)
        outcome = machine.get_image()
        answered = outcome.result.operation
        other = replace(answered, id="op_other", created=clock.time + 60, task_id=None, files=(), results=())
        machine.history.record(replace(other, status=TaskStatus.UNANSWERED))
        (machine.folder / "hero.png").unlink()
        sandbox.requests.clear()
        again = machine.get_image()
        assert again.result.operation.id == answered.id
        assert sent_keys(sandbox) == []


class TestFailedTask:
    @pytest.mark.parametrize("word", ["failed", "cancelled", "rejected"])
    def test_failed_task_is_replaced_by_next_run(
        self, start: Start, new_machine: NewMachine, word: str
    ) -> None:
        sandbox = start(faults=[f"task-{word}=1"])
        machine = new_machine(sandbox)
        # A run never pays twice for one image.
        assert isinstance(machine.get_image().error, TaskFailed)
        assert sandbox.task_count() == 1
        outcome = machine.get_image()
        assert outcome.result.how == GENERATED
        image = image_of(machine)
        assert sent_keys(sandbox) == [image.idempotency_key(0), image.idempotency_key(1)]
        # The history records the reason.
        [left_behind] = machine.history.find_by_idempotency_key(SERVICE, image.idempotency_key(0))
        assert left_behind.status == word
        assert left_behind.error_message
        assert statuses(machine) == {word: 1, "completed": 1}

    def test_failed_task_of_another_machine_is_replaced_at_once(
        self, start: Start, new_machine: NewMachine
    ) -> None:
        sandbox = start(faults=["task-failed=1"])
        new_machine(sandbox).get_image()
        machine = new_machine(sandbox)
        outcome = machine.get_image(max_tasks=1)
        assert outcome.result.how == GENERATED
        assert statuses(machine) == {"failed": 1, "completed": 1}
        assert notices(outcome)
        assert sandbox.task_count() == 2

    def test_failed_tasks_are_replaced_one_per_run(self, start: Start, new_machine: NewMachine) -> None:
        sandbox = start(faults=["task-failed=3"])
        machine = new_machine(sandbox)
        for tasks in (1, 2, 3):
            assert isinstance(machine.get_image().error, TaskFailed)
            assert sandbox.task_count() == tasks
        assert machine.get_image().error is None
        assert sent_keys(sandbox) == [image_of(machine).idempotency_key(attempt) for attempt in range(4)]


class TestDeadResult:
    """Tasks whose result URLs no longer deliver the image."""

    @pytest.mark.parametrize("status", [404, 410])
    def test_dead_result_is_replaced_by_next_run(
        self, start: Start, new_machine: NewMachine, status: int
    ) -> None:
        # Each run tries twice, the second time with a fresh URL.
        sandbox = start(faults=[f"image-{status}=4"])
        machine = new_machine(sandbox)
        assert isinstance(machine.get_image().error, ImageRefused)
        assert sandbox.task_count() == 1, "the task is this run's own"
        outcome = machine.get_image()
        assert (outcome.result.how, sandbox.task_count()) == (GENERATED, 2)
        [left_behind] = machine.history.find_by_idempotency_key(SERVICE, image_of(machine).idempotency_key(0))
        assert (left_behind.status, left_behind.error_code) == (TaskStatus.GONE, "image_refused")
        assert str(status) in (left_behind.error_message or "")
        assert len(notices(outcome)) == 1
        # The next run resumes the new task.
        (machine.folder / "hero.png").unlink()
        sandbox.requests.clear()
        again = machine.get_image()
        assert (again.result.how, sent_keys(sandbox), sandbox.task_count()) == (RESUMED, [], 2)

    @pytest.mark.parametrize(("fault", "runs"), [("image-410=2", 1), ("image-503=10", 2)])
    def test_dead_result_is_not_replaced_after_temporary_error(
        self, start: Start, new_machine: NewMachine, clock: Clock, fault: str, runs: int
    ) -> None:
        sandbox = start(faults=[fault], url_seconds=30 * DAY)
        machine = new_machine(sandbox)
        for _ in range(runs):
            assert isinstance(machine.get_image().error, ImageRefused)
            # The age of the task makes no difference.
            clock.time += 2 * DAY
        assert machine.get_image().error is None
        assert sandbox.task_count() == 1

    @pytest.mark.parametrize("other_machine", [False, True])
    @pytest.mark.parametrize(("days", "tasks"), [(0.9, 1), (2.0, 2)])
    def test_dead_result_403_is_replaced_only_after_urls_have_expired(
        self,
        start: Start,
        new_machine: NewMachine,
        clock: Clock,
        days: float,
        tasks: int,
        other_machine: bool,
    ) -> None:
        """Before that, a proxy or firewall is the likely cause: paying again would not help."""
        sandbox = start(faults=["image-403=4" if other_machine or tasks == 1 else "image-403=2"])
        machine = new_machine(sandbox)
        machine.get_image()
        clock.time += days * DAY
        # A machine that does not know the task gets its age from the service.
        machine = new_machine(sandbox) if other_machine else machine
        outcome = machine.get_image()
        assert isinstance(outcome.error, ImageRefused) is (tasks == 1)
        assert sandbox.task_count() == tasks
        assert statuses(machine) == {"completed": 1, **({"gone": 1} if tasks == 2 else {})}

    def test_dead_result_is_replaced_only_within_spending_cap(
        self, start: Start, new_machine: NewMachine, clock: Clock
    ) -> None:
        sandbox = start()
        first = new_machine(sandbox)
        first.get_image()
        (first.folder / "hero.png").unlink()
        clock.time += 2 * DAY
        refused = first.get_image(max_tasks=0).error
        assert isinstance(refused, UsageError)
        assert (refused.code, sandbox.task_count()) == ("spending_cap", 1)
        machine = new_machine(sandbox)
        assert (machine.get_image(max_tasks=1).result.how, sandbox.task_count()) == (GENERATED, 2)
        assert statuses(machine) == {"gone": 1, "completed": 1}


class TestFetch:
    @pytest.fixture
    def missing(self, start: Start, new_machine: NewMachine) -> Missing:
        """Set up a machine with a lockfile entry but no file, by default another than the one that paid.

        Keywords are those of the sandbox from then on.
        """

        def missing(*, other_machine: bool = True, **options: Any) -> tuple[Sandbox, Machine, Entry]:
            sandbox = start()
            machine = new_machine(sandbox)
            entry = entry_of(machine, machine.get_image())
            if other_machine:
                machine = new_machine(sandbox)
            else:
                (machine.folder / "hero.png").unlink()
            machine.write_lockfile(entry)
            # The new sandbox has the tasks of the first.
            sandbox = start(**options)
            machine.base_url = sandbox.base_url
            return sandbox, machine, entry

        return missing

    def test_fetch_costs_nothing(self, missing: Missing) -> None:
        sandbox, machine, entry = missing()
        outcome = machine.get_image(max_tasks=0)
        assert (outcome.result.how, outcome.result.cost) == (FETCHED, None)
        assert outcome.result.operation.task_id == entry.task_id
        assert sent_keys(sandbox) == []
        assert entry_of(machine, outcome).sha256 == entry.sha256
        found = machine.history.find(SERVICE, entry.task_id or "")
        assert found is not None
        assert [file.path for file in found.files] == [str(machine.folder / "hero.png")]

    @pytest.mark.parametrize("other_machine", [True, False])
    @pytest.mark.parametrize("gone", ["status-404=1", "image-404=2", "image-410=2"])
    def test_fetch_generates_if_task_is_dead(self, missing: Missing, gone: str, other_machine: bool) -> None:
        sandbox, machine, entry = missing(other_machine=other_machine, faults=[gone])
        outcome = machine.get_image(max_tasks=1)
        assert outcome.result.how == GENERATED
        assert outcome.result.operation.task_id != entry.task_id
        assert sandbox.task_count() == 2
        assert sent_keys(sandbox)[-1] == image_of(machine).idempotency_key(1)
        # The history records the reason, and no task is left pending.
        left_behind = machine.history.find(SERVICE, entry.task_id or "")
        assert left_behind is not None
        assert (left_behind.status, bool(left_behind.error_message)) == (TaskStatus.GONE, True)
        assert machine.history.pending(SERVICE) == []
        assert len(notices(outcome)) == 1

    @pytest.mark.parametrize(
        ("fault", "max_tasks"),
        [
            pytest.param("status-404", 0, id="spending cap reached"),
            # With the wrong key the API does not say whether the task exists.
            pytest.param("status-401", None, id="key of another account"),
        ],
    )
    def test_fetch_does_not_generate(self, missing: Missing, fault: str, max_tasks: int | None) -> None:
        sandbox, machine, _ = missing(faults=[fault])
        assert machine.get_image(max_tasks=max_tasks).error is not None
        assert sent_keys(sandbox) == []

    @pytest.mark.parametrize(("days", "tasks"), [(0.9, 1), (2.0, 2)])
    def test_fetch_403_generates_only_after_urls_have_expired(
        self, missing: Missing, clock: Clock, days: float, tasks: int
    ) -> None:
        sandbox, machine, _ = missing(other_machine=False, faults=["image-403=2"])
        clock.time += days * DAY
        machine.get_image()
        assert sandbox.task_count() == tasks

    def test_fetch_generates_with_first_key_weeks_later(self, missing: Missing, clock: Clock) -> None:
        # The service keeps keys for 7 days and URLs for one: by then nothing is left of the first task.
        sandbox, machine, _ = missing()
        clock.time += 30 * DAY
        assert machine.get_image().error is None
        assert sent_keys(sandbox) == [image_of(machine).idempotency_key(0)]
        assert sandbox.task_count() == 2


class TestUnansweredCreate:
    @pytest.fixture
    def unanswered(self, start: Start, new_machine: NewMachine) -> Unanswered:
        """Set up a machine whose create request got no response. Keywords override the operation's fields."""

        def unanswered(**values: Any) -> tuple[Sandbox, Machine]:
            lost = start(faults=["submit-drop"])
            machine = new_machine(lost)
            assert machine.get_image().error is not None
            [operation] = machine.history.recent(SERVICE, limit=9)
            assert operation.task_id is None
            machine.history.record(replace(operation, **values))
            sandbox = start()
            machine.base_url = sandbox.base_url
            return sandbox, machine

        return unanswered

    @pytest.mark.parametrize(
        ("days", "key", "code"),
        [
            *((days, KEY_ID, "idempotency_expired") for days in (7.0, 400.0, -1.0)),
            (0.0, "another", "other_api_key"),
        ],
    )
    def test_unanswered_create_is_refused_after_key_expiry_or_with_other_api_key(
        self, unanswered: Unanswered, clock: Clock, days: float, key: str, code: str
    ) -> None:
        sandbox, machine = unanswered(key_id=key)
        clock.time += days * DAY
        outcome = machine.get_image()
        assert isinstance(outcome.error, UsageError)
        assert (outcome.error.code, sent_keys(sandbox)) == (code, [])

    @pytest.mark.parametrize("values", [{"created": 0.0}, {"key_id": "another"}])
    def test_unanswered_create_is_replaced_with_force(
        self, unanswered: Unanswered, values: dict[str, Any]
    ) -> None:
        sandbox, machine = unanswered(**values)
        assert machine.get_image(force=True).error is None
        # The first key might return an unrelated old task.
        assert sent_keys(sandbox) == [image_of(machine).idempotency_key(1)]

    def test_rejected_create_is_retried_with_same_key(self, start: Start, new_machine: NewMachine) -> None:
        refusing = start(faults=["submit-402"])
        machine = new_machine(refusing)
        assert machine.get_image().error is not None
        assert statuses(machine) == {"refused": 1}
        sandbox = start()
        machine.base_url = sandbox.base_url
        assert machine.get_image().error is None
        assert sent_keys(sandbox) == [image_of(machine).idempotency_key(0)]
        assert statuses(machine) == {"refused": 1, "completed": 1}


class TestHistoryLookup:
    """Files that a killed run saved before it wrote their lockfile entries."""

    def test_history_lookup_returns_entry_of_latest_task(self, start: Start, new_machine: NewMachine) -> None:
        machine = new_machine(start(faults=["task-failed=1"]))
        machine.get_image()
        outcome = machine.get_image()
        [item] = machine.plan().items
        assert (item.state, item.action) == ("new", Action.RECORD)
        assert item.entry is not None
        task, digest = outcome.result.operation.task_id, outcome.result.file.sha256
        assert (item.entry.path, item.entry.sha256, item.entry.task_id) == ("hero.png", digest, task)
        (machine.folder / "hero.png").write_bytes(png(shade=9))
        [item] = machine.plan().items
        assert (item.state, item.action) == ("edited", Action.NOTHING)

    def test_history_lookup_finds_copies(self, start: Start, new_machine: NewMachine) -> None:
        # For two images with the same request, the history has only the file of the first.
        machine = new_machine(start(), '[assets.a]\nprompt = "fox"\n[assets.b]\nprompt = "fox"\n')
        first, _ = machine.plan().with_action(Action.GENERATE)
        assert machine.get_image(first).error is None
        (machine.folder / "b.png").write_bytes((machine.folder / "a.png").read_bytes())
        items = machine.plan().items
        assert [item.action for item in items] == [Action.RECORD, Action.RECORD]
        assert [item.entry.path for item in items if item.entry] == ["a.png", "b.png"]

    def test_history_lookup_marks_sandbox_images(self, start: Start, new_machine: NewMachine) -> None:
        machine = new_machine(start())
        find_entry = history_lookup(machine.history, SERVICE, machine.folder, sandbox=True)
        assert find_entry(image_of(machine)) is None, "the request was never sent"
        machine.get_image()
        entry = find_entry(image_of(machine))
        assert entry is not None
        assert entry.is_trial


def test_unusable_history_sends_no_request(start: Start, new_machine: NewMachine) -> None:
    sandbox = start()
    machine = new_machine(sandbox)
    context = machine.sync_context()
    [item] = machine.plan().items
    machine.history.close()
    outcome = machine.get_image(item, context)
    assert outcome.error is not None
    assert outcome.error.exit_code == ExitCode.NOT_SAVED
    assert sandbox.requests == []
