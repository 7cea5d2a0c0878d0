"""save_results: the images of a completed task become complete files on disk, and none is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.clock import Clock, longest
from support.images import JPEG, png
from support.raw import Exchange, Reply, answer, success
from support.scene import Scene
from support.tasks import SERVICE, error_of, of_kind, operation, run_task

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
from seedream_cli.events import Event, FileKept, Notice, Polled, Receiving, Retrying, Saved, TaskFinished
from seedream_cli.files.output_path import OutputTemplate, parse_output
from seedream_cli.models import Operation, SavedFile
from seedream_cli.tasks.run import download_task, query_task

PNG = answer(200, png())
OTHER_PNG = answer(200, png(shade=9))
STATUS = "/v1/images/status/task_1"


class FakeService:
    """An API and its images on one port. Each path sends its replies in turn, the last one repeatedly."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.folder = scene.folder / "pictures"
        self.fox = self.folder / "fox.png"
        self.server = scene.serve(self._answer)
        self.images: dict[str, list[Reply]] = {"/1.png": [PNG]}
        self.results: list[list[str]] = [["/1.png"]]
        self.requested: list[str] = []

    def answers(self, *replies: Reply) -> None:
        """Set the replies for the first image."""
        self.images["/1.png"] = list(replies)

    def download(
        self,
        task: Operation | None = None,
        *,
        name: str = "fox.png",
        on_event: Callable[[Event], None] = lambda event: None,
        **options: object,
    ) -> tuple[list[Event], TaskFinished]:
        """Download the task; ``options`` are fields of TaskContext."""
        task = task or operation(self.folder, name, task_id="task_1", status="pending")
        return run_task(download_task, self.scene.context(**options), task, on_event=on_event)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    @property
    def recorded(self) -> Operation:
        recorded = self.scene.history.find(SERVICE, "task_1")
        assert recorded is not None
        return recorded

    @property
    def pending(self) -> list[Operation]:
        return self.scene.history.pending(SERVICE)

    def _answer(self, exchange: Exchange) -> None:
        path = exchange.request.path.partition("?")[0]
        self.requested.append(path)
        reply: Reply
        if path.startswith("/v1/images/status/"):
            paths = self.results.pop(0) if len(self.results) > 1 else self.results[0]
            urls = [self.server.origin + name for name in paths]
            reply = success({"task_id": "task_1", "status": "completed", "result": urls})
        else:
            replies = self.images[path]
            reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if callable(reply):
            reply(exchange)
        elif reply is not None:
            exchange.connection.sendall(reply)


@pytest.fixture
def service(scene: Scene) -> FakeService:
    return FakeService(scene)


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in of_kind(events, Notice)]


# Saved


def test_download_saves_records_and_reports_an_image(service: FakeService) -> None:
    events, end = service.download(max_bytes=len(png()))
    assert end.error is None
    digest = hashlib.sha256(png()).hexdigest()
    saved = SavedFile(1, str(service.fox), digest, len(png()), "image/png", 4, 3)
    assert end.operation.files == (saved,)
    assert end.operation.is_done
    assert service.fox.read_bytes() == png()
    assert service.recorded == end.operation
    assert [(event.file, event.shown) for event in of_kind(events, Saved)] == [(saved, saved.path)]
    assert service.names == ["fox.png"]
    receiving = [
        (event.number, event.count, event.received, event.total) for event in of_kind(events, Receiving)
    ]
    assert receiving[0] == (1, 1, 0, len(png()))
    assert receiving[-1] == (1, 1, len(png()), len(png()))


@pytest.mark.parametrize("output", ["{slug}-{task}.{ext}", "{slug}.{ext}", "{date}/{slug}.{ext}"])
def test_ending_follows_the_bytes_not_the_url(service: FakeService, output: str) -> None:
    service.answers(answer(200, JPEG))
    events, end = service.download(name=output)
    assert end.operation.files[0].path.endswith(".jpg")
    assert end.operation.files[0].media_type == "image/jpeg"
    assert notices(events) == []


@pytest.mark.parametrize("name", ["fox.jpeg", "fox.JPG", "fox", "fox.png"])
def test_explicit_ending_of_another_format_gets_a_notice(service: FakeService, name: str) -> None:
    service.answers(answer(200, JPEG))
    events, end = service.download(name=name)
    assert (end.error, service.names) == (None, [name])
    assert notices(events) == (["fox.png holds a JPEG image"] if name == "fox.png" else [])


