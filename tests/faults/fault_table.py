"""Fault table: the expected outcome of each fault at each stage of a run.

An outcome is the exit code, the number of tasks and of images, the status in the history, and the suggested
command. There are three kinds of fault: wrong responses, unreachable hosts, and faults of the process, its
machine and its files. There is one row for each class of outcome, which depends on whether the error is
retried, whether the create request may have arrived, and how far the task had come. Every row is run by
`test_fault_table.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from faults import system_faults as system
from faults.scenario import (
    FILE_UNRECORDED,
    INTENT_RECORDED,
    RESPONSE_UNRECORDED,
    RESULT_RECEIVED,
    START,
    Action,
    Expected,
    Scenario,
)
from support import network_faults as network
from support.forked import Point
from support.service import IMAGE, POLL, SUBMIT, Fault, FaultRule

#: Source image of the rows with an edit model.
SOURCE = "photo.png"
#: Values of ``Expected.resume``.
GENERATE = "generate --resume"
DOWNLOAD = "download"
MV = "mv"
NOTHING = "-"

#: The image is saved and recorded.
SAVED = Expected(0, 1, 1, "saved", NOTHING)
#: The create request arrived, but its response did not. The history has the intent.
UNKNOWN = Expected(7, 1, 0, "unanswered", GENERATE)
#: The create request did not arrive. The history has the intent.
UNSENT = Expected(7, 0, 0, "unanswered", GENERATE)
#: The task is completed, but its image could not be downloaded or written.
NOT_SAVED = Expected(9, 1, 0, "completed", DOWNLOAD)


def refused(exit_code: int) -> Expected:
    """Return the outcome if the API refused the request."""
    return Expected(exit_code, 0, 0, "refused", NOTHING)


def waiting(exit_code: int) -> Expected:
    """Return the outcome if the command ended while the task was running.

    Its status depends on the stage: see `_at_poll`.
    """
    return Expected(exit_code, 1, 0, "pending", DOWNLOAD)


@dataclass(frozen=True)
class Row:
    """A fault in a stage, and its expected outcome."""

    stage: str
    fault: str
    expected: Expected
    #: Sets the fault up before the program starts.
    prepare: Callable[[Scenario], None] = lambda scenario: None
    #: Point at which the program is stopped for ``action``.
    at: Point | None = None
    action: Action | None = None
    #: Additional options of `generate`.
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join([f"{self.stage}: {self.fault}", *self.options])


_WHERE = {SUBMIT: "sent, no response", POLL: "first poll", IMAGE: "mid download"}

#: Faulty responses by name.
_RESPONSES: dict[str, Fault] = {
    "reset": network.reset,
    "reset, nothing done": network.reset_before,
    "closed": network.drop,
    "hang": network.hang,
    "truncated": network.truncated,
    "reset midway": network.reset_midway,
    "hang midway": network.hang_midway,
    "chunks cut": network.chunks_cut,
    "cut without length": network.cut,
    "HTML": network.html,
    "invalid JSON": network.invalid_json,
    "wrong types": network.wrong_types,
    "no object": network.no_object,
    "empty": network.empty,
    "2 MiB of JSON": network.endless,
    "400": network.refused(400, "invalid_parameter"),
    "401": network.refused(401, "invalid_api_key"),
    "402": network.refused(402, "insufficient_quota"),
    "403": network.refused(403, "permission_denied"),
    "403 balance": network.refused(403, "insufficient_balance"),
    "404": network.refused(404, "not_found"),
    "408": network.refused(408, done=True),
    "409 conflict": network.refused(409, "idempotency_conflict"),
    "409 in progress": network.in_progress,
    "410": network.refused(410, "gone"),
    "429": network.rate_limited(None),
    "429, 7 s": network.rate_limited("7"),
    "429, a date": network.rate_limited(network.in_a_while),
    "429, 11 days": network.rate_limited("999999"),
    "429, no number": network.rate_limited("soon"),
    **{str(status): network.refused(status, done=True) for status in (500, 502, 503, 504)},
    "redirect elsewhere": network.redirected("https://elsewhere.invalid/"),
    "redirect loop": network.redirected("{origin}{path}"),
    "redirect to a file": network.redirected("file:///etc/hostname"),
}

#: Sequences of responses that are retried. The run still saves its image.
_RETRIED: list[tuple[list[str], list[str]]] = [
    (["reset", "closed", "hang", "truncated"], [SUBMIT, POLL, IMAGE]),
    (["reset midway", "hang midway", "chunks cut", "cut without length"], [SUBMIT, POLL, IMAGE]),
    (["reset, nothing done", "HTML", "invalid JSON", "empty"], [SUBMIT, POLL, IMAGE]),
    (["500", "502", "503", "504"], [SUBMIT, POLL, IMAGE]),
    (["408", "429", "429, 7 s", "429, a date"], [SUBMIT, POLL, IMAGE]),
    (["wrong types", "no object", "2 MiB of JSON", "409 in progress"], [SUBMIT, POLL]),
    (["429, no number"], [SUBMIT, POLL, IMAGE]),
    # The image is requested once more, with a new URL.
    (["403"], [IMAGE]),
    (["404"], [IMAGE]),
    (["redirect elsewhere", "redirect loop"], [IMAGE]),
]

#: Responses that are repeated for ever, with the outcome at submit, poll and download. None: not tested.
_FOR_EVER: list[tuple[str, Expected | None, Expected | None, Expected | None]] = [
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

#: Responses that are not retried, with the outcome at submit, poll and download.
_FINAL: list[tuple[str, Expected, Expected | None, Expected | None]] = [
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

#: Sequences of responses at submit; the last one is repeated for ever. A refusal is final if no earlier
#: attempt can have arrived. Otherwise the operation stays unanswered: an earlier attempt may have used
#: the last credit.
_SEQUENCES: list[tuple[list[str], Expected]] = [
    (["429", "400"], refused(2)),
    (["429", "401"], refused(4)),
    (["429", "402"], refused(5)),
    (["reset", "401"], replace(UNKNOWN, exit_code=4)),
    (["500", "402"], replace(UNKNOWN, exit_code=5)),
    (["HTML", "403"], replace(UNKNOWN, exit_code=4)),
    (["hang", "409 conflict"], replace(UNKNOWN, exit_code=2)),
    (["reset", "429", "401"], replace(UNKNOWN, exit_code=4)),
    # The client cannot know that the first attempt did not arrive.
    (["reset, nothing done", "401"], replace(UNSENT, exit_code=4)),
    # An invalid request was already invalid at the first attempt.
    (["reset, nothing done", "400"], refused(2)),
]

#: Responses to the second attempt to submit, after the first connection was refused.
_NEVER_SENT_THEN: dict[str, Expected] = {"401": refused(4), "402": refused(5)}

#: Unreachable hosts, with the outcome at submit, poll and download.
_UNREACHABLE: list[tuple[str, Action, Expected | None, Expected | None, Expected | None]] = [
    ("connection refused", system.server_down, UNSENT, waiting(7), NOT_SAVED),
    ("connecting hangs", system.server_stalled, UNSENT, None, NOT_SAVED),
    ("no such name", system.no_names, UNSENT, waiting(7), None),
]

#: Stages of a run: a point of the program, or a response of the service with its number.
_STAGES: dict[str, Point] = {
    "before submit": START,
    "intent recorded": INTENT_RECORDED,
    "sent, no response": (SUBMIT, 1),
    "response unrecorded": RESPONSE_UNRECORDED,
    "first poll": (POLL, 1),
    "later poll": (POLL, 2),
    "result received": RESULT_RECEIVED,
    "mid download": (IMAGE, 1),
    "file unrecorded": FILE_UNRECORDED,
}

#: Outcomes in the order of `_STAGES`. None: the fault has no meaning there, or another row covers it.
_ExpectedByStage = list[Expected | None]


def _at(stages: str, expected_by_stage: _ExpectedByStage) -> _ExpectedByStage:
    """Keep only the outcomes at these positions of `_STAGES`, counted from 1."""
    return [expected if str(place) in stages else None for place, expected in enumerate(expected_by_stage, 1)]


def _with(expected: Expected, states: str) -> list[Expected]:
    """Return the outcome once for each of these statuses in the history."""
    return [replace(expected, history=state) for state in states.split()]


def _stopped(code: int, *, at_start: int, has_message: bool = True) -> _ExpectedByStage:
    """Return the outcomes of a signal. ``has_message``: the program can print an error."""
    generate, download = (GENERATE, DOWNLOAD) if has_message else (NOTHING, NOTHING)
    return [
        # Before the signal handlers are installed.
        Expected(at_start, 0, 0, "nothing", NOTHING),
        Expected(code, 0, 0, "unanswered", generate),
        *_with(Expected(code, 1, 0, "", generate), "unanswered unanswered"),
        *_with(Expected(code, 1, 0, "", download), "pending processing completed completed"),
        Expected(code, 1, 1, "completed", download),
    ]


_REFUSED = Expected(2, 0, 0, "nothing", NOTHING)
_NO_HISTORY = Expected(9, 0, 0, "nothing", NOTHING)
_LATER_STATUSES = "unanswered unanswered unanswered pending processing completed completed"

#: Faults of the process, its machine and its files.
_MACHINE: list[tuple[str, Action, _ExpectedByStage]] = [
    ("SIGINT", system.send_signal("SIGINT"), _stopped(130, at_start=130)),
    ("SIGTERM", system.send_signal("SIGTERM"), _at("1368", _stopped(143, at_start=-15))),
    ("SIGHUP", system.send_signal("SIGHUP"), _at("125", _stopped(143, at_start=-1))),
    ("SIGKILL", system.send_signal("SIGKILL"), _stopped(-9, at_start=-9, has_message=False)),
    (
        "disk full",
        system.disk_full,
        [_NO_HISTORY, *_with(NOT_SAVED, _LATER_STATUSES), replace(SAVED, history="completed")],
    ),
    (
        "no more files",
        system.no_more_files,
        [
            *(_NO_HISTORY, UNSENT, *_with(waiting(7), "pending pending processing processing")),
            *(NOT_SAVED, SAVED, SAVED),
        ],
    ),
    (
        "folder vanishes",
        system.folder_vanishes,
        _at("15789", [*[SAVED] * 7, NOT_SAVED, replace(SAVED, images=0)]),
    ),
    ("folder becomes a file", system.folder_becomes_a_file, _at("1278", [_REFUSED, *[NOT_SAVED] * 7, None])),
    (
        "folder becomes read-only",
        system.folder_becomes_read_only,
        # The temporary file cannot be removed either; a later run does that.
        _at("13789", [_REFUSED, *[NOT_SAVED] * 6, replace(NOT_SAVED, images=1), SAVED]),
    ),
    ("name is taken", system.name_is_taken, _at("1478", [_REFUSED, *[SAVED] * 7, None])),
    (
        "history is locked",
        system.history_is_locked,
        [_NO_HISTORY, *_with(SAVED, _LATER_STATUSES + " completed")],
    ),
    ("clock is set back", system.clock_set_back, _at("247", [SAVED] * 9)),
    ("history is corrupt", system.history_is_corrupt, [Expected(9, 0, 0, "unreadable", MV), *[None] * 8]),
    ("history is newer", system.history_is_newer, _at("1", [_NO_HISTORY] * 9)),
    ("history is read-only", system.history_is_read_only, _at("1", [_NO_HISTORY] * 9)),
]

#: Rows that are also run with a source image and a sidecar: the request body is kept on disk until it is no
#: longer needed, and there is a second file.
_EDIT_ROWS = {
    "sent, no response: reset for ever",
    "sent, no response: reset, then 401",
    "sent, no response: 429, then 401",
    "sent, no response: SIGINT",
    "sent, no response: history is locked",
    "intent recorded: SIGKILL",
    "response unrecorded: SIGKILL",
    "response unrecorded: disk full",
    "response unrecorded: history is locked",
    "mid download: disk full",
    "file unrecorded: SIGINT",
}


def rows() -> Iterator[Row]:
    """Yield all rows of the table."""
    edits = []
    for row in (*_response_rows(), *_sequence_rows(), *_unreachable_rows(), *_machine_rows()):
        yield row
        if row.name in _EDIT_ROWS:
            edits.append(replace(row, options=("-i", SOURCE, "--sidecar")))
    assert len(edits) == len(_EDIT_ROWS), "_EDIT_ROWS names rows that do not exist"
    yield from edits


def _injecting(*fault_rules: FaultRule) -> Callable[[Scenario], None]:
    return lambda scenario: scenario.service.fault_rules.extend(fault_rules)


def _response_rows() -> Iterator[Row]:
    for faults, stages in _RETRIED:
        for stage in stages:
            fault_rules = [
                FaultRule(stage, _RESPONSES[fault], number, 1) for number, fault in enumerate(faults, 1)
            ]
            yield Row(_WHERE[stage], f"{'; '.join(faults)} once", SAVED, prepare=_injecting(*fault_rules))
    for often, times, faults_for_ever in (("once", 1, _FINAL), ("for ever", None, _FOR_EVER)):
        for number, (fault, *expected_by_stage) in enumerate(faults_for_ever):
            for stage, expected in zip((SUBMIT, POLL, IMAGE), expected_by_stage, strict=True):
                if expected is None:
                    continue
                # In half of the rows the task has already been polled once.
                first = 1 + number % 2 if stage == POLL else 1
                yield Row(
                    "later poll" if first > 1 else _WHERE[stage],
                    f"{fault} {often}",
                    _at_poll(expected, first),
                    prepare=_injecting(FaultRule(stage, _RESPONSES[fault], first, times)),
                )


def _sequence_rows() -> Iterator[Row]:
    for faults, expected in _SEQUENCES:
        fault_rules = [
            FaultRule(SUBMIT, _RESPONSES[fault], number, None if number == len(faults) else 1)
            for number, fault in enumerate(faults, 1)
        ]
        yield Row("sent, no response", ", then ".join(faults), expected, prepare=_injecting(*fault_rules))
    for fault, expected in _NEVER_SENT_THEN.items():

        def down(scenario: Scenario, fault: str = fault) -> None:
            system.server_down(scenario)
            scenario.inject(SUBMIT, _RESPONSES[fault])

        at, name = (INTENT_RECORDED[0], 2), f"connection refused, then {fault}"
        yield Row("intent recorded", name, expected, prepare=down, at=at, action=system.server_back)


def _unreachable_rows() -> Iterator[Row]:
    for fault, action, at_create, at_poll, at_image in _UNREACHABLE:
        for stage, point, expected in (
            ("intent recorded", INTENT_RECORDED, at_create),
            # While the response to submit is on its way, before the first poll.
            ("first poll", (SUBMIT, 1), at_poll),
            ("result received", RESULT_RECEIVED, at_image),
        ):
            if expected is not None:
                yield _action_row(stage, fault, point, action, expected)


def _machine_rows() -> Iterator[Row]:
    for fault, action, expected_by_stage in _MACHINE:
        for (stage, point), expected in zip(_STAGES.items(), expected_by_stage, strict=True):
            if expected is not None:
                yield _action_row(stage, fault, point, action, expected)


def _action_row(stage: str, fault: str, point: Point, action: Action, expected: Expected) -> Row:
    where, first = point
    if where not in (SUBMIT, POLL, IMAGE):
        return Row(stage, fault, expected, at=point, action=action)

    def prepare(scenario: Scenario) -> None:
        scenario.inject(
            where, system.during_response(scenario, action, midway=where == IMAGE), first, times=1
        )

    return Row(stage, fault, expected, prepare=prepare)


def _at_poll(expected: Expected, first: int) -> Expected:
    """Adjust the status: a task that was polled before was seen in progress."""
    return (
        replace(expected, history="processing") if first > 1 and expected.history == "pending" else expected
    )
