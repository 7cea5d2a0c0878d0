"""From a completed task to files on disk: each image whole, under a name of its own, and never lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import JPEG, png
from support.raw import Exchange, Reply, answer, success
from support.scene import Scene
from support.tasks import SERVICE, of_kind, operation, played

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

PNG, OTHER = answer(200, png()), answer(200, png(shade=9))
STATUS = "/v1/images/status/task_1"


class Service:
    """An API and its images on one port: each path answers in turn, the last answer again and again."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.folder = scene.folder / "pictures"
        self.fox = self.folder / "fox.png"
        self.server = scene.serve(self._answer)
        self.images: dict[str, list[Reply]] = {"/1.png": [PNG]}
        self.results: list[list[str]] = [["/1.png"]]
        self.asked: list[str] = []

    def answers(self, *replies: Reply) -> None:
        """Answer so when the first image is asked for."""
        self.images["/1.png"] = list(replies)

    def download(
        self,
        task: Operation | None = None,
        *,
        name: str = "fox.png",
        on_event: Callable[[Event], None] = lambda event: None,
        **options: object,
    ) -> tuple[list[Event], TaskFinished]:
        """Download the task; ``options`` are those of Work."""
        task = task or operation(self.folder, name, task_id="task_1", status="pending")
        return played(download_task, self.scene.work(**options), task, on_event=on_event)

    @property
    def names(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir()) if self.folder.exists() else []

    @property
    def kept(self) -> Operation:
        kept = self.scene.history.find(SERVICE, "task_1")
        assert kept is not None
        return kept

    @property
    def pending(self) -> list[Operation]:
        return self.scene.history.pending(SERVICE)

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
def service(scene: Scene) -> Service:
    return Service(scene)


def error_of(end: TaskFinished) -> SeedreamError:
    assert end.error is not None
    return end.error


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in of_kind(events, Notice)]


# Saved


def test_an_image_is_saved_recorded_and_told(service: Service) -> None:
    events, end = service.download(max_bytes=len(png()))
    assert end.error is None
    digest = hashlib.sha256(png()).hexdigest()
    saved = SavedFile(1, str(service.fox), digest, len(png()), "image/png", 4, 3)
    assert end.operation.files == (saved,)
    assert end.operation.is_done
    assert service.fox.read_bytes() == png()
    assert service.kept == end.operation
    assert [(event.file, event.shown) for event in of_kind(events, Saved)] == [(saved, saved.path)]
    assert service.names == ["fox.png"]
    receiving = [(each.number, each.count, each.received, each.total) for each in of_kind(events, Receiving)]
    assert receiving[0] == (1, 1, 0, len(png()))
    assert receiving[-1] == (1, 1, len(png()), len(png()))


@pytest.mark.parametrize("output", ["{slug}-{task}.{ext}", "{slug}.{ext}", "{date}/{slug}.{ext}"])
def test_the_ending_follows_the_bytes_not_the_address(service: Service, output: str) -> None:
    service.answers(answer(200, JPEG))
    events, end = service.download(name=output)
    assert end.operation.files[0].path.endswith(".jpg")
    assert end.operation.files[0].media_type == "image/jpeg"
    assert notices(events) == []


@pytest.mark.parametrize("name", ["fox.jpeg", "fox.JPG", "fox", "fox.png"])
def test_an_explicit_name_with_other_bytes_gets_a_notice(service: Service, name: str) -> None:
    service.answers(answer(200, JPEG))
    events, end = service.download(name=name)
    assert (end.error, service.names) == (None, [name])
    assert notices(events) == (["fox.png holds a JPEG image"] if name == "fox.png" else [])


def test_several_results_are_numbered_and_each_is_recorded_when_it_is_here(service: Service) -> None:
    service.results = [["/1.png", "/2.png"]]
    service.images["/2.png"] = [answer(404)]
    events, end = service.download()
    assert isinstance(end.error, ImageRefused)
    assert service.names == ["fox-1.png"]
    assert ([file.number for file in service.kept.files], service.kept.is_done) == ([1], False)
    # Only what is missing is fetched the next time.
    service.images["/2.png"] = [OTHER]
    events, end = service.download(service.kept)
    assert end.error is None
    assert service.names == ["fox-1.png", "fox-2.png"]
    assert [event.file.number for event in of_kind(events, FileKept)] == [1]
    assert [event.file.number for event in of_kind(events, Saved)] == [2]
    assert service.asked.count("/1.png") == 1
    assert end.operation.is_done


def test_a_template_with_a_number_is_used_as_it_is(service: Service) -> None:
    service.results = [["/1.png", "/2.png"]]
    service.images["/2.png"] = [OTHER]
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
def test_a_name_that_is_taken(
    service: Service, there: bytes, overwrite: bool, path: str, notice: list[str]
) -> None:
    service.folder.mkdir()
    service.fox.write_bytes(there)
    # What a killed run left is removed.
    (service.folder / ".seedream-op_abcd1234-1.part").write_bytes(b"half")
    events, end = service.download(overwrite=overwrite)
    assert end.operation.files[0].path == str(service.folder / path)
    assert (service.folder / path).read_bytes() == png()
    assert service.fox.read_bytes() == (there if notice else png())
    assert service.names == sorted({"fox.png", path})
    assert notices(events) == notice


