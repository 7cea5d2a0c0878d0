"""Scenarios of the golden screens.

Each function is a scenario. It has the name of its golden file, and its docstring is the head of that file.
"""

from __future__ import annotations

from screens.harness import PROMPT, Harness, Scenario, Screenshot

#: Scenarios by name.
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario."""
    SCENARIOS[function.__name__.replace("_", "-")] = function
    return function


@scenario
def first_run_without_a_command(harness: Harness) -> Screenshot:
    """Without a command, the program shows commands to try now. The first one needs no key."""
    with harness.terminal() as screen:
        return screen.end()


@scenario
def first_run_without_a_key(harness: Harness) -> Screenshot:
    """For a missing key, the error shows every way to set one, how to try the program without one, and
    the command that stores one. Nothing was sent."""
    with harness.terminal("generate", PROMPT) as screen:
        return screen.end()


@scenario
def key_setup_typed(harness: Harness) -> Screenshot:
    """The prompt for the key has no echo, and no part of the key ever appears on the screen."""
    with harness.terminal("config", "set", "api_key") as screen:
        prompt = screen.until("API key")
        screen.type("sk-hunter22-0123456789\n")
        return screen.end(prompt)


@scenario
def typo_in_an_option(harness: Harness) -> Screenshot:
    """The error suggests the right option, before anything is paid."""
    harness.with_a_key()
    with harness.terminal("generate", PROMPT, "--aspect-ration", "16:9") as screen:
        return screen.end()


@scenario
def bytes_to_a_terminal(harness: Harness) -> Screenshot:
    """Image data for a terminal is refused before anything is paid."""
    harness.with_a_key()
    with harness.terminal("generate", PROMPT, "-o", "-") as screen:
        return screen.end()


@scenario
def submit_without_waiting(harness: Harness) -> Screenshot:
    """The task's id is the result. The cost and the command that downloads the image are shown with it."""
    harness.with_a_key()
    with harness.terminal("generate", PROMPT, "--no-wait") as screen:
        return screen.end()


@scenario
def wait(harness: Harness) -> Screenshot:
    """A single live line shows the status, the elapsed time and the progress."""
    harness.service.stays("processing", 41)
    harness.with_a_key()
    with harness.terminal("generate", PROMPT) as screen:
        return screen.now("41%")


@scenario
def ctrl_c(harness: Harness) -> Screenshot:
    """Nothing is lost: the command that downloads the image can be copied."""
    harness.service.stays("processing", 41)
    harness.with_a_key()
    with harness.terminal("generate", PROMPT) as screen:
        waiting = screen.until("41%")
        screen.type("\x03")
        return screen.end(waiting)


@scenario
def ctrl_c_before_the_answer(harness: Harness) -> Screenshot:
    """It is unknown whether the task exists. The suggested command repeats the request, which pays once."""
    harness.service.accepts = False
    harness.with_a_key()
    with harness.terminal("generate", PROMPT) as screen:
        screen.until("submitting")
        screen.type("\x03")
        return screen.end()


@scenario
def narrow_terminal_and_ctrl_c(harness: Harness) -> Screenshot:
    """The command is wrapped by the terminal alone, so that it is copied as one line."""
    harness.service.stays("processing", 41)
    harness.with_a_key()
    with harness.terminal("generate", PROMPT, columns=40) as screen:
        waiting = screen.until("41%")
        screen.type("\x03")
        return screen.end(waiting)


@scenario
def time_out(harness: Harness) -> Screenshot:
    """The wait ends before the task: the error shows its progress, and how to resume."""
    harness.service.stays("processing", 41)
    harness.with_a_key()
    # One poll only. On a busy machine it may take this long, and without a response the screen would differ.
    harness.program.environment["SEEDREAM_POLL_INTERVAL"] = "10"
    with harness.terminal("generate", PROMPT, "--timeout", "0.1") as screen:
        return screen.end()


@scenario
def failure(harness: Harness) -> Screenshot:
    """The error has the service's own words and the request id. There is nothing to resume."""
    harness.service.states[-1] = {
        "status": "failed",
        "error_code": "CONTENT_POLICY_VIOLATION",
        "error_message": "The prompt was rejected by the content policy",
    }
    harness.with_a_key()
    with harness.terminal("generate", PROMPT) as screen:
        return screen.end()


@scenario
def result(harness: Harness) -> Screenshot:
    """The path, ready to be copied, and a summary. The live display is gone."""
    harness.with_a_key()
    with harness.terminal("generate", PROMPT) as screen:
        return screen.end()


@scenario
def several_tasks_of_which_one_fails(harness: Harness) -> Screenshot:
    """The other images are saved. The error of the failed one is shown, and the summary counts it."""
    harness.service.first_ends = {
        "status": "failed",
        "error_message": "The upstream model has no capacity left",
    }
    harness.with_a_key()
    with harness.terminal("generate", PROMPT, "-n", "3", "-o", "hero.png") as screen:
        screen.until("capacity")
        harness.service.others.set()
        return screen.end()


@scenario
def pipe(harness: Harness) -> Screenshot:
    """stdout has the path and nothing else. stderr has a line for each change of status."""
    harness.with_a_key()
    return harness.pipe("generate", PROMPT)


@scenario
def ci(harness: Harness) -> Screenshot:
    """A log has a line for each change of status, and no live display even if the runner has a terminal."""
    harness.with_a_key()
    with harness.terminal("generate", PROMPT, CI="true") as screen:
        return screen.end()


@scenario
def sync_plan(harness: Harness) -> Screenshot:
    """The plan shows what a sync would pay for, and why."""
    harness.with_a_manifest()
    with harness.terminal("sync", "--dry-run") as screen:
        return screen.end()


@scenario
def sync(harness: Harness) -> Screenshot:
    """The live display shows the overall progress. It is followed by a path for each image, and a summary."""
    harness.service.first_ends = {"status": "completed"}
    harness.with_a_manifest()
    harness.with_a_key()
    with harness.terminal("sync", "-j", "1") as screen:
        waiting = screen.until("owl · processing")
        harness.service.others.set()
        return screen.end(waiting)
