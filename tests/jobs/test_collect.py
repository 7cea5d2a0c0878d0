"""From a completed task to files on disk: each image whole, under a name of its own, and never lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import JPEG, png
from support.raw import Exchange, RawServer, Reply, answer, success
from support.tasks import SERVICE, of_kind, operation, played

from seedream_cli import jobs
from seedream_cli.errors import (
    ExitCode,
    HistoryUnusable,
    ImageDamaged,
    ImageRefused,
    ImageUnreachable,
    NotSaved,
    SeedreamError,
    Stopped,
    TaskFailed,
)
from seedream_cli.events import Ended, Event, Kept, Noticed, Polled, Receiving, Retrying, Saved
from seedream_cli.history import History
from seedream_cli.models import Operation, SavedFile
from seedream_cli.naming import Output, parse_output
from seedream_cli.sandbox.server import Sandbox

StartRaw = Callable[..., RawServer]
StartSandbox = Callable[..., Sandbox]
WorkOn = Callable[..., jobs.Work]

PNG = png()


class Service:
    """An API and its images on one port: each path answers in turn, the last answer again and again."""

    def __init__(self, start_raw: StartRaw) -> None:
        self.server = start_raw(self._answer)
        self.images: dict[str, list[Reply]] = {}
        self.results: list[list[str]] = [["/1.png"]]
        self.asked: list[str] = []

    @property
    def base_url(self) -> str:
        return self.server.base_url

    def fetched(self, path: str) -> int:
        return self.asked.count(path)

    def _answer(self, exchange: Exchange) -> None:
        path = exchange.request.path.partition("?")[0]
        self.asked.append(path)
        reply: Reply
        if path.startswith("/v1/images/status/"):
            paths = self.results.pop(0) if len(self.results) > 1 else self.results[0]
            urls = [self.server.origin + each for each in paths]
            reply = success({"task_id": "task_1", "status": "completed", "result": urls})
        else:
            replies = self.images[path]
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if callable(reply):
            reply(exchange)
        elif reply is not None:
            exchange.connection.sendall(reply)


@pytest.fixture
def service(start_raw: StartRaw) -> Service:
    return Service(start_raw)


Download = Callable[..., tuple[list[Event], Ended]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def download(service: Service, work_on: WorkOn, folder: Path) -> Download:
    """Downloads the service's task into ``folder``; keywords of Work, or ``task`` for the operation."""

    def run(*, task: Operation | None = None, name: str = "fox.png", **options: Any) -> Any:
        current = task or operation(folder, name, task_id="task_1", status="pending")
        return played(jobs.download, work_on(service.base_url, **options), current)

    return run


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


def error_of(end: Ended) -> SeedreamError:
    assert end.error is not None
    return end.error


# Saved


