"""The table: stage × fault → exit code, tasks created, images on disk, the history's state, what to run next.

Three kinds of fault: what goes over the line in the place of an answer, a host that is out of reach, and
what happens to the process, its machine and its files. `test_table.py` runs every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from faults import acts
from faults.scene import (
    ANSWER_UNRECORDED,
    FILE_UNRECORDED,
    INTENT_RECORDED,
    RESULT_RECEIVED,
    START,
    Act,
    Scene,
    Truth,
)
from support import network_faults as line
from support.forked import Point
from support.service import IMAGE, POLL, SUBMIT, Fault, Strike

#: A source image of the rows that edit one.
SOURCE = "photo.png"
GENERATE, DOWNLOAD, MV, NOTHING = "generate --resume", "download", "mv", "-"

#: The image is there, and all is recorded.
SAVED = Truth(0, 1, 1, "saved", NOTHING)
#: The create may have arrived, or surely has not: the history holds the intent.
UNKNOWN = Truth(7, 1, 0, "unanswered", GENERATE)
UNSENT = Truth(7, 0, 0, "unanswered", GENERATE)
#: The image is ready and could not be fetched or written.
NOT_SAVED = Truth(9, 1, 0, "completed", DOWNLOAD)


def refused(exit_code: int) -> Truth:
    """The API made no task of it."""
    return Truth(exit_code, 0, 0, "refused", NOTHING)


def waiting(exit_code: int) -> Truth:
    """The wait ended, the task goes on. Its state is that of the stage: see `_at_poll`."""
    return Truth(exit_code, 1, 0, "pending", DOWNLOAD)


def _both(truth: Truth) -> tuple[Truth, Truth]:
    """Once is enough."""
    return truth, truth


@dataclass(frozen=True)
class Row:
    """Something goes wrong in ``stage``; then ``truth`` holds."""

    stage: str
    fault: str
    truth: Truth
    #: Brings the fault about, before the program starts.
    prepare: Callable[[Scene], None] = lambda scene: None
    #: Where the program is stopped for ``act``.
    at: Point | None = None
    act: Act | None = None
    #: Of `generate`, besides what every row has.
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join([f"{self.stage}: {self.fault}", *self.options])


#: Answers. Once and for ever: at the create, at a poll, at the image.
_Pair = tuple[Truth, Truth] | None
_LINE: list[tuple[str, Fault, _Pair, _Pair, _Pair]] = [
    ("reset", line.reset, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("reset, nothing done", line.reset_before, (SAVED, UNSENT), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("closed", line.drop, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("hang", line.hang, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("truncated", line.truncated, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("reset midway", line.reset_midway, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("hang midway", line.hang_midway, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("chunks cut", line.chunks_cut, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("cut without length", line.cut, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("HTML", line.html, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("invalid JSON", line.invalid_json, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("wrong types", line.wrong_types, (SAVED, UNKNOWN), (SAVED, waiting(7)), None),
    ("no object", line.no_object, (SAVED, UNKNOWN), (SAVED, waiting(7)), None),
    ("empty", line.empty, (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("2 MiB of JSON", line.endless, (SAVED, UNKNOWN), (SAVED, waiting(7)), None),
    ("400", line.refused(400, "invalid_parameter"), _both(refused(2)), _both(waiting(2)), (SAVED, NOT_SAVED)),
    ("401", line.refused(401, "invalid_api_key"), _both(refused(4)), _both(waiting(4)), _both(NOT_SAVED)),
    ("402", line.refused(402, "insufficient_quota"), _both(refused(5)), _both(waiting(5)), _both(NOT_SAVED)),
    ("403", line.refused(403, "permission_denied"), _both(refused(4)), _both(waiting(4)), (SAVED, NOT_SAVED)),
    ("403 balance", line.refused(403, "insufficient_balance"), _both(refused(5)), _both(waiting(5)), None),
    ("404", line.refused(404, "not_found"), _both(refused(6)), _both(waiting(6)), (SAVED, NOT_SAVED)),
    ("408", line.refused(408, done=True), (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("409 conflict", line.refused(409, "idempotency_conflict"), _both(refused(2)), None, None),
    ("409 in progress", line.in_progress, (SAVED, UNKNOWN), (SAVED, waiting(7)), None),
    ("410", line.refused(410, "gone"), _both(refused(2)), _both(waiting(2)), (SAVED, NOT_SAVED)),
    ("429", line.rate_limited(None), (SAVED, UNSENT), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("429, 7 s", line.rate_limited("7"), (SAVED, UNSENT), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    (
        "429, a date",
        line.rate_limited(line.in_a_while),
        (SAVED, UNSENT),
        (SAVED, waiting(7)),
        (SAVED, NOT_SAVED),
    ),
    ("429, 11 days", line.rate_limited("999999"), _both(UNSENT), _both(waiting(7)), _both(NOT_SAVED)),
    ("429, no number", line.rate_limited("soon"), (SAVED, UNSENT), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("500", line.refused(500, done=True), (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("502", line.refused(502, done=True), (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("503", line.refused(503, done=True), (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    ("504", line.refused(504, done=True), (SAVED, UNKNOWN), (SAVED, waiting(7)), (SAVED, NOT_SAVED)),
    (
        "redirect elsewhere",
        line.redirected("https://elsewhere.invalid/"),
        _both(UNSENT),
        _both(waiting(7)),
        (SAVED, NOT_SAVED),
    ),
    (
        "redirect loop",
        line.redirected("{origin}{path}"),
        _both(UNSENT),
        _both(waiting(7)),
        (SAVED, NOT_SAVED),
    ),
    (
        "redirect to a file",
        line.redirected("file:///etc/hostname"),
        _both(UNSENT),
        _both(waiting(7)),
        _both(NOT_SAVED),
    ),
]

#: One after the other at the create; the last for ever.
_IN_TURN: list[tuple[str, list[Fault], Truth]] = [
    ("500, 502, 503, 504", [*(line.refused(status, done=True) for status in (500, 502, 503, 504))], SAVED),
    # Behind a create that may have arrived, these settle nothing: it may have taken the last of a balance.
    (
        "reset, then 401",
        [line.reset, line.refused(401, "invalid_api_key")],
        replace(UNKNOWN, exit_code=4),
    ),
    ("reset, then 402", [line.reset, line.refused(402, "insufficient_quota")], replace(UNKNOWN, exit_code=5)),
    (
        "reset, then 403",
        [line.reset, line.refused(403, "permission_denied")],
        replace(UNKNOWN, exit_code=4),
    ),
    (
        "reset, then 409",
        [line.reset, line.refused(409, "idempotency_conflict")],
        replace(UNKNOWN, exit_code=2),
    ),
]

#: Hosts out of reach. At the create, at a poll, at the image.
_REACH: list[tuple[str, Act, Truth, Truth, Truth]] = [
    ("connection refused", acts.server_down, UNSENT, waiting(7), NOT_SAVED),
    ("connecting hangs", acts.server_stalled, UNSENT, waiting(7), NOT_SAVED),
    ("no such name", acts.no_names, UNSENT, waiting(7), NOT_SAVED),
]

#: Where a run is when something happens to it: a point in the program, or an answer that it waits for.
_STAGES: dict[str, Point] = {
    "before submit": START,
    "intent recorded": INTENT_RECORDED,
    "sent, no answer": (SUBMIT, 1),
    "answer unrecorded": ANSWER_UNRECORDED,
    "first poll": (POLL, 1),
    "later poll": (POLL, 2),
    "result received": RESULT_RECEIVED,
    "mid download": (IMAGE, 1),
    "file unrecorded": FILE_UNRECORDED,
}

_Truths = list[Truth | None]


def _stopped(code: int, *, at_start: int, told: bool = True) -> _Truths:
    """By a signal: nothing but the exit code depends on which one it is; ``told``: there is a message."""
    generate, download = (GENERATE, DOWNLOAD) if told else (NOTHING, NOTHING)
    return [
        # Python's own: nothing has been done yet.
        Truth(at_start, 0, 0, "nothing", NOTHING),
        Truth(code, 0, 0, "unanswered", generate),
        Truth(code, 1, 0, "unanswered", generate),
        Truth(code, 1, 0, "unanswered", generate),
        Truth(code, 1, 0, "pending", download),
        Truth(code, 1, 0, "processing", download),
        Truth(code, 1, 0, "completed", download),
        Truth(code, 1, 0, "completed", download),
        Truth(code, 1, 1, "completed", download),
    ]


_REFUSED = Truth(2, 0, 0, "nothing", NOTHING)
_NO_HISTORY = Truth(9, 0, 0, "nothing", NOTHING)


def _saved_with(history: str) -> Truth:
    """The image is there, and the history is behind."""
    return Truth(0, 1, 1, history, NOTHING)


def _not_saved_with(history: str, exit_code: int = 9) -> Truth:
    return Truth(exit_code, 1, 0, history, DOWNLOAD)


#: What happens to the process, its machine and its files, by stage in the order of `_STAGES`; None: it
#: means nothing there.
_MACHINE: list[tuple[str, Act, _Truths]] = [
    ("SIGINT", acts.signalled("SIGINT"), _stopped(130, at_start=130)),
    ("SIGTERM", acts.signalled("SIGTERM"), _stopped(143, at_start=-15)),
    ("SIGHUP", acts.signalled("SIGHUP"), _stopped(143, at_start=-1)),
    (
        "SIGKILL",
        acts.signalled("SIGKILL"),
        _stopped(-9, at_start=-9, told=False),
    ),
    (
        "disk full",
        acts.disk_full,
        [
            _NO_HISTORY,
            *[_not_saved_with("unanswered")] * 3,
            _not_saved_with("pending"),
            _not_saved_with("processing"),
            *[NOT_SAVED] * 2,
            _saved_with("completed"),
        ],
    ),
    (
        "no more files",
        acts.no_more_files,
        [
            _NO_HISTORY,
            UNSENT,
            *[_not_saved_with("pending", 7)] * 2,
            *[_not_saved_with("processing", 7)] * 2,
            NOT_SAVED,
            *[SAVED] * 2,
        ],
    ),
    (
        "folder vanishes",
        acts.folder_vanishes,
        [*[SAVED] * 7, NOT_SAVED, Truth(0, 1, 0, "saved", NOTHING)],
    ),
    ("folder becomes a file", acts.folder_becomes_a_file, [_REFUSED, *[NOT_SAVED] * 7, None]),
    (
        "folder becomes read-only",
        acts.folder_becomes_read_only,
        # What has been fetched by then cannot even be removed; a later run does that.
        [_REFUSED, *[NOT_SAVED] * 6, replace(NOT_SAVED, images=1), SAVED],
    ),
    ("name is taken", acts.name_is_taken, [_REFUSED, *[SAVED] * 7, None]),
    (
        "history is locked",
        acts.history_is_locked,
        [
            _NO_HISTORY,
            *[_saved_with("unanswered")] * 3,
            _saved_with("pending"),
            _saved_with("processing"),
            *[_saved_with("completed")] * 3,
        ],
    ),
    ("clock is set back", acts.clock_set_back, [*[SAVED] * 2, None, SAVED, None, None, SAVED, None, SAVED]),
    ("history is corrupt", acts.history_is_corrupt, [Truth(9, 0, 0, "unreadable", MV), *[None] * 8]),
    ("history is newer", acts.history_is_newer, [_NO_HISTORY, *[None] * 8]),
    ("history is read-only", acts.history_is_read_only, [_NO_HISTORY, *[None] * 8]),
]


def rows() -> Iterator[Row]:
    yield from _line_rows()
    yield from _rows_in_turn()
    yield from _reach_rows()
    yield from _machine_rows()
    yield from _rows_of_a_described_edit()


def _rows_of_a_described_edit() -> Iterator[Row]:
    """What a source image and a sidecar add: a body that is kept, and a second file."""
    chosen = {
        *("sent, no answer: reset for ever", "sent, no answer: SIGINT", "file unrecorded: SIGINT"),
        *("intent recorded: SIGKILL", "answer unrecorded: SIGKILL", "mid download: disk full"),
    }
    for row in (*_line_rows(), *_machine_rows()):
        if row.name in chosen:
            yield replace(row, options=("-i", SOURCE, "--sidecar"))


def _striking(*strikes: Strike) -> Callable[[Scene], None]:
    return lambda scene: scene.service.strikes.extend(strikes)


def _line_rows() -> Iterator[Row]:
    for fault, answer, at_create, at_poll, at_image in _LINE:
        for stage, where, first, truths in (
            ("sent, no answer", SUBMIT, 1, at_create),
            ("first poll", POLL, 1, at_poll),
            ("later poll", POLL, 2, at_poll),
            ("mid download", IMAGE, 1, at_image),
        ):
            for often, times, truth in zip(("once", "for ever"), (1, None), truths or (), strict=False):
                strike = Strike(where, answer, first, times)
                yield Row(
                    stage,
                    f"{fault} {often}",
                    _at_poll(truth, first),
                    prepare=_striking(strike),
                )


def _rows_in_turn() -> Iterator[Row]:
    for faults, answers, truth in _IN_TURN:
        last = len(answers) if truth != SAVED else None
        strikes = [
            Strike(SUBMIT, answer, number, None if number == last else 1)
            for number, answer in enumerate(answers, 1)
        ]
        yield Row(
            "sent, no answer",
            faults,
            truth,
            prepare=_striking(*strikes),
        )


def _reach_rows() -> Iterator[Row]:
    for fault, act, at_create, at_poll, at_image in _REACH:
        for stage, point, truth in (
            ("intent recorded", INTENT_RECORDED, at_create),
            # Before the next call, while this one's answer is under way.
            ("first poll", (SUBMIT, 1), at_poll),
            ("later poll", (POLL, 1), _at_poll(at_poll, 2)),
            ("result received", RESULT_RECEIVED, at_image),
        ):
            yield _happening(stage, fault, point, act, truth)


def _machine_rows() -> Iterator[Row]:
    for fault, act, truths in _MACHINE:
        for (stage, point), truth in zip(_STAGES.items(), truths, strict=True):
            if truth is not None:
                yield _happening(stage, fault, point, act, truth)


def _happening(stage: str, fault: str, point: Point, act: Act, truth: Truth) -> Row:
    where, first = point
    if where not in (SUBMIT, POLL, IMAGE):
        return Row(stage, fault, truth, at=point, act=act)

    def prepare(scene: Scene) -> None:
        answer = acts.at_the_server(scene, act, midway=where == IMAGE)
        scene.service.strikes.append(Strike(where, answer, first, times=1))

    return Row(stage, fault, truth, prepare=prepare)


def _at_poll(truth: Truth, first: int) -> Truth:
    """A task that was polled before has been seen at work."""
    return replace(truth, history="processing") if first > 1 and truth.history == "pending" else truth