def test_several_results_are_numbered_and_recorded_one_by_one(service: FakeService) -> None:
    service.results = [["/1.png", "/2.png"]]
    service.images["/2.png"] = [answer(404)]
    events, end = service.download()
    assert isinstance(end.error, ImageRefused)
    assert service.names == ["fox-1.png"]
    assert ([file.number for file in service.recorded.files], service.recorded.is_done) == ([1], False)
    # The next download fetches only the missing image.
    service.images["/2.png"] = [OTHER_PNG]
    events, end = service.download(service.recorded)
    assert end.error is None
    assert service.names == ["fox-1.png", "fox-2.png"]
    assert [event.file.number for event in of_kind(events, FileKept)] == [1]
    assert [event.file.number for event in of_kind(events, Saved)] == [2]
    assert service.requested.count("/1.png") == 1
    assert end.operation.is_done


def test_several_results_use_the_number_in_the_template(service: FakeService) -> None:
    service.results = [["/1.png", "/2.png"]]
    service.images["/2.png"] = [OTHER_PNG]
    service.download(name="{n}-fox.{ext}")
    assert service.names == ["1-fox.png", "2-fox.png"]


@pytest.mark.parametrize(
    ("there", "overwrite", "path", "notice"),
    [
        (b"mine", False, "fox-2.png", ["fox.png is taken: the image is saved as fox-2.png"]),
        (b"old", True, "fox.png", []),
        # The same bytes, from an earlier run, are adopted.
        (png(), False, "fox.png", []),
    ],
    ids=["left alone", "overwritten", "adopted"],
)
def test_download_to_a_name_that_is_taken(
    service: FakeService, there: bytes, overwrite: bool, path: str, notice: list[str]
) -> None:
    service.folder.mkdir()
    service.fox.write_bytes(there)
    # The partial file of a killed run is removed.
    (service.folder / ".seedream-op_abcd1234-1.part").write_bytes(b"half")
    events, end = service.download(overwrite=overwrite)
    assert end.operation.files[0].path == str(service.folder / path)
    assert (service.folder / path).read_bytes() == png()
    assert service.fox.read_bytes() == (there if notice else png())
    assert service.names == sorted({"fox.png", path})
    assert notices(events) == notice


# Already on disk


def test_download_fetches_only_what_is_not_on_disk_unchanged(service: FakeService) -> None:
    _, end = service.download()
    before = service.server.connections
    events, again = service.download(end.operation)
    assert (again.error, again.operation) == (None, end.operation)
    assert [event.shown for event in of_kind(events, FileKept)] == [str(service.fox)]
    assert service.server.connections == before
    # Deleted.
    service.fox.unlink()
    _, again = service.download(end.operation)
    assert again.error is None
    assert service.fox.read_bytes() == png()
    # Changed: kept, and the image is saved under another name.
    service.fox.write_bytes(b"edited by hand")
    _, again = service.download(end.operation)
    assert again.error is None
    assert service.fox.read_bytes() == b"edited by hand"
    assert again.operation.files[0].path == str(service.folder / "fox-2.png")


def test_download_to_another_output_saves_a_second_file(service: FakeService, tmp_path: Path) -> None:
    _, end = service.download()
    events, again = service.download(end.operation, output=parse_output("here/copy.png", cwd=str(tmp_path)))
    assert again.error is None
    assert [event.shown for event in of_kind(events, Saved)] == ["here/copy.png"]
    assert (tmp_path / "here" / "copy.png").read_bytes() == service.fox.read_bytes() == png()


# Repeated

TRANSIENT: dict[str, Reply] = {
    "a truncated image": answer(200, png()[:40], length=len(png())),
    "an image cut without a length": answer(200, png()[:40], length=None),
    "an HTML page": answer(200, b"<html>It works!</html>"),
    "an empty image": answer(200, b""),
    "a dropped connection": None,
    **{str(status): answer(status) for status in (408, 429, 500, 503)},
    "a cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{",
}


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=TRANSIENT)
def test_download_is_retried_five_times(service: FakeService, reply: Reply) -> None:
    service.answers(reply)
    _, end = service.download(jitter=longest)
    assert isinstance(end.error, ImageDamaged | ImageUnreachable | ImageRefused)
    assert error_of(end).exit_code == ExitCode.NOT_SAVED
    assert service.requested.count("/1.png") == 5
    assert service.scene.clock.pauses == [0.5, 1.0, 2.0, 4.0]
    assert service.names == []
    assert service.pending == [end.operation]
    service.requested.clear()
    service.answers(reply, reply, PNG)
    events, end = service.download()
    assert end.error is None
    assert service.fox.read_bytes() == png()
    assert service.names == ["fox.png"]
    assert [event.what for event in of_kind(events, Retrying)] == ["fetching the image"] * 2
    # Its URL has not expired, so the status is not requested again.
    assert service.requested.count(STATUS) == 1


