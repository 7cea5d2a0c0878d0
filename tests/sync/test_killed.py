"""Runs killed with SIGKILL at any point: the next run loses nothing and pays for nothing twice."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from support.checkout import Checkout, NewCheckout
from support.forked import Point, Run
from support.images import png
from support.project import NOTHING, RequestCounts, asked

from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

#: The same in all pytest-xdist workers. Set SEEDREAM_TESTS_SEED to reproduce a failure.
SEED = (
    os.environ.get("SEEDREAM_TESTS_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(8).hex()
)

ONE = '[assets.hero]\nprompt = "a red fox"\npath = "hero.png"\n'
#: Another request at another path.
CHANGED = '[assets.hero]\nprompt = "a blue fox"\npath = "art/hero.png"\n'

INTENT_RECORDED: Point = ("seedream_cli.api.client:Client.submit", 1)
RESPONSE_UNRECORDED: Point = ("seedream_cli.tasks.submit:_mark_accepted", 1)
RESPONSE_RECORDED: Point = ("seedream_cli.tasks.poll:poll", 1)
FILE_RECORDED: Point = ("seedream_cli.sync.project_files:Project.put", 1)
#: The image is saved, and its partial file still exists.
PART_LEFT: Point = ("seedream_cli.files.partial_file:PartialFile.close", 1)
FILE_MOVED: Point = ("seedream_cli.tasks.download:saved_file", 2)
ENTRY_UNWRITTEN: Point = ("seedream_cli.sync.lockfile_writer:LockfileWriter.update", 1)
ENTRY_WRITTEN: Point = ("seedream_cli.sync.executor:SyncExecutor._remove_old_file", 1)
OLD_FILE_REMOVED: Point = ("seedream_cli.output.plain_reporter:PlainReporter.image_done", 1)


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return start_sandbox(seconds=0, rate=0, draw=lambda body: png(shade=len(str(body["prompt"]))))


@pytest.fixture
def checkout(new_checkout: NewCheckout, sandbox: Sandbox) -> Checkout:
    return new_checkout(sandbox, ONE)


def kill(run: Run) -> None:
    run.send(signal.SIGKILL)


def run_killed_at(checkout: Checkout, at: Point) -> None:
    assert checkout.start(at=at, act=kill).result().exit_code == -signal.SIGKILL


def planned_action(checkout: Checkout) -> tuple[str, str]:
    """Return state and action of the only image."""
    [image] = checkout("--dry-run", "--json").document["images"]
    return image["state"], image["action"]


def is_in_sync(checkout: Checkout, sandbox: Sandbox) -> bool:
    """Return True if lockfile and files match and another run has nothing to do."""
    asked(sandbox)
    return (
        checkout.is_consistent()
        and (again := checkout()).exit_code == 0
        and again.stdout == ""
        and asked(sandbox) == NOTHING
    )


@pytest.mark.parametrize(
    ("at", "plan", "needs"),
    [
        pytest.param(INTENT_RECORDED, ("new", "generate"), RequestCounts(1, 1, 1), id="intent recorded"),
        pytest.param(
            RESPONSE_UNRECORDED, ("new", "generate"), RequestCounts(1, 1, 1), id="response received"
        ),
        pytest.param(RESPONSE_RECORDED, ("new", "generate"), RequestCounts(0, 1, 1), id="response recorded"),
        pytest.param(FILE_RECORDED, ("new", "generate"), RequestCounts(0, 1, 1), id="file recorded"),
        pytest.param(PART_LEFT, ("new", "record"), NOTHING, id="partial file left"),
        pytest.param(FILE_MOVED, ("new", "record"), NOTHING, id="file moved"),
        pytest.param(ENTRY_UNWRITTEN, ("new", "record"), NOTHING, id="entry unwritten"),
        pytest.param(ENTRY_WRITTEN, ("ok", "nothing"), NOTHING, id="entry written"),
    ],
)
def test_resume_after_kill_pays_once_for_new_image(
    checkout: Checkout, sandbox: Sandbox, at: Point, plan: tuple[str, str], needs: RequestCounts
) -> None:
    run_killed_at(checkout, at)
    assert planned_action(checkout) == plan
    asked(sandbox)
    assert checkout().exit_code == 0
    assert asked(sandbox) == needs
    assert sandbox.task_count() == 1
    assert checkout.files == ["hero.png"]
    assert is_in_sync(checkout, sandbox)


@pytest.mark.parametrize(
    ("at", "plan", "files"),
    [
        pytest.param(FILE_MOVED, ("changed", "record"), ["art/hero.png"], id="file moved"),
        # No entry refers to the old file any more, so nothing removes it.
        pytest.param(ENTRY_WRITTEN, ("ok", "nothing"), ["art/hero.png", "hero.png"], id="entry written"),
        pytest.param(OLD_FILE_REMOVED, ("ok", "nothing"), ["art/hero.png"], id="old file removed"),
    ],
)
def test_resume_after_kill_pays_once_for_changed_image(
    checkout: Checkout, sandbox: Sandbox, at: Point, plan: tuple[str, str], files: list[str]
) -> None:
    assert checkout().exit_code == 0
    checkout.write(CHANGED)
    run_killed_at(checkout, at)
    assert planned_action(checkout) == plan
    assert checkout().exit_code == 0
    assert sandbox.task_count() == 2
    assert checkout.files == files
    assert is_in_sync(checkout, sandbox)


@pytest.mark.parametrize(
    "at",
    [("seedream_cli.files.locking:link_exclusive", 1), ENTRY_UNWRITTEN],
    ids=["before move", "after move"],
)
def test_resume_after_kill_finishes_move(checkout: Checkout, sandbox: Sandbox, at: Point) -> None:
    assert checkout().exit_code == 0
    asked(sandbox)
    checkout.write(ONE.replace("hero.png", "art/hero.png"))
    run_killed_at(checkout, at)
    assert checkout().exit_code == 0
    assert asked(sandbox) == NOTHING
    assert checkout.files == ["art/hero.png"]
    assert is_in_sync(checkout, sandbox)


@pytest.mark.parametrize("copy", [1, 2])
def test_resume_after_kill_finishes_copies_of_one_task(
    checkout: Checkout, sandbox: Sandbox, copy: int
) -> None:
    checkout.write("".join(f'[assets.{name}]\nprompt = "a red fox"\n' for name in "abc"))
    run_killed_at(checkout, ("seedream_cli.sync.project_files:Project.copy", copy))
    assert checkout().exit_code == 0
    assert sandbox.task_count() == 1
    assert checkout.files == ["a.png", "b.png", "c.png"]
    assert is_in_sync(checkout, sandbox)


def test_resume_after_several_kills_pays_once(checkout: Checkout, sandbox: Sandbox) -> None:
    for at in (INTENT_RECORDED, RESPONSE_UNRECORDED, RESPONSE_RECORDED, FILE_RECORDED, FILE_MOVED):
        run_killed_at(checkout, at)
    assert checkout().exit_code == 0
    assert sandbox.task_count() == 1
    assert is_in_sync(checkout, sandbox)


@dataclass
class Killer:
    """Reads the sandbox's log, and kills the run at the given number of requests of one kind."""

    run: Run | None = None
    prefix: str = ""
    left: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, line: str) -> None:
        with self._lock:
            if not self.prefix or not line.startswith(self.prefix):
                return
            self.left -= 1
            if self.left == 0 and self.run is not None:
                kill(self.run)


