"""One image of a set: paid for once, whatever became of its tasks, on this machine or another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import png
from support.raw import accepted, answer, success
from support.starting import StartRaw
from support.starting import StartSandbox as Start
from sync.workshop import KEY_ID, SERVICE, Played, Workshop

from seedream_cli.errors import ExitCode, ImageRefused, StillPending, TaskFailed, UsageError
from seedream_cli.events import Notice
from seedream_cli.models import TaskStatus
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sync.assets import Image
from seedream_cli.sync.image_task import FETCHED, GENERATED, RESUMED, remembered
from seedream_cli.sync.lockfile import Entry
from seedream_cli.sync.manifest import load
from seedream_cli.sync.plan_items import Action

DAY = 86400.0
ONE = '[assets.hero]\nprompt = "fox"\n'


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(start_sandbox: Start, clock: Clock) -> Start:
    """A service on the clock of the test; keywords as for Sandbox."""

    def start(**options: Any) -> Sandbox:
        return start_sandbox(**{"clock": clock, "rate": 0, "seconds": 5.0, **options})

    return start


@pytest.fixture
def machine(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Workshop]]:
    """Machines on which the project is checked out, each with a history of its own."""
    with ExitStack() as machines:
        count = 0

        def machine(sandbox: Sandbox, text: str = ONE) -> Workshop:
            nonlocal count
            count += 1
            made = Workshop(tmp_path / f"machine-{count}", sandbox.base_url, clock=clock)
            machines.enter_context(made)
            made.write(text)
            return made

        yield machine


Machine = Callable[..., Workshop]
Missing = Callable[..., tuple[Sandbox, Workshop, Entry]]
Unanswered = Callable[..., tuple[Sandbox, Workshop]]


def image_of(shop: Workshop) -> Image:
    [image] = load(shop.manifest).images()
    return image


def keys(sandbox: Sandbox) -> list[str]:
    """The idempotency key of every create, as they arrived."""
    return [one.headers["idempotency-key"] for one in sandbox.requests if one.method == "POST"]


def statuses(shop: Workshop) -> Counter[str]:
    return Counter(one.status for one in shop.history.recent(SERVICE, limit=99))


def notices(lived: Played) -> list[str]:
    return [event.text for event in lived.events if isinstance(event, Notice)]


def line_of(shop: Workshop, lived: Played) -> Entry:
    """The lock's line of an image that came."""
    [item] = [item for item in shop.plan().items if item.image is not None]
    return item.saved_entry(
        path=lived.came.path,
        sha256=lived.came.file.sha256,
        task_id=lived.came.operation.task_id,
        time="2026-11-22T17:45:01Z",
    )


def test_a_new_image_is_asked_for_with_the_key_of_its_request(start: Start, machine: Machine) -> None:
    sandbox = start()
    shop = machine(sandbox)
    lived = shop.live()
    assert (lived.came.how, lived.came.path, lived.came.cost) == (GENERATED, "hero.png", "0.035")
    assert (shop.folder / "hero.png").read_bytes() == png()
    assert keys(sandbox) == [image_of(shop).idempotency_key()]
    [operation] = shop.history.find_by_idempotency_key(SERVICE, image_of(shop).idempotency_key())
    assert operation == lived.came.operation
    assert (operation.is_done, operation.key_id) == (True, KEY_ID)


def test_one_image_is_taken_of_a_task_that_gives_several(start_raw: StartRaw, tmp_path: Path) -> None:
    image = start_raw(answer(200, png()))
    done = success({"status": "completed", "result": [f"{image.origin}/1", f"{image.origin}/2"]})
    with Workshop(tmp_path / "machine", start_raw(accepted(), done).base_url, clock=None) as shop:
        shop.write(ONE)
        lived = shop.live()
    assert "task_1" in notices(lived)[0]
    assert (shop.folder / "hero.png").read_bytes() == png()


