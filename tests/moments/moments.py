"""The moments in which a person or a script meets the program, and what has to be seen in each.

A function is a moment: its name is its golden file's, its docstring the head of it.
"""

from __future__ import annotations

from moments.stage import PROMPT, Moment, Seen, Stage

#: Name → how it is played.
MOMENTS: dict[str, Moment] = {}


def moment(played: Moment) -> Moment:
    MOMENTS[played.__name__.replace("_", "-")] = played
    return played


@moment
def first_run_without_a_command(stage: Stage) -> Seen:
    """Whoever types the bare name is told what it does, by commands that can be tried now, the first
    of which needs no key."""
    with stage.terminal() as screen:
        return screen.end()


@moment
def first_run_without_a_key(stage: Stage) -> Seen:
    """A missing key is a step, not a riddle: every way to give one, the way to try it without, and the
    command that stores one. Nothing was sent."""
    with stage.terminal("generate", PROMPT) as screen:
        return screen.end()


@moment
def key_setup_typed(stage: Stage) -> Seen:
    """A key is asked for without echo, and nothing of it is ever on the screen."""
    with stage.terminal("config", "set", "api_key") as screen:
        asked = screen.until("API key")
        screen.type("sk-hunter22-0123456789\n")
        return screen.end(asked)


@moment
def typo_in_an_option(stage: Stage) -> Seen:
    """What was meant is the answer, before anything is paid."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "--aspect-ration", "16:9") as screen:
        return screen.end()


@moment
def bytes_to_a_terminal(stage: Stage) -> Seen:
    """Refused before anything is paid: no screen wants them."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "-o", "-") as screen:
        return screen.end()


@moment
def submit_without_waiting(stage: Stage) -> Seen:
    """The task's id is the answer; beside it, what it costs and the command that fetches the image."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "--no-wait") as screen:
        return screen.end()


@moment
def wait(stage: Stage) -> Seen:
    """One line that lives: that it works on it, for how long, and how far it is."""
    stage.service.stays("processing", 41)
    stage.with_a_key()
    with stage.terminal("generate", PROMPT) as screen:
        return screen.now("41%")


@moment
def ctrl_c(stage: Stage) -> Seen:
    """Nothing is lost, and the command that fetches the image is there to be copied."""
    stage.service.stays("processing", 41)
    stage.with_a_key()
    with stage.terminal("generate", PROMPT) as screen:
        waiting = screen.until("41%")
        screen.type("\x03")
        return screen.end(waiting)


@moment
def ctrl_c_before_the_answer(stage: Stage) -> Seen:
    """Whether it was paid is not known yet: the command sends the same request again, which pays once."""
    stage.service.accepts = False
    stage.with_a_key()
    with stage.terminal("generate", PROMPT) as screen:
        screen.until("submitting")
        screen.type("\x03")
        return screen.end()


@moment
def narrow_terminal_and_ctrl_c(stage: Stage) -> Seen:
    """What is wrapped is wrapped by the terminal, so that the command is copied as one line."""
    stage.service.stays("processing", 41)
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, columns=40) as screen:
        waiting = screen.until("41%")
        screen.type("\x03")
        return screen.end(waiting)


@moment
def time_out(stage: Stage) -> Seen:
    """The wait is over and the task is not: how far it was, and how to come back to it."""
    stage.service.stays("processing", 41)
    stage.with_a_key()
    # A single poll, which may take this long on a busy machine: without an answer it would be another end.
    stage.program.environment["SEEDREAM_POLL_INTERVAL"] = "10"
    with stage.terminal("generate", PROMPT, "--timeout", "0.1") as screen:
        return screen.end()


@moment
def failure(stage: Stage) -> Seen:
    """The service's own words and the request's id for its support; nothing to come back for."""
    stage.service.states[-1] = {
        "status": "failed",
        "error_code": "CONTENT_POLICY_VIOLATION",
        "error_message": "The prompt was rejected by the content policy",
    }
    stage.with_a_key()
    with stage.terminal("generate", PROMPT) as screen:
        return screen.end()


@moment
def result(stage: Stage) -> Seen:
    """The path, to be taken up with the mouse, and one line about it; what was drawn meanwhile is gone."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT) as screen:
        return screen.end()


@moment
def several_tasks_of_which_one_fails(stage: Stage) -> Seen:
    """The others are saved all the same; what became of the one, and that it is not all of them."""
    stage.service.first_ends = {
        "status": "failed",
        "error_message": "The upstream model has no capacity left",
    }
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "-n", "3", "-o", "hero.png") as screen:
        screen.until("capacity")
        stage.service.others.set()
        return screen.end()


@moment
def pipe(stage: Stage) -> Seen:
    """The path and nothing else on stdout; on stderr a line for each change of state."""
    stage.with_a_key()
    return stage.pipe("generate", PROMPT)


@moment
def ci(stage: Stage) -> Seen:
    """A log is read from above: a line for each change of state, nothing drawn over, also where the
    service's runner is a terminal."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, CI="true") as screen:
        return screen.end()


@moment
def sync_plan(stage: Stage) -> Seen:
    """What a sync would pay for, and why, before it is asked for."""
    stage.with_a_manifest()
    with stage.terminal("sync", "--dry-run") as screen:
        return screen.end()


@moment
def sync(stage: Stage) -> Seen:
    """How far it is in all while it runs; then a path for each image, and one line about all of them."""
    stage.service.first_ends = {"status": "completed"}
    stage.with_a_manifest()
    stage.with_a_key()
    with stage.terminal("sync", "-j", "1") as screen:
        waiting = screen.until("owl · processing")
        stage.service.others.set()
        return screen.end(waiting)
