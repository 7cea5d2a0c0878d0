"""A plan carried out by several workers: each image lands by itself, and what one of them meets is all's."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from support import network_faults as line
from support.raw import Exchange as AtServer
from support.raw import RawServer
from support.service import IMAGE, SUBMIT, FaultRule, Honest, Service
from support.starting import StartSandbox
from sync.workshop import Workshop, executed

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
from seedream_cli.sync import lockfile as lock
from seedream_cli.sync.executor import Told
from seedream_cli.sync.lockfile import Entry, Key
from seedream_cli.sync.lockfile_writer import LockfileWriter
from seedream_cli.sync.plan_items import PlanItem
from seedream_cli.sync.project_files import Project
from seedream_cli.tasks.rate_limiter import RateLimiter


@pytest.fixture
def shop_at(tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """A project at a service, with this manifest."""
    with ExitStack() as opened:

        def shop_at(base_url: str, text: str) -> Workshop:
            shop = opened.enter_context(Workshop(tmp_path / "machine", base_url))
            shop.write(text)
            return shop

        yield shop_at


ShopAt = Callable[..., Workshop]


def assets(*names: str, more: str = "") -> str:
    """A manifest in which each asset asks for something else."""
    return "".join(f'[assets.{name}]\nprompt = "a {name}"\n{more}\n' for name in names)


#: Three that ask for the same.
EQUAL = "".join(f'[assets.{name}]\nprompt = "fox"\n' for name in "abc")


def landed(told: list[Told]) -> dict[str, str]:
    """What was done about each image that came."""
    return {one.label: one.done for one in told if isinstance(one, ImageDone)}


def fallen(told: list[Told]) -> dict[str, SeedreamError]:
    return {one.label: one.error for one in told if isinstance(one, ImageFailed)}


def agrees(shop: Workshop) -> bool:
    """Whether every line of the lock has its file, with its bytes."""
    return all(
        hashlib.sha256((shop.folder / entry.path).read_bytes()).hexdigest() == entry.sha256
        for entry in shop.entries()
    )


def hidden(shop: Workshop) -> list[Path]:
    return list(shop.folder.rglob(".*"))


Alive = Callable[[], list[threading.Thread]]


@pytest.fixture
def alive() -> Alive:
    """Return what tells the workers that are at work, without those that an earlier test left behind."""
    before = set(threading.enumerate())

    def at_work() -> list[threading.Thread]:
        started = set(threading.enumerate()) - before
        return [thread for thread in started if thread.name.startswith("worker-")]

    return at_work


def test_every_image_has_its_line_before_it_is_told(shop_at: ShopAt, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(seconds=0, rate=0)
    names = [f"n{number}" for number in range(8)]
    shop = shop_at(sandbox.base_url, assets(*names))
    told: list[Told] = []

    def check(one: Told) -> None:
        told.append(one)
        if isinstance(one, ImageDone):
            assert one.label in {entry.name for entry in shop.entries()}
            assert agrees(shop)

    shop.run(jobs=3, on_event=check).execute()
    assert landed(told) == dict.fromkeys(names, "generated")
    assert [entry.name for entry in shop.entries()] == names
    assert hidden(shop) == []
    assert sandbox.task_count() == 8
    assert not shop.plan().drift


def test_an_image_is_in_the_lock_at_once_and_a_stop_keeps_it(shop_at: ShopAt, service: Service) -> None:
    service.fault_rules.append(FaultRule(IMAGE, line.hang_midway, first=2))
    shop = shop_at(service.base_url, assets("a", "b", "c", "d"))

    def stop(one: Told) -> None:
        if isinstance(one, ImageDone):
            assert [entry.name for entry in shop.entries()] == [one.label]
            raise Stopped

    with pytest.raises(Stopped):
        shop.run(jobs=2, on_event=stop).execute()
    assert hidden(shop) == []
    assert len(shop.entries()) == 1
    assert agrees(shop)


def test_equal_requests_fall_short_together_and_pay_once(shop_at: ShopAt, service: Service) -> None:
    service.ends_as = {"status": "failed", "result": [], "error_message": "no capacity"}
    shop = shop_at(service.base_url, EQUAL)
    told = shop.told()
    assert {label: type(error) for label, error in fallen(told).items()} == dict.fromkeys("abc", TaskFailed)
    assert len(service.tasks) == 1
    # What was paid for is known.
    fell = next(one for one in told if isinstance(one, ImageFailed))
    assert fell.operation is not None
    assert fell.operation.task_id == "task_1"


class SlowProject(Project):
    """Reads a file that is copied from a slow disk: it has half of it when the run is stopped."""

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


def test_a_copy_that_a_signal_ends_leaves_no_file_behind_and_begins_no_other(
    shop_at: ShopAt, service: Service, alive: Alive
) -> None:
    shop = shop_at(service.base_url, EQUAL)
    project = SlowProject(shop.folder)

    def on_event(told: Told) -> None:
        if isinstance(told, ImageDone):
            assert project.reading.wait(20)
            raise Stopped

    with pytest.raises(Stopped):
        shop.run(on_event=on_event, context={"project": project}).execute()
    there = [*hidden(shop), *shop.folder.glob("*.png")]
    project.go_on.set()
    for thread in alive():
        thread.join(1)
    assert there == [*hidden(shop), *shop.folder.glob("*.png")] == [shop.folder / "a.png"]


def test_what_cannot_be_copied_or_moved_does_not_take_others_along(shop_at: ShopAt, service: Service) -> None:
    text = '[assets.a]\nprompt = "fox"\n[assets.b]\nprompt = "fox"\npath = "art/b.png"\n'
    shop = shop_at(service.base_url, text)
    (shop.folder / "art").write_bytes(b"no folder")
    told = shop.told()
    assert landed(told) == {"a": "generated"}
    assert list(fallen(told)) == ["b"]
    shop.write('[assets.a]\nprompt = "fox"\npath = "art/a.png"\n' + assets("c"))
    told = shop.told()
    assert landed(told) == {"c": "generated"}
    assert list(fallen(told)) == ["a"]
    assert agrees(shop)


class FullKeeper(LockfileWriter):
    def change(self, put: Mapping[Key, Entry], drop: Collection[Key] = ()) -> None:
        raise NotSaved("the disk is full")


def test_a_lock_that_cannot_be_written_hides_no_failure_of_an_image(
    shop_at: ShopAt, service: Service, alive: Alive
) -> None:
    shop = shop_at(service.base_url, assets("good", "refused"))
    service.fault_rules.append(FaultRule(SUBMIT, line.refused(400, "invalid_request"), first=2))
    told: list[Told] = []

    def on_event(one: Told) -> None:
        told.append(one)
        # The rest is heard at once.
        for thread in alive():
            thread.join(20)

    run = shop.run(on_event=on_event, jobs=1)
    run.lockfile_writer = FullKeeper(lock.read(shop.lock_file), {})
    with pytest.raises(NotSaved, match="full"):
        run.execute()
    assert list(fallen(told)) == ["refused"]


def test_a_limit_beyond_patience_ends_the_run_and_keeps_what_came(shop_at: ShopAt, service: Service) -> None:
    service.fault_rules.append(FaultRule(SUBMIT, line.rate_limited("3600"), first=2))
    shop = shop_at(service.base_url, assets(*(f"n{number}" for number in range(9))))
    run = shop.run(jobs=1, work={"rate_limiter": RateLimiter()})
    told = executed(run)
    assert landed(told) == {"n0": "generated"}
    errors = fallen(told)
    assert {type(error) for error in errors.values()} == {RateLimited}
    assert len(errors) + run.not_begun == 8
    assert run.not_begun == 5
    # None of them knocked but the first.
    assert service.counts[SUBMIT] == 2


def test_a_service_that_is_out_of_reach_is_not_asked_for_every_image(shop_at: ShopAt) -> None:
    with RawServer([None]) as gone:
        pass
    shop = shop_at(gone.base_url, assets(*(f"n{number:02}" for number in range(20))))
    run = shop.run(jobs=2)
    told = executed(run)
    errors = fallen(told)
    assert all(isinstance(error, Unavailable) for error in errors.values())
    # The one that the other worker had begun by then.
    assert 3 <= len(errors) <= 4
    assert run.not_begun == 20 - len(errors)


def test_images_that_come_in_between_keep_the_run_going(shop_at: ShopAt, service: Service) -> None:
    """Out of reach is what nobody reaches: here, every other image comes."""
    for first in range(1, 60, 6):
        service.fault_rules.append(FaultRule(SUBMIT, line.reset_before, first=first, times=5))
    shop = shop_at(service.base_url, assets(*(f"n{number}" for number in range(8))))
    run = shop.run(jobs=1)
    told = executed(run)
    assert run.not_begun == 0
    assert len(landed(told)) == len(fallen(told)) == 4


def test_a_history_that_another_program_holds_does_not_keep_an_image_from_its_place(
    shop_at: ShopAt, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shop_at(service.base_url, assets("a", "b", "c"))
    monkeypatch.setattr("seedream_cli.history.store._PATIENCE", 0.02)
    with closing(sqlite3.connect(shop.history.path, isolation_level=None, check_same_thread=False)) as other:

        def held(service: Service, exchange: AtServer, honest: Honest) -> None:
            if not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")
            exchange.connection.sendall(honest())

        service.fault_rules.append(FaultRule(IMAGE, held))
        run = shop.run(jobs=1)
        told = executed(run)
    assert landed(told) == {"a": "generated"}
    # What could not be remembered is not paid for.
    assert [type(error) for error in fallen(told).values()] == [HistoryUnusable]
    assert (len(service.tasks), run.not_begun) == (1, 1)
    assert [entry.name for entry in shop.entries()] == ["a"]
    assert agrees(shop)


def test_a_lock_that_is_spoiled_ends_the_run_and_loses_no_image(shop_at: ShopAt, service: Service) -> None:
    """As by a merge in another window. Once that is put right, the next run writes the lines."""
    shop = shop_at(service.base_url, assets("a", "b", "c"))
    in_conflict = b"<<<<<<< ours\n=======\n>>>>>>> theirs\n"

    def spoiled(service: Service, exchange: AtServer, honest: Honest) -> None:
        shop.lock_file.write_bytes(in_conflict)
        exchange.connection.sendall(honest())

    service.fault_rules.append(FaultRule(IMAGE, spoiled, times=1))
    with pytest.raises(SeedreamError, match="conflict") as caught:
        shop.told(jobs=1)
    assert caught.value.exit_code == ExitCode.USAGE
    assert shop.lock_file.read_bytes() == in_conflict
    shop.lock_file.unlink()
    told = shop.told(jobs=1)
    assert landed(told)["a"] == "recorded"
    assert len(service.tasks) == 3
    assert [entry.name for entry in shop.entries()] == ["a", "b", "c"]
    assert agrees(shop)


def test_no_temporary_file_is_left_by_a_hanging_worker(
    shop_at: ShopAt, service: Service, alive: Alive
) -> None:
    service.fault_rules.append(FaultRule(IMAGE, line.hang_midway))
    shop = shop_at(service.base_url, assets("a"))

    def stop(one: Told) -> None:
        if any(part.stat().st_size for part in hidden(shop)):
            raise Stopped

    with pytest.raises(Stopped):
        shop.run(on_event=stop).execute()
    assert hidden(shop) == []
    [worker] = alive()
    service.server.closing.set()
    worker.join(timeout=0.2)
    assert hidden(shop) == []


def test_an_old_file_stays_that_was_edited_meanwhile(shop_at: ShopAt, service: Service) -> None:
    shop = shop_at(service.base_url, assets("a"))
    shop.told()
    shop.write(assets("a", more='path = "art/a.png"').replace("a a", "another"))
    made = shop.plan()
    (shop.folder / "a.png").write_bytes(b"a person's work")
    assert landed(executed(shop.run(made))) == {"a": "generated"}
    assert (shop.folder / "a.png").read_bytes() == b"a person's work"


def test_an_old_file_stays_that_another_line_of_the_lock_has(shop_at: ShopAt, service: Service) -> None:
    """The asset was renamed, and another has got its name: one image's old file is the other's own."""
    shop = shop_at(service.base_url, '[assets.a]\nprompt = "fox"\npath = "one.png"\n')
    shop.told()
    shop.write('[assets.a]\nprompt = "cat"\npath = "two.png"\n[assets.b]\nprompt = "fox"\npath = "one.png"\n')
    assert landed(shop.told()) == {"a": "generated", "b": "recorded"}
    assert {path.name for path in shop.folder.glob("*.png")} == {"one.png", "two.png"}
    assert agrees(shop)
    assert len(service.tasks) == 2


def test_images_of_one_task_are_fetched_again_together(shop_at: ShopAt, service: Service) -> None:
    """What the same request gave is in the same folder, and neither is in the other's way."""
    shop = shop_at(service.base_url, '[assets.b]\nprompt = "fox"\n')
    shop.told()
    (shop.folder / "b.png").unlink()
    # Those that are new are copies of the one that is fetched again.
    shop.write(EQUAL)
    assert landed(shop.told(jobs=4)) == {"a": "copied", "b": "fetched", "c": "copied"}
    assert agrees(shop)
    for name in "abc":
        (shop.folder / f"{name}.png").unlink()
    asked = service.counts[IMAGE]
    told = shop.told(jobs=4)
    assert (fallen(told), set(landed(told))) == ({}, {"a", "b", "c"})
    assert agrees(shop)
    assert service.counts[IMAGE] - asked == 1
    assert len(service.tasks) == 1


def test_two_tasks_of_one_request_give_each_its_own_image_again(shop_at: ShopAt, service: Service) -> None:
    """As where one of them was asked for when the other's key was forgotten."""
    shop = shop_at(service.base_url, assets("a", "b"))
    shop.told()
    before = {entry.path: entry.sha256 for entry in shop.entries()}
    first, second = shop.entries()
    shop.write("".join(f'[assets.{name}]\nprompt = "a a"\n' for name in "ab"))
    shop.write_lock(first, replace(second, digest=first.digest))
    for name in "ab":
        (shop.folder / f"{name}.png").unlink()
    assert landed(shop.told(jobs=4)) == {"a": "fetched", "b": "fetched"}
    assert {entry.path: entry.sha256 for entry in shop.entries()} == before
    assert agrees(shop)