class TestATaskOfAnEarlierRun:
    """Whoever comes later takes the task that is there."""

    def test_is_taken_up_where_this_machine_knows_it(self, start: Start, machine: Machine) -> None:
        sandbox = start()
        shop = machine(sandbox)
        # The run before was killed behind the answer.
        assert isinstance(
            shop.live(shop.plan().items[0], shop.context(shop.work(timeout=0.0))).error, StillPending
        )
        sandbox.requests.clear()
        lived = shop.live()
        assert (lived.came.how, lived.came.cost) == (RESUMED, None)
        assert keys(sandbox) == []
        assert sandbox.task_count() == 1

    def test_that_this_machine_does_not_know_is_given_back(self, start: Start, machine: Machine) -> None:
        """As in a CI job that is run again after a crash; it uses up no allowance."""
        sandbox = start()
        first = machine(sandbox).live()
        shop = machine(sandbox)
        context = shop.context(most=1)
        second = shop.live(context=context)
        assert (second.came.how, second.came.cost) == (RESUMED, None)
        assert second.came.operation.task_id == first.came.operation.task_id
        assert sandbox.task_count() == 1
        shop.write('[assets.hero]\nprompt = "another"\n')
        (shop.folder / "hero.png").unlink()
        assert shop.live(context=context).error is None
        assert sandbox.task_count() == 2

    def test_without_an_answer_is_asked_for_by_its_key(
        self, start: Start, machine: Machine, clock: Clock
    ) -> None:
        sandbox = start(faults=["submit-drop=5"], url_seconds=30 * DAY)
        shop = machine(sandbox)
        assert shop.live().error is not None
        clock.time += 6.9 * DAY
        assert shop.live().error is None
        assert sandbox.task_count() == len(set(keys(sandbox))) == 1
        # The same operation went on.
        assert statuses(shop) == {"completed": 1}

    def test_is_taken_up_whatever_else_was_tried(self, start: Start, machine: Machine, clock: Clock) -> None:
        """As by another run, at the same time, that never heard of the answer."""
        sandbox = start()
        shop = machine(sandbox)
        lived = shop.live()
        answered = lived.came.operation
        other = replace(answered, id="op_other", created=clock.time + 60, task_id=None, files=(), results=())
        shop.history.record(replace(other, status=TaskStatus.UNANSWERED))
        (shop.folder / "hero.png").unlink()
        sandbox.requests.clear()
        again = shop.live()
        assert again.came.operation.id == answered.id
        assert keys(sandbox) == []


class TestAFailedTask:
    @pytest.mark.parametrize("word", ["failed", "cancelled", "rejected"])
    def test_is_replaced_by_the_next_run(self, start: Start, machine: Machine, word: str) -> None:
        sandbox = start(faults=[f"task-{word}=1"])
        shop = machine(sandbox)
        # The run that paid for it does not pay again.
        assert isinstance(shop.live().error, TaskFailed)
        assert sandbox.task_count() == 1
        lived = shop.live()
        assert lived.came.how == GENERATED
        image = image_of(shop)
        assert keys(sandbox) == [image.idempotency_key(0), image.idempotency_key(1)]
        # The history says why.
        [left_behind] = shop.history.find_by_idempotency_key(SERVICE, image.idempotency_key(0))
        assert left_behind.status == word
        assert left_behind.error_message
        assert statuses(shop) == {word: 1, "completed": 1}

    def test_of_another_machine_is_replaced_at_once(self, start: Start, machine: Machine) -> None:
        sandbox = start(faults=["task-failed=1"])
        machine(sandbox).live()
        shop = machine(sandbox)
        lived = shop.live(most=1)
        assert lived.came.how == GENERATED
        assert statuses(shop) == {"failed": 1, "completed": 1}
        assert notices(lived)
        assert sandbox.task_count() == 2

    def test_after_another_has_its_turn_run_by_run(self, start: Start, machine: Machine) -> None:
        sandbox = start(faults=["task-failed=3"])
        shop = machine(sandbox)
        for tasks in (1, 2, 3):
            assert isinstance(shop.live().error, TaskFailed)
            assert sandbox.task_count() == tasks
        assert shop.live().error is None
        assert keys(sandbox) == [image_of(shop).idempotency_key(attempt) for attempt in range(4)]


