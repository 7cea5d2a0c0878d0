"""The table: stage × fault → exit code, tasks created, images on disk, the history's state, what to run next.

Three kinds of fault: what is sent in place of an answer, a host that is out of reach, and what happens to the
process, its machine and its files. One row stands for each class of outcome: whether the error is retried,
whether the create may have arrived, which exit code it has, and how far the task had come. `test_table.py`
runs every row.
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


_WHERE = {SUBMIT: "sent, no answer", POLL: "first poll", IMAGE: "mid download"}

#: What is sent in place of an answer.
_ANSWERS: dict[str, Fault] = {
    "reset": line.reset,
    "reset, nothing done": line.reset_before,
    "closed": line.drop,
    "hang": line.hang,
    "truncated": line.truncated,
    "reset midway": line.reset_midway,
    "hang midway": line.hang_midway,
    "chunks cut": line.chunks_cut,
    "cut without length": line.cut,
    "HTML": line.html,
    "invalid JSON": line.invalid_json,
    "wrong types": line.wrong_types,
    "no object": line.no_object,
    "empty": line.empty,
    "2 MiB of JSON": line.endless,
    "400": line.refused(400, "invalid_parameter"),
    "401": line.refused(401, "invalid_api_key"),
    "402": line.refused(402, "insufficient_quota"),
    "403": line.refused(403, "permission_denied"),
    "403 balance": line.refused(403, "insufficient_balance"),
    "404": line.refused(404, "not_found"),
    "408": line.refused(408, done=True),
    "409 conflict": line.refused(409, "idempotency_conflict"),
    "409 in progress": line.in_progress,
    "410": line.refused(410, "gone"),
    "429": line.rate_limited(None),
    "429, 7 s": line.rate_limited("7"),
    "429, a date": line.rate_limited(line.in_a_while),
    "429, 11 days": line.rate_limited("999999"),
    "429, no number": line.rate_limited("soon"),
    **{str(status): line.refused(status, done=True) for status in (500, 502, 503, 504)},
    "redirect elsewhere": line.redirected("https://elsewhere.invalid/"),
    "redirect loop": line.redirected("{origin}{path}"),
    "redirect to a file": line.redirected("file:///etc/hostname"),
}

#: Answers that are retried: a run meets with these one after the other, and saves its image all the same.
_RETRIED: list[tuple[list[str], list[str]]] = [
    (["reset", "closed", "hang", "truncated"], [SUBMIT, POLL, IMAGE]),
    (["reset midway", "hang midway", "chunks cut", "cut without length"], [SUBMIT, POLL, IMAGE]),
    (["reset, nothing done", "HTML", "invalid JSON", "empty"], [SUBMIT, POLL, IMAGE]),
    (["500", "502", "503", "504"], [SUBMIT, POLL, IMAGE]),
    (["408", "429", "429, 7 s", "429, a date"], [SUBMIT, POLL, IMAGE]),
    (["wrong types", "no object", "2 MiB of JSON", "409 in progress"], [SUBMIT, POLL]),
    (["429, no number"], [SUBMIT, POLL, IMAGE]),
    # An image's host gets one more request, with a new link.
    (["403"], [IMAGE]),
    (["404"], [IMAGE]),
    (["redirect elsewhere", "redirect loop"], [IMAGE]),
]

#: The same one for ever: at the create, at a poll, at the image. None: another row tells.
_FOR_EVER: list[tuple[str, Truth | None, Truth | None, Truth | None]] = [
    ("reset", UNKNOWN, waiting(7), NOT_SAVED),
    ("reset, nothing done", UNSENT, None, None),
    ("closed", None, waiting(7), None),
    ("hang", UNKNOWN, waiting(7), None),
    ("truncated", UNKNOWN, None, NOT_SAVED),
    ("hang midway", None, None, NOT_SAVED),
    ("chunks cut", None, waiting(7), NOT_SAVED),
    ("cut without length", UNKNOWN, waiting(7), NOT_SAVED),
    ("HTML", UNKNOWN, waiting(7), NOT_SAVED),
    ("wrong types", UNKNOWN, waiting(7), None),
    ("empty", UNKNOWN, None, NOT_SAVED),
    ("2 MiB of JSON", UNKNOWN, waiting(7), None),
    ("404", None, None, NOT_SAVED),
    ("408", UNKNOWN, None, None),
    ("409 in progress", UNKNOWN, waiting(7), None),
    ("429", UNSENT, waiting(7), NOT_SAVED),
    ("429, a date", UNSENT, waiting(7), NOT_SAVED),
    ("500", UNKNOWN, waiting(7), NOT_SAVED),
    ("redirect loop", None, None, NOT_SAVED),
]

#: Answers after which nothing more is asked: at the create, at a poll, at the image.
_FINAL: list[tuple[str, Truth, Truth | None, Truth | None]] = [
    ("400", refused(2), waiting(2), None),
    ("401", refused(4), waiting(4), NOT_SAVED),
    ("402", refused(5), waiting(5), NOT_SAVED),
    ("403", refused(4), waiting(4), None),
    ("403 balance", refused(5), waiting(5), None),
    ("404", refused(6), waiting(6), None),
    ("409 conflict", refused(2), None, None),
    ("410", refused(2), waiting(2), None),
    ("429, 11 days", UNSENT, waiting(7), NOT_SAVED),
    ("redirect elsewhere", UNSENT, waiting(7), None),
    ("redirect loop", UNSENT, waiting(7), None),
    ("redirect to a file", UNSENT, waiting(7), NOT_SAVED),
]

#: One after the other at the create, the last for ever. A refusal settles it where nothing can have arrived
#: before. Where a create may have, it settles nothing: that one may have taken the last of a balance.
_SEQUENCES: list[tuple[list[str], Truth]] = [
    (["429", "400"], refused(2)),
    (["429", "401"], refused(4)),
    (["429", "402"], refused(5)),
    (["reset", "401"], replace(UNKNOWN, exit_code=4)),
    (["500", "402"], replace(UNKNOWN, exit_code=5)),
    (["HTML", "403"], replace(UNKNOWN, exit_code=4)),
    (["hang", "409 conflict"], replace(UNKNOWN, exit_code=2)),
    (["reset", "429", "401"], replace(UNKNOWN, exit_code=4)),
    # The service, not the client, would know better.
    (["reset, nothing done", "401"], replace(UNSENT, exit_code=4)),
    # What is wrong with a request was wrong with it the first time too.
    (["reset, nothing done", "400"], refused(2)),
]

#: What a create is answered that was never sent before: the service was down.
_NEVER_SENT_THEN: dict[str, Truth] = {"401": refused(4), "402": refused(5)}

#: Hosts out of reach. At the create, at a poll, at the image.
_REACH: list[tuple[str, Act, Truth | None, Truth | None, Truth | None]] = [
    ("connection refused", acts.server_down, UNSENT, waiting(7), NOT_SAVED),
    ("connecting hangs", acts.server_stalled, UNSENT, None, NOT_SAVED),
    ("no such name", acts.no_names, UNSENT, waiting(7), None),
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

#: By stage, in the order of `_STAGES`; None: it means nothing there, or another row tells.
_Truths = list[Truth | None]


def _at(stages: str, truths: _Truths) -> _Truths:
    """Only these, by their place in `_STAGES`, from 1."""
    return [truth if str(place) in stages else None for place, truth in enumerate(truths, 1)]


def _with(truth: Truth, states: str) -> list[Truth]:
    """The same at one stage after the other, where the history is in these states."""
    return [replace(truth, history=state) for state in states.split()]


def _stopped(code: int, *, at_start: int, told: bool = True) -> _Truths:
    """By a signal: nothing but the exit code depends on which one it is; ``told``: there is a message."""
    generate, download = (GENERATE, DOWNLOAD) if told else (NOTHING, NOTHING)
    return [
        # Python's own: nothing has been done yet.
        Truth(at_start, 0, 0, "nothing", NOTHING),
        Truth(code, 0, 0, "unanswered", generate),
        *_with(Truth(code, 1, 0, "", generate), "unanswered unanswered"),
        *_with(Truth(code, 1, 0, "", download), "pending processing completed completed"),
        Truth(code, 1, 1, "completed", download),
    ]


_REFUSED = Truth(2, 0, 0, "nothing", NOTHING)
_NO_HISTORY = Truth(9, 0, 0, "nothing", NOTHING)
_BEHIND = "unanswered unanswered unanswered pending processing completed completed"

#: What happens to the process, its machine and its files.
_MACHINE: list[tuple[str, Act, _Truths]] = [
    ("SIGINT", acts.signalled("SIGINT"), _stopped(130, at_start=130)),
    ("SIGTERM", acts.signalled("SIGTERM"), _at("1368", _stopped(143, at_start=-15))),
    ("SIGHUP", acts.signalled("SIGHUP"), _at("125", _stopped(143, at_start=-1))),
    ("SIGKILL", acts.signalled("SIGKILL"), _stopped(-9, at_start=-9, told=False)),
    (
        "disk full",
        acts.disk_full,
        [_NO_HISTORY, *_with(NOT_SAVED, _BEHIND), replace(SAVED, history="completed")],
    ),
    (
        "no more files",
        acts.no_more_files,
        [
            *(_NO_HISTORY, UNSENT, *_with(waiting(7), "pending pending processing processing")),
            *(NOT_SAVED, SAVED, SAVED),
        ],
    ),
    (
        "folder vanishes",
        acts.folder_vanishes,
        _at("15789", [*[SAVED] * 7, NOT_SAVED, replace(SAVED, images=0)]),
    ),
    ("folder becomes a file", acts.folder_becomes_a_file, _at("1278", [_REFUSED, *[NOT_SAVED] * 7, None])),
    (
        "folder becomes read-only",
        acts.folder_becomes_read_only,
        # What has been fetched by then cannot even be removed; a later run does that.
        _at("13789", [_REFUSED, *[NOT_SAVED] * 6, replace(NOT_SAVED, images=1), SAVED]),
    ),
    ("name is taken", acts.name_is_taken, _at("1478", [_REFUSED, *[SAVED] * 7, None])),
    ("history is locked", acts.history_is_locked, [_NO_HISTORY, *_with(SAVED, _BEHIND + " completed")]),
    ("clock is set back", acts.clock_set_back, _at("247", [SAVED] * 9)),
    ("history is corrupt", acts.history_is_corrupt, [Truth(9, 0, 0, "unreadable", MV), *[None] * 8]),
    ("history is newer", acts.history_is_newer, _at("1", [_NO_HISTORY] * 9)),
    ("history is read-only", acts.history_is_read_only, _at("1", [_NO_HISTORY] * 9)),
]

#: Rows that are run a second time with a source image and a sidecar: a body that is kept until nothing can
#: need it any more, and a second file.
_DESCRIBED_EDITS = {
    "sent, no answer: reset for ever",
    "sent, no answer: reset, then 401",
    "sent, no answer: 429, then 401",
    "sent, no answer: SIGINT",
    "sent, no answer: history is locked",
    "intent recorded: SIGKILL",
    "answer unrecorded: SIGKILL",
    "answer unrecorded: disk full",
    "answer unrecorded: history is locked",
    "mid download: disk full",
    "file unrecorded: SIGINT",
}


def rows() -> Iterator[Row]:
    described = []
    for row in (*_line_rows(), *_sequence_rows(), *_reach_rows(), *_machine_rows()):
        yield row
        if row.name in _DESCRIBED_EDITS:
            described.append(replace(row, options=("-i", SOURCE, "--sidecar")))
    assert len(described) == len(_DESCRIBED_EDITS), "these rows are gone"
    yield from described


def _striking(*strikes: Strike) -> Callable[[Scene], None]:
    return lambda scene: scene.service.strikes.extend(strikes)


def _line_rows() -> Iterator[Row]:
    for faults, stages in _RETRIED:
        for stage in stages:
            strikes = [Strike(stage, _ANSWERS[fault], number, 1) for number, fault in enumerate(faults, 1)]
            yield Row(_WHERE[stage], f"{'; '.join(faults)} once", SAVED, prepare=_striking(*strikes))
    for often, times, faults_for_ever in (("once", 1, _FINAL), ("for ever", None, _FOR_EVER)):
        for number, (fault, *truths) in enumerate(faults_for_ever):
            for stage, truth in zip((SUBMIT, POLL, IMAGE), truths, strict=True):
                if truth is None:
                    continue
                # Half of the tasks that are polled have been seen at work before.
                first = 1 + number % 2 if stage == POLL else 1
                yield Row(
                    "later poll" if first > 1 else _WHERE[stage],
                    f"{fault} {often}",
                    _at_poll(truth, first),
                    prepare=_striking(Strike(stage, _ANSWERS[fault], first, times)),
                )


def _sequence_rows() -> Iterator[Row]:
    for faults, truth in _SEQUENCES:
        strikes = [
            Strike(SUBMIT, _ANSWERS[fault], number, None if number == len(faults) else 1)
            for number, fault in enumerate(faults, 1)
        ]
        yield Row("sent, no answer", ", then ".join(faults), truth, prepare=_striking(*strikes))
    for fault, truth in _NEVER_SENT_THEN.items():

        def down(scene: Scene, fault: str = fault) -> None:
            acts.server_down(scene)
            scene.service.strikes.append(Strike(SUBMIT, _ANSWERS[fault]))

        at, name = (INTENT_RECORDED[0], 2), f"connection refused, then {fault}"
        yield Row("intent recorded", name, truth, prepare=down, at=at, act=acts.server_back)


def _reach_rows() -> Iterator[Row]:
    for fault, act, at_create, at_poll, at_image in _REACH:
        for stage, point, truth in (
            ("intent recorded", INTENT_RECORDED, at_create),
            # Before the next call, while this one's answer is under way.
            ("first poll", (SUBMIT, 1), at_poll),
            ("result received", RESULT_RECEIVED, at_image),
        ):
            if truth is not None:
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
