"""Carrying out a plan with several workers: lockfile entries, errors that stop the run, interruptions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from support import network_faults as line
from support.machine import NewMachine, execute
from support.raw import Exchange, RawServer
from support.service import IMAGE, SUBMIT, FaultRule, Honest, Service
from support.starting import StartSandbox

from seedream_cli.errors import (
    ExitCode,
    HistoryUnusable,
    NotSaved,
    RateLimited,
    SeedreamError,
    Stopped,
    TaskFailed,
    Unavailable,
)
from seedream_cli.events import ImageDone, ImageFailed
from seedream_cli.files.partial_file import PartialFile
from seedream_cli.models import SavedFile
from seedream_cli.sync.executor import SyncEvent
from seedream_cli.sync.lockfile import Entry, Key, read_lockfile
from seedream_cli.sync.lockfile_writer import LockfileWriter
from seedream_cli.sync.plan_items import PlanItem
from seedream_cli.sync.project_files import Project
from seedream_cli.tasks.rate_limiter import RateLimiter


def assets(*names: str, more: str = "") -> str:
    """Return a manifest in which every asset has a different request."""
    return "".join(f'[assets.{name}]\nprompt = "a {name}"\n{more}\n' for name in names)


#: Three assets with the same request.
SAME_REQUEST = "".join(f'[assets.{name}]\nprompt = "fox"\n' for name in "abc")


def done(events: list[SyncEvent]) -> dict[str, str]:
    """Return what was done with each saved image."""
    return {event.label: event.done for event in events if isinstance(event, ImageDone)}


def failed(events: list[SyncEvent]) -> dict[str, SeedreamError]:
    return {event.label: event.error for event in events if isinstance(event, ImageFailed)}


LiveWorkers = Callable[[], list[threading.Thread]]


@pytest.fixture
def live_workers() -> LiveWorkers:
    """Return a function that lists the live worker threads that this test has started."""
    before = set(threading.enumerate())

    def list_workers() -> list[threading.Thread]:
        started = set(threading.enumerate()) - before
        return [thread for thread in started if thread.name.startswith("worker-")]

    return list_workers


def test_execute_writes_lockfile_entry_before_reporting_image(
    new_machine: NewMachine, start_sandbox: StartSandbox
) -> None:
    sandbox = start_sandbox(seconds=0, rate=0)
    names = [f"n{number}" for number in range(8)]
    machine = new_machine(sandbox, assets(*names))
    events: list[SyncEvent] = []

    def check(event: SyncEvent) -> None:
        events.append(event)
        if isinstance(event, ImageDone):
            assert event.label in {entry.name for entry in machine.entries()}
            assert machine.is_consistent()

    machine.executor(jobs=3, on_event=check).execute()
    assert done(events) == dict.fromkeys(names, "generated")
    assert [entry.name for entry in machine.entries()] == names
    assert machine.hidden_files() == []
    assert sandbox.task_count() == 8
    assert not machine.plan().has_drift


def test_execute_keeps_entry_of_saved_image_when_stopped(new_machine: NewMachine, service: Service) -> None:
    service.fault_rules.append(FaultRule(IMAGE, line.hang_midway, first=2))
    machine = new_machine(service, assets("a", "b", "c", "d"))

    def stop(event: SyncEvent) -> None:
        if isinstance(event, ImageDone):
            assert [entry.name for entry in machine.entries()] == [event.label]
            raise Stopped

    with pytest.raises(Stopped):
        machine.executor(jobs=2, on_event=stop).execute()
    assert machine.hidden_files() == []
    assert len(machine.entries()) == 1
    assert machine.is_consistent()


def test_same_requests_fail_together_and_pay_once(new_machine: NewMachine, service: Service) -> None:
    service.ends_as = {"status": "failed", "result": [], "error_message": "no capacity"}
    machine = new_machine(service, SAME_REQUEST)
    events = machine.sync()
    assert {label: type(error) for label, error in failed(events).items()} == dict.fromkeys("abc", TaskFailed)
    assert len(service.tasks) == 1
    # The error names the task that was paid for.
    failure = next(event for event in events if isinstance(event, ImageFailed))
    assert failure.operation is not None
    assert failure.operation.task_id == "task_1"


class SlowProject(Project):
    """Copies slowly: half of the file is written when the run is stopped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reading, self.go_on = threading.Event(), threading.Event()

    def copy(self, file: SavedFile, item: PlanItem, part: PartialFile) -> tuple[str, SavedFile]:
        write = part.write

        def slowly(chunk: bytes) -> None:
            write(chunk[: len(chunk) // 2])
            self.reading.set()
            assert self.go_on.wait(20)
            write(chunk[len(chunk) // 2 :])

        part.write = slowly  # type: ignore[method-assign]
        return super().copy(file, item, part)


def test_stop_during_copy_leaves_no_partial_file(
    new_machine: NewMachine, service: Service, live_workers: LiveWorkers
) -> None:
    machine = new_machine(service, SAME_REQUEST)
    project = SlowProject(machine.folder)

    def on_event(event: SyncEvent) -> None:
        if isinstance(event, ImageDone):
            assert project.reading.wait(20)
            raise Stopped

    with pytest.raises(Stopped):
        machine.executor(on_event=on_event, context={"project": project}).execute()
    there = [*machine.hidden_files(), *machine.folder.glob("*.png")]
    project.go_on.set()
    for thread in live_workers():
        thread.join(1)
    assert there == [*machine.hidden_files(), *machine.folder.glob("*.png")] == [machine.folder / "a.png"]


def test_failed_copy_or_move_does_not_stop_other_images(new_machine: NewMachine, service: Service) -> None:
    text = '[assets.a]\nprompt = "fox"\n[assets.b]\nprompt = "fox"\npath = "art/b.png"\n'
    machine = new_machine(service, text)
    (machine.folder / "art").write_bytes(b"no folder")
    events = machine.sync()
    assert done(events) == {"a": "generated"}
    assert list(failed(events)) == ["b"]
    machine.write('[assets.a]\nprompt = "fox"\npath = "art/a.png"\n' + assets("c"))
    events = machine.sync()
    assert done(events) == {"c": "generated"}
    assert list(failed(events)) == ["a"]
    assert machine.is_consistent()


class FullDiskWriter(LockfileWriter):
    def update(self, put: Mapping[Key, Entry], drop: Collection[Key] = ()) -> None:
        raise NotSaved("the disk is full")


def test_unwritable_lockfile_does_not_hide_failed_images(
    new_machine: NewMachine, service: Service, live_workers: LiveWorkers
) -> None:
    machine = new_machine(service, assets("good", "refused"))
    service.fault_rules.append(FaultRule(SUBMIT, line.refused(400, "invalid_request"), first=2))
    events: list[SyncEvent] = []

    def on_event(event: SyncEvent) -> None:
        events.append(event)
        # All remaining messages are then drained together.
        for thread in live_workers():
            thread.join(20)

    executor = machine.executor(on_event=on_event, jobs=1)
    executor.lockfile_writer = FullDiskWriter(read_lockfile(machine.lock_file), {})
    with pytest.raises(NotSaved, match="full"):
        executor.execute()
    assert list(failed(events)) == ["refused"]


def test_long_rate_limit_stops_run_and_keeps_images(new_machine: NewMachine, service: Service) -> None:
    service.fault_rules.append(FaultRule(SUBMIT, line.rate_limited("3600"), first=2))
    machine = new_machine(service, assets(*(f"n{number}" for number in range(9))))
    executor = machine.executor(jobs=1, tasks={"rate_limiter": RateLimiter()})
    events = execute(executor)
    assert done(events) == {"n0": "generated"}
    errors = failed(events)
    assert {type(error) for error in errors.values()} == {RateLimited}
    assert len(errors) + executor.not_begun == 8
    assert executor.not_begun == 5
    # Only the first of them sent a request.
    assert service.counts[SUBMIT] == 2


def test_unreachable_service_stops_run_early(new_machine: NewMachine) -> None:
    with RawServer([None]) as gone:
        pass
    machine = new_machine(gone, assets(*(f"n{number:02}" for number in range(20))))
    executor = machine.executor(jobs=2)
    events = execute(executor)
    errors = failed(events)
    assert all(isinstance(error, Unavailable) for error in errors.values())
    # The other worker may have started one more.
    assert 3 <= len(errors) <= 4
    assert executor.not_begun == 20 - len(errors)


def test_unreachable_count_is_reset_by_success(new_machine: NewMachine, service: Service) -> None:
    # Every other image succeeds.
    for first in range(1, 60, 6):
        service.fault_rules.append(FaultRule(SUBMIT, line.reset_before, first=first, times=5))
    machine = new_machine(service, assets(*(f"n{number}" for number in range(8))))
    executor = machine.executor(jobs=1)
    events = execute(executor)
    assert executor.not_begun == 0
    assert len(done(events)) == len(failed(events)) == 4


def test_locked_history_stops_run_but_saves_paid_image(
    new_machine: NewMachine, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = new_machine(service, assets("a", "b", "c"))
    monkeypatch.setattr("seedream_cli.history.store._BUSY_TIMEOUT", 0.02)
    with closing(
        sqlite3.connect(machine.history.path, isolation_level=None, check_same_thread=False)
    ) as other:

        def lock_history(service: Service, exchange: Exchange, honest: Honest) -> None:
            if not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")
            exchange.connection.sendall(honest())

        service.fault_rules.append(FaultRule(IMAGE, lock_history))
        executor = machine.executor(jobs=1)
        events = execute(executor)
    assert done(events) == {"a": "generated"}
    # Nothing is paid for that cannot be recorded.
    assert [type(error) for error in failed(events).values()] == [HistoryUnusable]
    assert (len(service.tasks), executor.not_begun) == (1, 1)
    assert [entry.name for entry in machine.entries()] == ["a"]
    assert machine.is_consistent()


def test_lockfile_with_merge_conflict_stops_run_and_loses_no_image(
    new_machine: NewMachine, service: Service
) -> None:
    """Write the conflict during the run. Once it is resolved, the next run writes the entries."""
    machine = new_machine(service, assets("a", "b", "c"))
    in_conflict = b"<<<<<<< ours\n=======\n>>>>>>> theirs\n"

    def write_conflict(service: Service, exchange: Exchange, honest: Honest) -> None:
        machine.lock_file.write_bytes(in_conflict)
        exchange.connection.sendall(honest())

    service.fault_rules.append(FaultRule(IMAGE, write_conflict, times=1))
    with pytest.raises(SeedreamError, match="conflict") as caught:
        machine.sync(jobs=1)
    assert caught.value.exit_code == ExitCode.USAGE
    assert machine.lock_file.read_bytes() == in_conflict
    machine.lock_file.unlink()
    events = machine.sync(jobs=1)
    assert done(events)["a"] == "recorded"
    assert len(service.tasks) == 3
    assert [entry.name for entry in machine.entries()] == ["a", "b", "c"]
    assert machine.is_consistent()


def test_stop_removes_partial_file_of_hanging_worker(
    new_machine: NewMachine, service: Service, live_workers: LiveWorkers
) -> None:
    service.fault_rules.append(FaultRule(IMAGE, line.hang_midway))
    machine = new_machine(service, assets("a"))

    def stop(event: SyncEvent) -> None:
        if any(part.stat().st_size for part in machine.hidden_files()):
            raise Stopped

    with pytest.raises(Stopped):
        machine.executor(on_event=stop).execute()
    assert machine.hidden_files() == []
    [worker] = live_workers()
    service.server.closing.set()
    worker.join(timeout=0.2)
    assert machine.hidden_files() == []


def test_old_file_is_kept_if_edited_during_run(new_machine: NewMachine, service: Service) -> None:
    machine = new_machine(service, assets("a"))
    machine.sync()
    machine.write(assets("a", more='path = "art/a.png"').replace("a a", "another"))
    plan = machine.plan()
    (machine.folder / "a.png").write_bytes(b"a person's work")
    assert done(execute(machine.executor(plan))) == {"a": "generated"}
    assert (machine.folder / "a.png").read_bytes() == b"a person's work"


def test_old_file_is_kept_if_another_entry_has_its_path(new_machine: NewMachine, service: Service) -> None:
    """Rename an asset and give its name to another: the old file of one is the file of the other."""
    machine = new_machine(service, '[assets.a]\nprompt = "fox"\npath = "one.png"\n')
    machine.sync()
    machine.write(
        '[assets.a]\nprompt = "cat"\npath = "two.png"\n[assets.b]\nprompt = "fox"\npath = "one.png"\n'
    )
    assert done(machine.sync()) == {"a": "generated", "b": "recorded"}
    assert {path.name for path in machine.folder.glob("*.png")} == {"one.png", "two.png"}
    assert machine.is_consistent()
    assert len(service.tasks) == 2


def test_images_of_one_task_are_fetched_with_one_download(new_machine: NewMachine, service: Service) -> None:
    machine = new_machine(service, '[assets.b]\nprompt = "fox"\n')
    machine.sync()
    (machine.folder / "b.png").unlink()
    # The new images are copies of the fetched one.
    machine.write(SAME_REQUEST)
    assert done(machine.sync(jobs=4)) == {"a": "copied", "b": "fetched", "c": "copied"}
    assert machine.is_consistent()
    for name in "abc":
        (machine.folder / f"{name}.png").unlink()
    asked = service.counts[IMAGE]
    events = machine.sync(jobs=4)
    assert (failed(events), set(done(events))) == ({}, {"a", "b", "c"})
    assert machine.is_consistent()
    assert service.counts[IMAGE] - asked == 1
    assert len(service.tasks) == 1


def test_tasks_with_same_request_are_fetched_separately(new_machine: NewMachine, service: Service) -> None:
    # The service forgets idempotency keys, so that one request can have two tasks.
    machine = new_machine(service, assets("a", "b"))
    machine.sync()
    before = {entry.path: entry.sha256 for entry in machine.entries()}
    first, second = machine.entries()
    machine.write("".join(f'[assets.{name}]\nprompt = "a a"\n' for name in "ab"))
    machine.write_lockfile(first, replace(second, digest=first.digest))
    for name in "ab":
        (machine.folder / f"{name}.png").unlink()
    assert done(machine.sync(jobs=4)) == {"a": "fetched", "b": "fetched"}
    assert {entry.path: entry.sha256 for entry in machine.entries()} == before
    assert machine.is_consistent()
