"""A run that is killed, wherever it is: nothing is lost, and the next one pays for nothing a second time."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.forked import ForkServer, Point, Run
from support.images import png
from support.project import NOTHING, RequestCounts, asked
from sync.checkout import Checkout

from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

#: The same in every process that runs tests at the same time; a failure is repeated by setting it.
SEED = (
    os.environ.get("SEEDREAM_TESTS_SEED") or os.environ.get("PYTEST_XDIST_TESTRUNUID") or os.urandom(8).hex()
)

ONE = '[assets.hero]\nprompt = "a red fox"\npath = "hero.png"\n'
#: Another request, which goes elsewhere.
ANOTHER = '[assets.hero]\nprompt = "a blue fox"\npath = "art/hero.png"\n'

INTENT_RECORDED: Point = ("seedream_cli.api.client:Client.submit", 1)
ANSWER_UNRECORDED: Point = ("seedream_cli.tasks.submit:_mark_accepted", 1)
ANSWER_RECORDED: Point = ("seedream_cli.tasks.poll:poll", 1)
FILE_RECORDED: Point = ("seedream_cli.sync.project_files:Project.put", 1)
#: The image has its name, and still its temporary one.
PART_LEFT: Point = ("seedream_cli.files.partial_file:PartialFile.close", 1)
FILE_MOVED: Point = ("seedream_cli.tasks.download:saved_file", 2)
LINE_UNWRITTEN: Point = ("seedream_cli.sync.lockfile_writer:LockfileWriter.change", 1)
LINE_WRITTEN: Point = ("seedream_cli.sync.executor:SyncExecutor._drop_old", 1)
OLD_FILE_REMOVED: Point = ("seedream_cli.output.plain_reporter:PlainReporter.image_done", 1)


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return start_sandbox(seconds=0, rate=0, draw=lambda body: png(shade=len(str(body["prompt"]))))


@pytest.fixture
def checkout(fork_server: ForkServer, tmp_path: Path, sandbox: Sandbox) -> Checkout:
    made = Checkout(fork_server, tmp_path / "home", sandbox.base_url)
    made.write(ONE)
    return made


def kill(run: Run) -> None:
    run.send(signal.SIGKILL)


def killed(checkout: Checkout, at: Point) -> None:
    assert checkout.start(at=at, act=kill).result().exit_code == -signal.SIGKILL


def planned(checkout: Checkout) -> tuple[str, str]:
    """State and action of the only image."""
    [image] = checkout("--dry-run", "--json").document["images"]
    return image["state"], image["action"]


def is_in_step(checkout: Checkout, sandbox: Sandbox) -> bool:
    """Whether lock and disk agree, nothing is left behind, and a further run has nothing to do."""
    asked(sandbox)
    return (
        (checkout.disagreements(), checkout.temporary()) == ([], [])
        and (again := checkout()).exit_code == 0
        and again.stdout == ""
        and asked(sandbox) == NOTHING
    )


@pytest.mark.parametrize(
    ("at", "plan", "needs"),
    [
        pytest.param(INTENT_RECORDED, ("new", "generate"), RequestCounts(1, 1, 1), id="intent recorded"),
        pytest.param(ANSWER_UNRECORDED, ("new", "generate"), RequestCounts(1, 1, 1), id="create answered"),
        pytest.param(ANSWER_RECORDED, ("new", "generate"), RequestCounts(0, 1, 1), id="answer recorded"),
        pytest.param(FILE_RECORDED, ("new", "generate"), RequestCounts(0, 1, 1), id="file recorded"),
        pytest.param(PART_LEFT, ("new", "record"), NOTHING, id="temporary file there"),
        pytest.param(FILE_MOVED, ("new", "record"), NOTHING, id="file moved"),
        pytest.param(LINE_UNWRITTEN, ("new", "record"), NOTHING, id="line to be written"),
        pytest.param(LINE_WRITTEN, ("ok", "nothing"), NOTHING, id="line written"),
    ],
)
def test_a_new_image_is_paid_once(
    checkout: Checkout, sandbox: Sandbox, at: Point, plan: tuple[str, str], needs: RequestCounts
) -> None:
    killed(checkout, at)
    assert planned(checkout) == plan
    asked(sandbox)
    assert checkout().exit_code == 0
    assert asked(sandbox) == needs
    assert sandbox.task_count() == 1
    assert checkout.files == ["hero.png"]
    assert is_in_step(checkout, sandbox)


@pytest.mark.parametrize(
    ("at", "plan", "files"),
    [
        pytest.param(FILE_MOVED, ("changed", "record"), ["art/hero.png"], id="file moved"),
        # Nobody knows the old file any more, and so nobody removes it.
        pytest.param(LINE_WRITTEN, ("ok", "nothing"), ["art/hero.png", "hero.png"], id="line written"),
        pytest.param(OLD_FILE_REMOVED, ("ok", "nothing"), ["art/hero.png"], id="old file removed"),
    ],
)
def test_a_changed_image_is_paid_for_once_and_takes_the_place_of_the_old(
    checkout: Checkout, sandbox: Sandbox, at: Point, plan: tuple[str, str], files: list[str]
) -> None:
    assert checkout().exit_code == 0
    checkout.write(ANOTHER)
    killed(checkout, at)
    assert planned(checkout) == plan
    assert checkout().exit_code == 0
    assert sandbox.task_count() == 2
    assert checkout.files == files
    assert is_in_step(checkout, sandbox)


@pytest.mark.parametrize(
    "at", [("seedream_cli.files.locking:link_exclusive", 1), LINE_UNWRITTEN], ids=["not begun", "moved"]
)
def test_a_file_that_is_moved_ends_at_one_place(checkout: Checkout, sandbox: Sandbox, at: Point) -> None:
    assert checkout().exit_code == 0
    asked(sandbox)
    checkout.write(ONE.replace("hero.png", "art/hero.png"))
    killed(checkout, at)
    assert checkout().exit_code == 0
    assert asked(sandbox) == NOTHING
    assert checkout.files == ["art/hero.png"]
    assert is_in_step(checkout, sandbox)


@pytest.mark.parametrize("copy", [1, 2])
def test_images_of_one_request_are_paid_for_once(checkout: Checkout, sandbox: Sandbox, copy: int) -> None:
    checkout.write("".join(f'[assets.{name}]\nprompt = "a red fox"\n' for name in "abc"))
    killed(checkout, ("seedream_cli.sync.project_files:Project.copy", copy))
    assert checkout().exit_code == 0
    assert sandbox.task_count() == 1
    assert checkout.files == ["a.png", "b.png", "c.png"]
    assert is_in_step(checkout, sandbox)


def test_a_second_run_that_is_killed_changes_nothing_of_that(checkout: Checkout, sandbox: Sandbox) -> None:
    for at in (INTENT_RECORDED, ANSWER_UNRECORDED, ANSWER_RECORDED, FILE_RECORDED, FILE_MOVED):
        killed(checkout, at)
    assert checkout().exit_code == 0
    assert sandbox.task_count() == 1
    assert is_in_step(checkout, sandbox)


@dataclass
class Killer:
    """Reads a sandbox's log, and kills a run before so many answers of a kind are delivered."""

    run: Run | None = None
    what: str = ""
    left: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, line: str) -> None:
        with self._lock:
            if not self.what or not line.startswith(self.what):
                return
            self.left -= 1
            if self.left == 0 and self.run is not None:
                kill(self.run)