def test_retry_after_of_the_image_host_is_waited_for_within_the_budget(service: FakeService) -> None:
    service.answers(answer(503, headers={"Retry-After": "3600"}))
    _, end = service.download()
    assert "asks to come back" in error_of(end).message
    assert service.scene.clock.pauses == []
    service.answers(answer(503, headers={"Retry-After": "9"}), PNG)
    _, end = service.download()
    assert (end.error, service.scene.clock.pauses) == (None, [9.0])


# Expired URLs


@pytest.mark.parametrize("status", [403, 404, 410])
def test_expired_url_is_renewed(service: FakeService, status: int) -> None:
    service.results = [["/old.png"], ["/new.png"]]
    service.images = {"/old.png": [answer(status)], "/new.png": [PNG]}
    _, end = service.download()
    assert end.error is None
    assert service.requested == [STATUS, "/old.png", STATUS, "/new.png"]
    assert end.operation.results == (f"{service.server.origin}/new.png",)
    assert service.recorded == end.operation


def test_expired_url_is_renewed_only_once(service: FakeService) -> None:
    service.results = [["/0.png"], ["/1.png"]]
    service.images = {"/0.png": [answer(403)], "/1.png": [answer(403)]}
    _, end = service.download()
    assert isinstance(end.error, ImageRefused)
    assert end.error.exit_code == ExitCode.NOT_SAVED
    assert service.requested == [STATUS, "/0.png", STATUS, "/1.png"]
    assert service.recorded.results == (f"{service.server.origin}/1.png",)
    # A pause of zero seconds after the renewal must not count as another renewal.
    service.requested.clear()
    service.answers(answer(403), answer(503), None, PNG)
    _, end = service.download(jitter=lambda low, high: 0.0)
    assert (end.error, service.requested.count(STATUS)) == (None, 2)


def test_expired_url_that_cannot_be_renewed_raises(scene: Scene) -> None:
    clock = Clock()
    scene.sandbox(url_seconds=60.0, clock=clock)
    _, end = scene.generate()
    _, status = run_task(query_task, scene.context(), end.operation)
    clock.time += 3600
    # Signatures are valid for a minute after the task has completed, so a new one is expired too.
    _, end = run_task(download_task, scene.context(), status.operation)
    assert isinstance(end.error, ImageRefused)
    assert scene.history.pending(SERVICE) != []


def test_expired_url_without_a_new_result_raises(service: FakeService) -> None:
    service.results = [["/1.png", "/2.png"], ["/1.png"]]
    service.images["/2.png"] = [answer(404)]
    _, end = service.download()
    assert isinstance(end.error, NotSaved)
    assert "no result any more" in end.error.message


# Images that cannot be saved


@pytest.mark.parametrize("length", [True, None], ids=["announced", "not announced"])
def test_max_bytes_is_enforced_without_a_retry(service: FakeService, length: bool | None) -> None:
    service.answers(answer(200, png() + bytes(100_000), length=length))
    _, end = service.download(max_bytes=50_000)
    assert error_of(end).code == "too_large"
    assert "--max-bytes" in error_of(end).message
    assert (service.requested.count("/1.png"), service.names) == (1, [])


def test_folder_that_cannot_be_written_keeps_the_task_pending(service: FakeService) -> None:
    service.folder.write_text("a file")
    _, end = service.download()
    assert error_of(end).code == "cannot_write"
    assert service.pending == [end.operation]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ({"status": "completed", "result": ["file:///etc/passwd"]}, NotSaved, None),
        ({"status": "failed", "error": "no capacity"}, TaskFailed, "no capacity"),
    ],
    ids=["a URL that is not allowed", "a task that failed"],
)
def test_download_fails_without_a_retry(
    scene: Scene, status: dict[str, object], kind: type[SeedreamError], words: str | None
) -> None:
    server = scene.serve(success(status))
    task = operation(scene.folder, task_id="task_1", status="pending")
    _, end = run_task(download_task, scene.context(), task)
    assert (type(end.error), error_of(end).detail or words, len(server.requests)) == (kind, words, 1)