class TestATaskWhoseImageIsGone:
    """Its URLs are dead: nothing that is asked of it brings the image back."""

    @pytest.mark.parametrize("status", [404, 410])
    def test_is_replaced_by_the_next_run_if_it_stays_so(
        self, start: Start, machine: Machine, status: int
    ) -> None:
        # Each run asks twice: the URL is asked for anew.
        sandbox = start(faults=[f"image-{status}=4"])
        shop = machine(sandbox)
        assert isinstance(shop.live().error, ImageRefused)
        assert sandbox.task_count() == 1, "the task is this run's own"
        lived = shop.live()
        assert (lived.came.how, sandbox.task_count()) == (GENERATED, 2)
        [left_behind] = shop.history.find_by_idempotency_key(SERVICE, image_of(shop).idempotency_key(0))
        assert (left_behind.status, left_behind.error_code) == (TaskStatus.GONE, "image_refused")
        assert str(status) in (left_behind.error_message or "")
        assert len(notices(lived)) == 1
        # It is not asked for again.
        (shop.folder / "hero.png").unlink()
        sandbox.requests.clear()
        again = shop.live()
        assert (again.came.how, keys(sandbox), sandbox.task_count()) == (RESUMED, [], 2)

    @pytest.mark.parametrize(("fault", "runs"), [("image-410=2", 1), ("image-503=10", 2)])
    def test_is_not_replaced_for_what_passes(
        self, start: Start, machine: Machine, clock: Clock, fault: str, runs: int
    ) -> None:
        """A server that stumbles says nothing about the image."""
        sandbox = start(faults=[fault], url_seconds=30 * DAY)
        shop = machine(sandbox)
        for _ in range(runs):
            assert isinstance(shop.live().error, ImageRefused)
            # However old the task is by then.
            clock.time += 2 * DAY
        assert shop.live().error is None
        assert sandbox.task_count() == 1

    @pytest.mark.parametrize("elsewhere", [False, True])
    @pytest.mark.parametrize(("days", "tasks"), [(0.9, 1), (2.0, 2)])
    def test_is_replaced_for_a_403_only_once_its_link_has_expired(
        self, start: Start, machine: Machine, clock: Clock, days: float, tasks: int, elsewhere: bool
    ) -> None:
        """Something may stand between this machine and the image: paying again would not help."""
        sandbox = start(faults=["image-403=4" if elsewhere or tasks == 1 else "image-403=2"])
        shop = machine(sandbox)
        shop.live()
        clock.time += days * DAY
        # A machine that does not know the task is told its age by the service.
        shop = machine(sandbox) if elsewhere else shop
        lived = shop.live()
        assert isinstance(lived.error, ImageRefused) is (tasks == 1)
        assert sandbox.task_count() == tasks
        assert statuses(shop) == {"completed": 1, **({"gone": 1} if tasks == 2 else {})}

    def test_is_replaced_only_if_it_may_be_paid_for(
        self, start: Start, machine: Machine, clock: Clock
    ) -> None:
        sandbox = start()
        first = machine(sandbox)
        first.live()
        (first.folder / "hero.png").unlink()
        clock.time += 2 * DAY
        refused = first.live(most=0).error
        assert isinstance(refused, UsageError)
        assert (refused.code, sandbox.task_count()) == ("spending_cap", 1)
        shop = machine(sandbox)
        assert (shop.live(most=1).came.how, sandbox.task_count()) == (GENERATED, 2)
        assert statuses(shop) == {"gone": 1, "completed": 1}