# On disk already


def test_what_is_on_disk_unchanged_is_not_asked_for_and_anything_else_is_fetched(service: Service) -> None:
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
    # Changed: kept, and fetched beside it.
    service.fox.write_bytes(b"edited by hand")
    _, again = service.download(end.operation)
    assert again.error is None
    assert service.fox.read_bytes() == b"edited by hand"
    assert again.operation.files[0].path == str(service.folder / "fox-2.png")


def test_another_place_gets_an_image_of_its_own_and_a_path_is_shown_as_it_was_given(
    service: Service, tmp_path: Path
) -> None:
    _, end = service.download()
    events, again = service.download(end.operation, output=parse_output("here/copy.png", cwd=str(tmp_path)))
    assert again.error is None
    assert [event.shown for event in of_kind(events, Saved)] == ["here/copy.png"]
    assert (tmp_path / "here" / "copy.png").read_bytes() == service.fox.read_bytes() == png()


# Repeated

PASSING: dict[str, Reply] = {
    "a truncated image": answer(200, png()[:40], length=len(png())),
    "an image cut without a length": answer(200, png()[:40], length=None),
    "an HTML page": answer(200, b"<html>It works!</html>"),
    "an empty image": answer(200, b""),
    "a dropped connection": None,
    **{str(status): answer(status) for status in (408, 429, 500, 503)},
    "a cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{",
}


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_an_image_is_fetched_again_and_given_up_after_five_attempts(service: Service, reply: Reply) -> None:
    service.answers(reply)
    _, end = service.download(spread=lambda low, high: high)
    assert isinstance(end.error, ImageDamaged | ImageUnreachable | ImageRefused)
    assert error_of(end).exit_code == ExitCode.NOT_SAVED
    assert service.asked.count("/1.png") == 5
    assert service.scene.clock.pauses == [0.5, 1.0, 2.0, 4.0]
    assert service.names == []
    assert service.pending == [end.operation]
    service.asked.clear()
    service.answers(reply, reply, PNG)
    events, end = service.download()
    assert end.error is None
    assert service.fox.read_bytes() == png()
    assert service.names == ["fox.png"]
    assert [event.what for event in of_kind(events, Retrying)] == ["fetching the image"] * 2
    # Its address is as good as it was.
    assert service.asked.count(STATUS) == 1


def test_a_retry_after_of_the_images_host_is_honoured_within_the_images_time(service: Service) -> None:
    service.answers(answer(503, headers={"Retry-After": "3600"}))
    _, end = service.download()
    assert "asks to come back" in error_of(end).message
    assert service.scene.clock.pauses == []
    service.answers(answer(503, headers={"Retry-After": "9"}), PNG)
    _, end = service.download()
    assert (end.error, service.scene.clock.pauses) == (None, [9.0])


# Addresses that died


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_dead_address_is_renewed(service: Service, status: int) -> None:
    service.results = [["/old.png"], ["/new.png"]]
    service.images = {"/old.png": [answer(status)], "/new.png": [PNG]}
    _, end = service.download()
    assert end.error is None
    assert service.asked == [STATUS, "/old.png", STATUS, "/new.png"]
    assert end.operation.results == (f"{service.server.origin}/new.png",)
    assert service.kept == end.operation


def test_a_dead_address_is_renewed_only_once(service: Service) -> None:
    service.results = [["/0.png"], ["/1.png"]]
    service.images = {"/0.png": [answer(403)], "/1.png": [answer(403)]}
    _, end = service.download()
    assert isinstance(end.error, ImageRefused)
    assert end.error.exit_code == ExitCode.NOT_SAVED
    assert service.asked == [STATUS, "/0.png", STATUS, "/1.png"]
    assert service.kept.results == (f"{service.server.origin}/1.png",)
    # A pause of zero seconds behind the renewal must not be taken for one.
    service.asked.clear()
    service.answers(answer(403), answer(503), None, PNG)
    _, end = service.download(spread=lambda low, high: 0.0)
    assert (end.error, service.asked.count(STATUS)) == (None, 2)


def test_a_signature_that_cannot_be_renewed_is_told(scene: Scene) -> None:
    clock = Clock()
    scene.sandbox(url_seconds=60.0, clock=clock)
    _, end = scene.generate()
    _, told = played(query_task, scene.work(), end.operation)
    clock.time += 3600
    # The service signs for a minute from the task's end: nothing it hands out is good any more.
    _, end = played(download_task, scene.work(), told.operation)
    assert isinstance(end.error, ImageRefused)
    assert scene.history.pending(SERVICE) != []


def test_results_that_became_fewer_are_told(service: Service) -> None:
    service.results = [["/1.png", "/2.png"], ["/1.png"]]
    service.images["/2.png"] = [answer(404)]
    _, end = service.download()
    assert isinstance(end.error, NotSaved)
    assert "no result any more" in end.error.message


# What cannot be saved