def test_stop_while_receiving_leaves_no_partial_file(service: FakeService) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Receiving):
            assert service.names != []
            raise Stopped

    with pytest.raises(Stopped):
        service.download(on_event=stop)
    assert service.names == []
    assert len(service.pending) == 1


# A failing history


@pytest.mark.parametrize("moment", [Polled, Receiving], ids=["while waiting", "while receiving"])
def test_history_that_fails_does_not_stop_a_download(service: FakeService, moment: type[Event]) -> None:
    def close(event: Event) -> None:
        if isinstance(event, moment):
            service.scene.history.close()

    events, end = service.download(on_event=close)
    assert end.error is None
    assert service.fox.read_bytes() == png()
    (notice,) = notices(events)
    assert "the history cannot be used" in notice
    with pytest.raises(HistoryUnusable):
        service.scene.history.find(SERVICE, "task_1")


# To stdout


class Stdout:
    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self.delivered: list[bytes] = []

    def __call__(self, path: Path) -> bool:
        self.delivered.append(path.read_bytes())
        return self.is_open


STDOUT = OutputTemplate("", None, stdout=True)


def test_stdout_gets_an_image_only_when_it_is_complete(service: FakeService, tmp_path: Path) -> None:
    service.answers(answer(200, png()[:40], length=len(png())), PNG)
    stdout, scratch = Stdout(), tmp_path / "scratch"
    events, end = service.download(output=STDOUT, deliver=stdout, scratch=scratch)
    assert end.error is None
    assert stdout.delivered == [png()]
    assert (end.operation.delivered, end.operation.is_done) == ("-", True)
    assert service.recorded == end.operation
    assert of_kind(events, Saved) == []
    assert list(scratch.iterdir()) == []


def test_stdout_closed_by_its_reader_keeps_the_task_pending(service: FakeService) -> None:
    _, end = service.download(output=STDOUT, deliver=Stdout(is_open=False))
    assert (end.error, end.operation.is_done) == (None, False)
    assert service.pending == [end.operation]


def test_stdout_takes_only_one_image(service: FakeService) -> None:
    service.results = [["/1.png", "/2.png"]]
    stdout = Stdout()
    _, end = service.download(output=STDOUT, deliver=stdout)
    assert (error_of(end).code, error_of(end).exit_code) == ("several_images", ExitCode.NOT_SAVED)
    assert stdout.delivered == []


# From submit to file, in both dialects


@pytest.mark.parametrize(
    ("dialect", "fault"),
    [
        *[("live", fault) for fault in ("submit-500=2", "status-503=2", "no-result-yet=2", "image-403=1")],
        *[("live", f"status-{fault}=3") for fault in ("drop", "html", "429")],
        ("live", "strange-status=3"),
        *[("seed", fault) for fault in ("no-result-yet=2", "image-cut=2", "image-redirect=1", "image-404=1")],
    ],
)
def test_generate_survives_a_fault(scene: Scene, dialect: str, fault: str) -> None:
    sandbox = scene.sandbox(fault, dialect=dialect)
    _, end = scene.generate(wait=True)
    assert end.error is None
    assert (scene.folder / "fox.png").read_bytes() == png()
    assert sandbox.task_count() == 1


@pytest.mark.parametrize("dialect", ["live", "seed"])
@pytest.mark.parametrize("word", ["failed", "cancelled", "rejected"])
def test_generate_reports_a_failed_task(scene: Scene, dialect: str, word: str) -> None:
    scene.sandbox(f"task-{word}", dialect=dialect)
    _, end = scene.generate(wait=True)
    assert isinstance(end.error, TaskFailed)
    assert end.operation.status == word
    assert end.error.detail


def test_external_task_is_recorded_when_its_image_is_saved(scene: Scene) -> None:
    scene.sandbox()
    _, submitted = scene.generate()
    external = replace(
        operation(scene.folder, "copy.png", id="op_foreign0", task_id=submitted.operation.task_id),
        request=None,
        idempotency_key=None,
        status="pending",
    )
    _, end = run_task(download_task, scene.context(), external)
    assert end.error is None
    recorded = scene.history.find(SERVICE, "op_foreign0")
    assert recorded is not None
    assert recorded.files[0].path == str(scene.folder / "copy.png")