class TestTheTaskOfTheLock:
    @pytest.fixture
    def missing(self, start: Start, machine: Machine) -> Missing:
        """A checkout that has the lock's line and not its file, by default on another machine.

        Keywords are those of the service from then on.
        """

        def missing(*, elsewhere: bool = True, **options: Any) -> tuple[Sandbox, Workshop, Entry]:
            sandbox = start()
            shop = machine(sandbox)
            line = line_of(shop, shop.live())
            if elsewhere:
                shop = machine(sandbox)
            else:
                (shop.folder / "hero.png").unlink()
            shop.write_lock(line)
            # On the same tasks.
            sandbox = start(**options)
            shop.base_url = sandbox.base_url
            return sandbox, shop, line

        return missing

    def test_gives_its_image_again_for_nothing(self, missing: Missing) -> None:
        sandbox, shop, line = missing()
        lived = shop.live(most=0)
        assert (lived.came.how, lived.came.cost) == (FETCHED, None)
        assert lived.came.operation.task_id == line.task_id
        assert keys(sandbox) == []
        assert line_of(shop, lived).sha256 == line.sha256
        found = shop.history.find(SERVICE, line.task_id or "")
        assert found is not None
        assert [file.path for file in found.files] == [str(shop.folder / "hero.png")]

    @pytest.mark.parametrize("elsewhere", [True, False])
    @pytest.mark.parametrize("gone", ["status-404=1", "image-404=2", "image-410=2"])
    def test_that_gives_none_any_more_is_replaced(self, missing: Missing, gone: str, elsewhere: bool) -> None:
        sandbox, shop, line = missing(elsewhere=elsewhere, faults=[gone])
        lived = shop.live(most=1)
        assert lived.came.how == GENERATED
        assert lived.came.operation.task_id != line.task_id
        assert sandbox.task_count() == 2
        assert keys(sandbox)[-1] == image_of(shop).idempotency_key(1)
        # The history says why, and nothing is left that waits for an image.
        left_behind = shop.history.find(SERVICE, line.task_id or "")
        assert left_behind is not None
        assert (left_behind.status, bool(left_behind.error_message)) == (TaskStatus.GONE, True)
        assert shop.history.pending(SERVICE) == []
        assert len(notices(lived)) == 1

    @pytest.mark.parametrize(
        ("fault", "most"),
        [
            pytest.param("status-404", 0, id="nothing may be paid for"),
            # Whoever is not let in cannot tell whether the image is gone.
            pytest.param("status-401", None, id="it is another key's"),
        ],
    )
    def test_is_not_replaced_where(self, missing: Missing, fault: str, most: int | None) -> None:
        sandbox, shop, _ = missing(faults=[fault])
        assert shop.live(most=most).error is not None
        assert keys(sandbox) == []

    @pytest.mark.parametrize(("days", "tasks"), [(0.9, 1), (2.0, 2)])
    def test_is_not_replaced_for_a_403_of_a_day(
        self, missing: Missing, clock: Clock, days: float, tasks: int
    ) -> None:
        sandbox, shop, _ = missing(elsewhere=False, faults=["image-403=2"])
        clock.time += days * DAY
        shop.live()
        assert sandbox.task_count() == tasks

    def test_has_another_of_the_first_key_weeks_later(self, missing: Missing, clock: Clock) -> None:
        """Keys are kept for 7 days, and links for one: weeks later, nothing is left of the first task."""
        sandbox, shop, _ = missing()
        clock.time += 30 * DAY
        assert shop.live().error is None
        assert keys(sandbox) == [image_of(shop).idempotency_key(0)]
        assert sandbox.task_count() == 2