@pytest.mark.parametrize("length", [True, None], ids=["announced", "not announced"])
def test_an_image_beyond_the_limit_is_refused_and_not_tried_again(
    service: Service, length: bool | None
) -> None:
    service.answers(answer(200, png() + bytes(100_000), length=length))
    _, end = service.download(max_bytes=50_000)
    assert error_of(end).code == "too_large"
    assert "--max-bytes" in error_of(end).message
    assert (service.asked.count("/1.png"), service.names) == (1, [])


def test_a_folder_that_cannot_be_written_keeps_the_task(service: Service) -> None:
    service.folder.write_text("a file")
    _, end = service.download()
    assert error_of(end).code == "cannot_write"
    assert service.pending == [end.operation]


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ({"status": "completed", "result": ["file:///etc/passwd"]}, NotSaved, None),
        ({"status": "failed", "error": "no capacity"}, TaskFailed, "no capacity"),
    ],
    ids=["an address that may not be fetched", "a task that failed"],
)
def test_what_cannot_be_fetched(
    scene: Scene, told: dict[str, object], kind: type[SeedreamError], words: str | None
) -> None:
    server = scene.serve(success(told))
    task = operation(scene.folder, task_id="task_1", status="pending")
    _, end = played(download_task, scene.work(), task)
    assert (type(end.error), error_of(end).detail or words, len(server.requests)) == (kind, words, 1)


def test_a_stop_leaves_nothing_half_done(service: Service) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Receiving):
            assert service.names != []
            raise Stopped

    with pytest.raises(Stopped):
        service.download(on_event=stop)
    assert service.names == []
    assert len(service.pending) == 1


# The history fails after the payment


@pytest.mark.parametrize("moment", [Polled, Receiving], ids=["while waiting", "while receiving"])
def test_an_image_matters_more_than_its_entry(service: Service, moment: type[Event]) -> None:
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
    def __init__(self, *, taken: bool = True) -> None:
        self.taken = taken
        self.delivered: list[bytes] = []

    def __call__(self, path: Path) -> bool:
        self.delivered.append(path.read_bytes())
        return self.taken


STDOUT = OutputTemplate("", None, stdout=True)


def test_an_image_goes_to_stdout_once_it_is_whole(service: Service, tmp_path: Path) -> None:
    service.answers(answer(200, png()[:40], length=len(png())), PNG)
    stdout, scratch = Stdout(), tmp_path / "scratch"
    events, end = service.download(output=STDOUT, deliver=stdout, scratch=scratch)
    assert end.error is None
    assert stdout.delivered == [png()]
    assert (end.operation.delivered, end.operation.is_done) == ("-", True)
    assert service.kept == end.operation
    assert of_kind(events, Saved) == []
    assert list(scratch.iterdir()) == []


def test_a_reader_that_left_did_not_get_the_image(service: Service) -> None:
    _, end = service.download(output=STDOUT, deliver=Stdout(taken=False))
    assert (end.error, end.operation.is_done) == (None, False)
    assert service.pending == [end.operation]


def test_stdout_takes_one_image(service: Service) -> None:
    service.results = [["/1.png", "/2.png"]]
    stdout = Stdout()
    _, end = service.download(output=STDOUT, deliver=stdout)
    assert (error_of(end).code, error_of(end).exit_code) == ("several_images", ExitCode.NOT_SAVED)
    assert stdout.delivered == []


# The whole life, in both dialects


@pytest.mark.parametrize(
    ("dialect", "fault"),
    [
        *[("live", fault) for fault in ("submit-500=2", "status-503=2", "no-result-yet=2", "image-403=1")],
        *[("seed", fault) for fault in ("no-result-yet=2", "image-cut=2", "image-redirect=1", "image-404=1")],
    ],
)
def test_an_image_arrives_whatever_stumbles(scene: Scene, dialect: str, fault: str) -> None:
    sandbox = scene.sandbox(fault, dialect=dialect)
    _, end = scene.generate(wait=True)
    assert end.error is None
    assert (scene.folder / "fox.png").read_bytes() == png()
    assert sandbox.task_count() == 1


@pytest.mark.parametrize("dialect", ["live", "seed"])
@pytest.mark.parametrize("word", ["failed", "cancelled", "rejected"])
def test_a_task_that_ends_without_an_image(scene: Scene, dialect: str, word: str) -> None:
    scene.sandbox(f"task-{word}", dialect=dialect)
    _, end = scene.generate(wait=True)
    assert isinstance(end.error, TaskFailed)
    assert end.operation.status == word
    assert end.error.detail


def test_a_task_of_another_machine_is_recorded_once_its_image_is_saved(scene: Scene) -> None:
    scene.sandbox()
    _, made = scene.generate()
    foreign = replace(
        operation(scene.folder, "copy.png", id="op_foreign0", task_id=made.operation.task_id),
        request=None,
        idempotency_key=None,
        status="pending",
    )
    _, end = played(download_task, scene.work(), foreign)
    assert end.error is None
    kept = scene.history.find(SERVICE, "op_foreign0")
    assert kept is not None
    assert kept.files[0].path == str(scene.folder / "copy.png")