# Prefixes of lines in the sandbox's log.
CREATE = "POST "
STATUS = "GET /sandbox/v1/images/status/"
IMAGE = "GET /results/"
IMAGES = 100


def test_resume_of_100_images_killed_three_times(
    new_checkout: NewCheckout, start_sandbox: Callable[..., Sandbox]
) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)

    def picture(body: dict[str, object]) -> bytes:
        number = int(str(body["prompt"]).split()[-1])
        return png(1 + number // 20, 1 + number % 20)

    killer = Killer()
    sandbox = start_sandbox(seconds=0, rate=0, draw=picture, log=killer)
    checkout = new_checkout(
        sandbox, "".join(f'[assets.n{number:03}]\nprompt = "fox {number}"\n' for number in range(IMAGES))
    )
    for _ in range(3):
        killer.prefix, killer.left = draw.choice((CREATE, STATUS, IMAGE)), draw.randint(5, 30)
        what = f"seed {SEED}, killed at request {killer.left} of {killer.prefix}"
        killer.run = checkout.start("--jobs", "16")
        result = killer.run.result()
        assert result.exit_code == -signal.SIGKILL, f"{what}: {result.stderr}"
        assert checkout.mismatched_files() == [], what
    killer.prefix = ""
    done = checkout("--jobs", "16")
    assert done.exit_code == 0, done.stderr
    assert sandbox.task_count() == IMAGES
    assert checkout.files == [f"n{number:03}.png" for number in range(IMAGES)]
    assert [entry["name"] for entry in checkout.entries()] == [f"n{number:03}" for number in range(IMAGES)]
    assert len({entry["task_id"] for entry in checkout.entries()}) == IMAGES
    assert all(
        (checkout.folder / f"n{number:03}.png").read_bytes() == picture({"prompt": f"fox {number}"})
        for number in range(IMAGES)
    )
    assert is_in_sync(checkout, sandbox)
    assert checkout("--check").exit_code == 0