def test_an_image_is_saved_recorded_and_told(
    service: Service, download: Download, history: History, folder: Path
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    events, end = download()
    assert end.error is None
    saved = SavedFile(
        1,
        str(folder / "fox.png"),
        hashlib.sha256(PNG).hexdigest(),
        len(PNG),
        "image/png",
        4,
        3,
    )
    assert end.operation.files == (saved,)
    assert end.operation.settled
    assert (folder / "fox.png").read_bytes() == PNG
    assert history.find(SERVICE, "task_1") == end.operation
    assert [(event.file, event.shown) for event in of_kind(events, Saved)] == [(saved, saved.path)]
    assert names(folder) == ["fox.png"]


def test_what_was_received_is_told_as_it_comes(service: Service, download: Download) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    events, _ = download()
    receiving = [(each.number, each.count, each.received, each.total) for each in of_kind(events, Receiving)]
    assert receiving[0] == (1, 1, 0, len(PNG))
    assert receiving[-1] == (1, 1, len(PNG), len(PNG))


@pytest.mark.parametrize("output", ["{slug}-{task}.{ext}", "{slug}.{ext}", "{date}/{slug}.{ext}"])
def test_the_ending_follows_the_bytes_not_the_address(
    service: Service, download: Download, folder: Path, output: str
) -> None:
    service.images["/1.png"] = [answer(200, JPEG)]
    events, end = download(name=output)
    assert end.operation.files[0].path.endswith(".jpg")
    assert end.operation.files[0].media_type == "image/jpeg"
    assert of_kind(events, Noticed) == []


def test_an_explicit_name_with_other_bytes_gets_a_notice(
    service: Service, download: Download, folder: Path
) -> None:
    service.images["/1.png"] = [answer(200, JPEG)]
    events, end = download()
    assert end.error is None
    assert names(folder) == ["fox.png"]
    assert [event.text for event in of_kind(events, Noticed)] == ["fox.png holds a JPEG image"]


@pytest.mark.parametrize("name", ["fox.jpeg", "fox.JPG", "fox"])
def test_an_explicit_name_that_suits_its_bytes_gets_none(
    service: Service, download: Download, folder: Path, name: str
) -> None:
    service.images["/1.png"] = [answer(200, JPEG)]
    events, _ = download(name=name)
    assert names(folder) == [name]
    assert of_kind(events, Noticed) == []


def test_several_results_are_numbered_and_each_is_recorded_when_it_is_here(
    service: Service, download: Download, history: History, folder: Path
) -> None:
    service.results = [["/1.png", "/2.png"]]
    service.images = {"/1.png": [answer(200, PNG)], "/2.png": [answer(404)]}
    events, end = download()
    assert isinstance(end.error, ImageRefused)
    assert names(folder) == ["fox-1.png"]
    kept = history.find(SERVICE, "task_1")
    assert kept is not None
    assert ([file.number for file in kept.files], kept.settled) == ([1], False)
    # Only what is missing is fetched the next time.
    service.images["/2.png"] = [answer(200, png(shade=9))]
    events, end = download(task=kept)
    assert end.error is None
    assert names(folder) == ["fox-1.png", "fox-2.png"]
    assert [event.file.number for event in of_kind(events, Kept)] == [1]
    assert [event.file.number for event in of_kind(events, Saved)] == [2]
    assert service.fetched("/1.png") == 1
    assert end.operation.settled


def test_a_template_with_a_number_is_used_as_it_is(
    service: Service, download: Download, folder: Path
) -> None:
    service.results = [["/1.png", "/2.png"]]
    service.images = {"/1.png": [answer(200, PNG)], "/2.png": [answer(200, png(shade=9))]}
    download(name="{n}-fox.{ext}")
    assert names(folder) == ["1-fox.png", "2-fox.png"]


def test_a_name_that_is_taken_is_left_alone_with_a_notice(
    service: Service, download: Download, folder: Path
) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    service.images["/1.png"] = [answer(200, PNG)]
    events, end = download()
    assert end.operation.files[0].path == str(folder / "fox-2.png")
    assert (folder / "fox.png").read_bytes() == b"mine"
    assert [event.text for event in of_kind(events, Noticed)] == [
        "fox.png is taken: the image is saved as fox-2.png"
    ]


def test_a_name_that_is_taken_may_be_overwritten(service: Service, download: Download, folder: Path) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"old")
    service.images["/1.png"] = [answer(200, PNG)]
    events, _ = download(overwrite=True)
    assert (folder / "fox.png").read_bytes() == PNG
    assert of_kind(events, Noticed) == []


def test_the_same_bytes_from_an_earlier_run_are_adopted(
    service: Service, download: Download, folder: Path
) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(PNG)
    service.images["/1.png"] = [answer(200, PNG)]
    events, end = download()
    assert end.operation.files[0].path == str(folder / "fox.png")
    assert names(folder) == ["fox.png"]
    assert of_kind(events, Noticed) == []