#: Beginnings of lines in the sandbox's log.
CREATE, STATUS, IMAGE = "POST ", "GET /sandbox/v1/images/status/", "GET /results/"
IMAGES = 100


def test_100_images_by_16_workers_that_are_killed_three_times(
    fork_server: ForkServer, tmp_path: Path, start_sandbox: Callable[..., Sandbox]
) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)

    def picture(body: dict[str, object]) -> bytes:
        number = int(str(body["prompt"]).split()[-1])
        return png(1 + number // 20, 1 + number % 20)

    killer = Killer()
    sandbox = start_sandbox(seconds=0, rate=0, draw=picture, log=killer)
    checkout = Checkout(fork_server, tmp_path / "home", sandbox.base_url)
    checkout.write("".join(f'[assets.n{number:03}]\nprompt = "fox {number}"\n' for number in range(IMAGES)))
    for _ in range(3):
        killer.what, killer.left = draw.choice((CREATE, STATUS, IMAGE)), draw.randint(5, 30)
        what = f"seed {SEED}, before answer {killer.left} to {killer.what}"
        killer.run = checkout.start("--jobs", "16")
        result = killer.run.result()
        assert result.exit_code == -signal.SIGKILL, f"{what}: {result.stderr}"
        assert checkout.disagreements() == [], what
    killer.what = ""
    done = checkout("--jobs", "16")
    assert done.exit_code == 0, done.stderr
    assert sandbox.task_count() == IMAGES
    assert checkout.files == [f"n{number:03}.png" for number in range(IMAGES)]
    assert [line["name"] for line in checkout.lines()] == [f"n{number:03}" for number in range(IMAGES)]
    assert len({line["task_id"] for line in checkout.lines()}) == IMAGES
    assert all(
        (checkout.folder / f"n{number:03}.png").read_bytes() == picture({"prompt": f"fox {number}"})
        for number in range(IMAGES)
    )
    assert is_in_step(checkout, sandbox)
    assert checkout("--check").exit_code == 0