class TestACreateThatWasNeverAnswered:
    @pytest.fixture
    def unanswered(self, start: Start, machine: Machine) -> Unanswered:
        """Its answer got lost at the first try; values are the operation's."""

        def unanswered(**values: Any) -> tuple[Sandbox, Workshop]:
            lost = start(faults=["submit-drop"])
            shop = machine(lost)
            assert shop.live().error is not None
            [operation] = shop.history.recent(SERVICE, limit=9)
            assert operation.task_id is None
            shop.history.record(replace(operation, **values))
            sandbox = start()
            shop.base_url = sandbox.base_url
            return sandbox, shop

        return unanswered

    @pytest.mark.parametrize(
        ("days", "key", "code"),
        [
            *((days, KEY_ID, "idempotency_expired") for days in (7.0, 400.0, -1.0)),
            (0.0, "another", "other_api_key"),
        ],
    )
    def test_beyond_the_time_that_keys_are_kept_or_with_another_key_is_not_sent_again(
        self, unanswered: Unanswered, clock: Clock, days: float, key: str, code: str
    ) -> None:
        sandbox, shop = unanswered(key_id=key)
        clock.time += days * DAY
        lived = shop.live()
        assert isinstance(lived.error, UsageError)
        assert (lived.error.code, keys(sandbox)) == (code, [])

    @pytest.mark.parametrize("values", [{"created": 0.0}, {"key_id": "another"}])
    def test_may_be_paid_for_again_with_force(self, unanswered: Unanswered, values: dict[str, Any]) -> None:
        sandbox, shop = unanswered(**values)
        assert shop.live(force=True).error is None
        # Its own key would get the answer of another time, or none.
        assert keys(sandbox) == [image_of(shop).idempotency_key(1)]

    def test_is_sent_again_with_its_key_where_refused(self, start: Start, machine: Machine) -> None:
        """What made no task leaves its key free."""
        refusing = start(faults=["submit-402"])
        shop = machine(refusing)
        assert shop.live().error is not None
        assert statuses(shop) == {"refused": 1}
        sandbox = start()
        shop.base_url = sandbox.base_url
        assert shop.live().error is None
        assert keys(sandbox) == [image_of(shop).idempotency_key(0)]
        assert statuses(shop) == {"refused": 1, "completed": 1}


class TestWhatARunWasKilledBefore:
    """The history knows the bytes on disk, and the line that the lock lacks."""

    def test_is_the_line_of_its_last_task_and_its_bytes(self, start: Start, machine: Machine) -> None:
        shop = machine(start(faults=["task-failed=1"]))
        shop.live()
        lived = shop.live()
        [item] = shop.plan().items
        assert (item.state, item.action) == ("new", Action.RECORD)
        assert item.entry is not None
        task, digest = lived.came.operation.task_id, lived.came.file.sha256
        assert (item.entry.path, item.entry.sha256, item.entry.task_id) == ("hero.png", digest, task)
        (shop.folder / "hero.png").write_bytes(png(shade=9))
        [item] = shop.plan().items
        assert (item.state, item.action) == ("edited", Action.NOTHING)

    def test_is_known_of_a_copy_too(self, start: Start, machine: Machine) -> None:
        """Of two images that one request gave, the history has the file of the first."""
        shop = machine(start(), '[assets.a]\nprompt = "fox"\n[assets.b]\nprompt = "fox"\n')
        first, _ = shop.plan().of(Action.GENERATE)
        assert shop.live(first).error is None
        (shop.folder / "b.png").write_bytes((shop.folder / "a.png").read_bytes())
        items = shop.plan().items
        assert [item.action for item in items] == [Action.RECORD, Action.RECORD]
        assert [item.entry.path for item in items if item.entry] == ["a.png", "b.png"]

    def test_is_marked_where_it_is_the_sandboxs(self, start: Start, machine: Machine) -> None:
        shop = machine(start())
        memory = remembered(shop.history, SERVICE, shop.folder, sandbox=True)
        assert memory(image_of(shop)) is None, "the request was never sent"
        shop.live()
        line = memory(image_of(shop))
        assert line is not None
        assert line.is_trial


class TestAHistoryThatFailsDuringTheRun:
    """What is paid for is saved all the same."""

    def test_has_nothing_sent_that_it_could_not_remember(self, start: Start, machine: Machine) -> None:
        sandbox = start()
        shop = machine(sandbox)
        context = shop.context()
        [item] = shop.plan().items
        shop.history.close()
        lived = shop.live(item, context)
        assert lived.error is not None
        assert lived.error.exit_code == ExitCode.NOT_SAVED
        assert sandbox.requests == []