def test_a_path_is_shown_relative_where_it_was_given_so(
    service: Service, download: Download, tmp_path: Path
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    events, _ = download(output=parse_output("here/cat.png", cwd=str(tmp_path)))
    assert [event.shown for event in of_kind(events, Saved)] == ["here/cat.png"]
    assert (tmp_path / "here" / "cat.png").exists()


def test_what_a_killed_run_left_is_removed(service: Service, download: Download, folder: Path) -> None:
    folder.mkdir()
    (folder / ".seedream-op_abcd1234-1.part").write_bytes(b"half")
    service.images["/1.png"] = [answer(200, PNG)]
    download()
    assert names(folder) == ["fox.png"]


# On disk already


def test_what_is_on_disk_unchanged_is_not_asked_for(
    service: Service, download: Download, folder: Path
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    _, end = download()
    before = service.server.connections
    events, again = download(task=end.operation)
    assert again.error is None
    assert again.operation == end.operation
    assert [event.shown for event in of_kind(events, Kept)] == [str(folder / "fox.png")]
    assert service.server.connections == before


def test_what_was_deleted_is_fetched_again(service: Service, download: Download, folder: Path) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    _, end = download()
    (folder / "fox.png").unlink()
    _, again = download(task=end.operation)
    assert again.error is None
    assert (folder / "fox.png").read_bytes() == PNG


def test_what_was_changed_is_kept_and_fetched_beside_it(
    service: Service, download: Download, folder: Path
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    _, end = download()
    (folder / "fox.png").write_bytes(b"edited by hand")
    _, again = download(task=end.operation)
    assert again.error is None
    assert (folder / "fox.png").read_bytes() == b"edited by hand"
    assert again.operation.files[0].path == str(folder / "fox-2.png")


def test_another_place_gets_an_image_of_its_own(
    service: Service, download: Download, folder: Path, tmp_path: Path
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    _, end = download()
    _, again = download(task=end.operation, output=parse_output("copy.png", cwd=str(tmp_path)))
    assert again.error is None
    assert (tmp_path / "copy.png").read_bytes() == (folder / "fox.png").read_bytes() == PNG


# Repeated

PASSING: dict[str, Reply] = {
    "a truncated image": answer(200, PNG[:40], length=len(PNG)),
    "an image cut without a length": answer(200, PNG[:40], length=None),
    "an HTML page": answer(200, b"<html>It works!</html>"),
    "an empty image": answer(200, b""),
    "a dropped connection": None,
    "500": answer(500),
    "503": answer(503),
    "429": answer(429),
    "408": answer(408),
    "a cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{",
}


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_an_image_is_fetched_again_after(
    service: Service, download: Download, folder: Path, reply: Reply
) -> None:
    service.images["/1.png"] = [reply, reply, answer(200, PNG)]
    events, end = download()
    assert end.error is None
    assert (folder / "fox.png").read_bytes() == PNG
    assert names(folder) == ["fox.png"]
    assert [event.what for event in of_kind(events, Retrying)] == ["fetching the image"] * 2
    # Its address is as good as it was.
    assert service.fetched("/v1/images/status/task_1") == 1


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_an_image_is_given_up_after_five_attempts(
    service: Service, download: Download, history: History, folder: Path, clock: Clock, reply: Reply
) -> None:
    service.images["/1.png"] = [reply]
    _, end = download(spread=lambda low, high: high)
    assert isinstance(end.error, ImageDamaged | ImageUnreachable | ImageRefused)
    assert error_of(end).exit_code == ExitCode.NOT_SAVED
    assert service.fetched("/1.png") == 5
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0]
    assert names(folder) == []
    assert history.pending(SERVICE) == [end.operation]


def test_a_retry_after_of_the_images_host_is_honoured(
    service: Service, download: Download, clock: Clock
) -> None:
    service.images["/1.png"] = [answer(503, headers={"Retry-After": "9"}), answer(200, PNG)]
    _, end = download()
    assert end.error is None
    assert clock.pauses == [9.0]


def test_a_retry_after_beyond_the_images_time_ends_at_once(
    service: Service, download: Download, clock: Clock
) -> None:
    service.images["/1.png"] = [answer(503, headers={"Retry-After": "3600"})]
    _, end = download()
    assert "asks to come back" in error_of(end).message
    assert clock.pauses == []


# Addresses that died


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_dead_address_is_renewed(
    service: Service, download: Download, history: History, status: int
) -> None:
    service.results = [["/old.png"], ["/new.png"]]
    service.images = {"/old.png": [answer(status)], "/new.png": [answer(200, PNG)]}
    _, end = download()
    assert end.error is None
    assert service.asked == [
        "/v1/images/status/task_1",
        "/old.png",
        "/v1/images/status/task_1",
        "/new.png",
    ]
    assert end.operation.results == (f"{service.server.origin}/new.png",)
    assert history.find(SERVICE, "task_1") == end.operation


def test_a_dead_address_is_renewed_only_once(service: Service, download: Download) -> None:
    service.images["/1.png"] = [answer(403)]
    _, end = download()
    assert isinstance(end.error, ImageRefused)
    assert end.error.exit_code == ExitCode.NOT_SAVED
    assert service.fetched("/1.png") == 2
    assert service.fetched("/v1/images/status/task_1") == 2


def test_a_failure_behind_the_renewal_does_not_renew_again(service: Service, download: Download) -> None:
    """A pause of zero seconds must not be taken for one."""
    service.images["/1.png"] = [answer(403), answer(503), None, answer(200, PNG)]
    _, end = download(spread=lambda low, high: 0.0)
    assert end.error is None
    assert service.fetched("/v1/images/status/task_1") == 2


def test_a_renewal_that_stumbles_is_repeated(
    start_sandbox: StartSandbox, work_on: WorkOn, tmp_path: Path
) -> None:
    sandbox = start_sandbox(seconds=0, faults=["image-403=1"])
    work = work_on(sandbox.base_url)
    _, end = played(jobs.generate, work, operation(tmp_path))
    assert end.error is None


def test_an_expired_signature_is_renewed(
    start_sandbox: StartSandbox, work_on: WorkOn, history: History, tmp_path: Path, clock: Clock
) -> None:
    service_clock = Clock()
    sandbox = start_sandbox(seconds=0, url_seconds=60.0, clock=service_clock)
    work = work_on(sandbox.base_url)
    _, end = played(jobs.generate, work, operation(tmp_path), wait=False)
    _, told = played(jobs.status, work, end.operation)
    dead = told.operation
    service_clock.time += 3600
    # The service signs for a minute from the task's end: nothing it hands out is good any more.
    _, end = played(jobs.download, work, dead)
    assert isinstance(end.error, ImageRefused)
    assert history.pending(SERVICE) != []


def test_results_that_became_fewer_are_told(service: Service, download: Download) -> None:
    service.results = [["/1.png", "/2.png"], ["/1.png"]]
    service.images = {"/1.png": [answer(200, PNG)], "/2.png": [answer(404)]}
    _, end = download()
    assert isinstance(end.error, NotSaved)
    assert "no result any more" in end.error.message


# What cannot be saved


@pytest.mark.parametrize("length", [True, None], ids=["announced", "not announced"])
def test_an_image_beyond_the_limit_is_refused_and_not_tried_again(
    service: Service, download: Download, folder: Path, length: bool | None
) -> None:
    service.images["/1.png"] = [answer(200, PNG + bytes(100_000), length=length)]
    _, end = download(max_bytes=50_000)
    assert error_of(end).code == "too_large"
    assert "--max-bytes" in error_of(end).message
    assert service.fetched("/1.png") == 1
    assert names(folder) == []


def test_an_image_of_exactly_the_limit_is_saved(service: Service, download: Download) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    _, end = download(max_bytes=len(PNG))
    assert end.error is None


def test_a_folder_that_cannot_be_written_keeps_the_task(
    service: Service, download: Download, history: History, folder: Path
) -> None:
    folder.write_text("a file")
    service.images["/1.png"] = [answer(200, PNG)]
    _, end = download()
    assert error_of(end).code == "cannot_write"
    assert history.pending(SERVICE) == [end.operation]


def test_an_address_that_may_not_be_fetched_is_not_saved(
    start_raw: StartRaw, work_on: WorkOn, folder: Path
) -> None:
    server = start_raw(success({"status": "completed", "result": ["file:///etc/passwd"]}))
    _, end = played(
        jobs.download, work_on(server.base_url), operation(folder, task_id="task_1", status="pending")
    )
    assert type(end.error) is NotSaved
    assert len(server.requests) == 1


def test_a_task_that_failed_has_nothing_to_download(
    start_raw: StartRaw, work_on: WorkOn, folder: Path
) -> None:
    server = start_raw(success({"status": "failed", "error": "no capacity"}))
    _, end = played(
        jobs.download, work_on(server.base_url), operation(folder, task_id="task_1", status="pending")
    )
    assert isinstance(end.error, TaskFailed)
    assert end.error.detail == "no capacity"


def test_a_stop_leaves_nothing_half_done(
    service: Service, work_on: WorkOn, history: History, folder: Path
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    work = work_on(service.base_url)
    current = operation(folder, task_id="task_1", status="pending")

    def stop(event: Event) -> None:
        if isinstance(event, Receiving):
            assert names(folder) != []
            raise Stopped

    with pytest.raises(Stopped):
        played(jobs.download, work, current, on_event=stop)
    assert names(folder) == []
    assert len(history.pending(SERVICE)) == 1


# The history fails after the payment


@pytest.mark.parametrize("moment", [Polled, Receiving], ids=["while waiting", "while receiving"])
def test_an_image_matters_more_than_its_entry(
    service: Service, work_on: WorkOn, history: History, folder: Path, moment: type[Event]
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    current = operation(folder, task_id="task_1", status="pending")

    def close(event: Event) -> None:
        if isinstance(event, moment):
            history.close()

    events, end = played(jobs.download, work_on(service.base_url), current, on_event=close)
    assert end.error is None
    assert (folder / "fox.png").read_bytes() == PNG
    (notice,) = of_kind(events, Noticed)
    assert "the history cannot be used" in notice.text
    with pytest.raises(HistoryUnusable):
        history.find(SERVICE, "task_1")


# To stdout


class Stdout:
    def __init__(self, *, taken: bool = True) -> None:
        self.taken = taken
        self.delivered: list[bytes] = []

    def __call__(self, path: Path) -> bool:
        self.delivered.append(path.read_bytes())
        return self.taken


STDOUT = Output("", None, stdout=True)


def test_an_image_goes_to_stdout_once_it_is_whole(
    service: Service, download: Download, history: History, tmp_path: Path
) -> None:
    service.images["/1.png"] = [answer(200, PNG[:40], length=len(PNG)), answer(200, PNG)]
    stdout, scratch = Stdout(), tmp_path / "scratch"
    events, end = download(output=STDOUT, deliver=stdout, scratch=scratch)
    assert end.error is None
    assert stdout.delivered == [PNG]
    assert (end.operation.delivered, end.operation.settled) == ("-", True)
    assert history.find(SERVICE, "task_1") == end.operation
    assert of_kind(events, Saved) == []
    assert names(scratch) == []


def test_a_reader_that_left_did_not_get_the_image(
    service: Service, download: Download, history: History
) -> None:
    service.images["/1.png"] = [answer(200, PNG)]
    _, end = download(output=STDOUT, deliver=Stdout(taken=False))
    assert end.error is None
    assert not end.operation.settled
    assert history.pending(SERVICE) == [end.operation]


def test_stdout_takes_one_image(service: Service, download: Download) -> None:
    service.results = [["/1.png", "/2.png"]]
    stdout = Stdout()
    _, end = download(output=STDOUT, deliver=stdout)
    assert error_of(end).code == "several_images"
    assert error_of(end).exit_code == ExitCode.NOT_SAVED
    assert stdout.delivered == []


# The whole life, in both dialects


@pytest.mark.parametrize("dialect", ["live", "seed"])
@pytest.mark.parametrize(
    "fault",
    [
        "submit-500=2",
        "status-503=2",
        "no-result-yet=2",
        "image-truncated=2",
        "image-cut=2",
        "image-html=2",
        "image-503=2",
        "image-redirect=1",
        "image-404=1",
    ],
)
def test_an_image_arrives_whatever_stumbles(
    start_sandbox: StartSandbox, work_on: WorkOn, tmp_path: Path, dialect: str, fault: str
) -> None:
    sandbox = start_sandbox(seconds=0, dialect=dialect, faults=[fault])
    _, end = played(jobs.generate, work_on(sandbox.base_url), operation(tmp_path))
    assert end.error is None
    assert (tmp_path / "fox.png").read_bytes() == PNG
    assert sandbox.task_count() == 1


@pytest.mark.parametrize("dialect", ["live", "seed"])
@pytest.mark.parametrize("word", ["failed", "cancelled", "rejected"])
def test_a_task_that_ends_without_an_image(
    start_sandbox: StartSandbox, work_on: WorkOn, tmp_path: Path, dialect: str, word: str
) -> None:
    sandbox = start_sandbox(seconds=0, dialect=dialect, faults=[f"task-{word}"])
    _, end = played(jobs.generate, work_on(sandbox.base_url), operation(tmp_path))
    assert isinstance(end.error, TaskFailed)
    assert end.operation.status == word
    assert end.error.detail


def test_a_task_of_another_machine_is_recorded_once_its_image_is_saved(
    start_sandbox: StartSandbox, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    sandbox = start_sandbox(seconds=0)
    work = work_on(sandbox.base_url)
    _, made = played(jobs.generate, work, operation(tmp_path), wait=False)
    foreign = replace(
        operation(tmp_path, "copy.png", id="op_foreign0", task_id=made.operation.task_id),
        request=None,
        idempotency_key=None,
        status="pending",
    )
    _, end = played(jobs.download, work, foreign)
    assert end.error is None
    kept = history.find(SERVICE, "op_foreign0")
    assert kept is not None
    assert kept.files[0].path == str(tmp_path / "copy.png")
