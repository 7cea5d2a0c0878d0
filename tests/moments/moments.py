"""The moments in which a person or a script meets the program, and what has to be seen in each.

A function is a moment: its name is its golden file's, its docstring the head of it.
"""

from __future__ import annotations

from moments.stage import PROMPT, Moment, Seen, Stage
from support.images import png_of

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
def key_setup_by_a_pipe(stage: Stage) -> Seen:
    """Without a terminal nothing is asked; a dash takes the key from stdin."""
    return stage.pipe(
        *("config", "set", "api_key", "-"),
        stdin=b"sk-hunter22-0123456789\n",
        typed="seedream config set api_key - < key.txt",
    )


@moment
def submit(stage: Stage) -> Seen:
    """Before the first answer, one line says that something goes on and with whom."""
    stage.service.accepts = False
    stage.with_a_key()
    with stage.terminal("generate", PROMPT) as screen:
        return screen.now("submitting")


@moment
def submit_without_waiting(stage: Stage) -> Seen:
    """The task's id is the answer; beside it, what it costs and the command that fetches the image."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "--no-wait") as screen:
        return screen.end()


@moment
def submit_without_waiting_in_a_script(stage: Stage) -> Seen:
    """The id and nothing else on stdout; the command that fetches the image is in the log."""
    stage.with_a_key()
    return stage.pipe("generate", PROMPT, "--no-wait")


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
def several_results(stage: Stage) -> Seen:
    """A line a path, in their order, and one line about all of them."""
    stage.service.images = 3
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "-o", "art/fox.png") as screen:
        return screen.end()


@moment
def several_tasks_wait(stage: Stage) -> Seen:
    """A line a task, one below the other."""
    stage.service.stays("processing", 41)
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "-n", "3", "-o", "hero.png") as screen:
        return screen.now("41%", times=3)


@moment
def several_tasks(stage: Stage) -> Seen:
    """A line a path as each comes, and one line about all of them, with what they cost together."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "-n", "3", "-o", "hero.png") as screen:
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
def source_image_refused(stage: Stage) -> Seen:
    """Which file it is, before anything is paid, and nothing of what is in it: that may be a key."""
    stage.with_a_key()
    (stage.program.cwd / "notes.txt").write_text("a fox, as a watercolour")
    with stage.terminal("generate", PROMPT, "-i", "notes.txt") as screen:
        return screen.end()


@moment
def preview(stage: Stage) -> Seen:
    """Below its path the image itself, in half blocks where the terminal knows nothing better."""
    sky, sun, snow = (0x33, 0x66, 0xCC), (0xFF, 0xCC, 0x33), (0xEE, 0xEE, 0xEE)
    stage.service.picture = png_of([[sky] * 9 + [sun] * 3, *[[sky] * 12] * 2, *[[snow] * 12] * 2])
    stage.with_a_key()
    with stage.terminal(
        *("generate", PROMPT, "-o", "fox.png", "--preview"), columns=40, COLORTERM="truecolor"
    ) as screen:
        return screen.end()


@moment
def download_of_all_that_is_pending(stage: Stage) -> Seen:
    """What was found, how old it is and where it goes, before it is fetched."""
    stage.with_a_key()
    stage.program("generate", PROMPT, "--no-wait", "-o", "fox.png")
    stage.program("generate", "雪中的红狐", "--no-wait")
    with stage.terminal("download", "--pending") as screen:
        return screen.end()


@moment
def list_of_tasks(stage: Stage) -> Seen:
    """What was asked for lately, the last first: how long ago, its state, its beginning, and its file."""
    stage.service.first_ends = {
        "status": "failed",
        "error_message": "The upstream model has no capacity left",
    }
    stage.service.others.set()
    stage.with_a_key()
    stage.program("generate", PROMPT, "-a", "16:9", "-o", "banner.png")
    stage.program("generate", "雪中的红狐", "-n", "2")
    stage.program("generate", f"{PROMPT}, soft morning light, pink tones, 35mm film texture", "--no-wait")
    with stage.terminal("status") as screen:
        return screen.end()


@moment
def existing_file(stage: Stage) -> Seen:
    """Refused before anything is paid, with the two ways on."""
    stage.with_a_key()
    (stage.program.cwd / "fox.png").write_bytes(b"mine")
    with stage.terminal("generate", PROMPT, "-o", "fox.png") as screen:
        return screen.end()


@moment
def typo_in_an_option(stage: Stage) -> Seen:
    """What was meant is the answer, before anything is paid."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "--aspect-ration", "16:9") as screen:
        return screen.end()


@moment
def typo_in_a_command(stage: Stage) -> Seen:
    """What was meant is the answer."""
    with stage.terminal("genrate", PROMPT) as screen:
        return screen.end()


@moment
def typo_in_a_value(stage: Stage) -> Seen:
    """What may stand there is the answer, before anything is paid."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "-a", "16x9") as screen:
        return screen.end()


@moment
def pipe(stage: Stage) -> Seen:
    """The path and nothing else on stdout; on stderr a line for each change of state."""
    stage.with_a_key()
    return stage.pipe("generate", PROMPT)


@moment
def failure_in_a_pipe(stage: Stage) -> Seen:
    """Nothing on stdout, which a script would take for a path."""
    stage.service.states[-1] = {
        "status": "failed",
        "error_message": "The upstream model has no capacity left",
    }
    stage.with_a_key()
    return stage.pipe("generate", PROMPT)


@moment
def stdout_to_a_file(stage: Stage) -> Seen:
    """The path goes into the file, and whoever sits at the terminal still sees how it went."""
    stage.with_a_key()
    answer = stage.program.cwd / "path.txt"
    with stage.terminal("generate", PROMPT, stdout=answer) as screen:
        seen = screen.end()
    seen.parts.append(("path.txt", answer.read_text()))
    return seen


@moment
def bytes_to_a_pipe(stage: Stage) -> Seen:
    """The image's bytes and nothing else on stdout; the conversation is as ever."""
    stage.with_a_key()
    return stage.pipe("generate", PROMPT, "-o", "-")


@moment
def bytes_to_a_terminal(stage: Stage) -> Seen:
    """Refused before anything is paid: no screen wants them."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, "-o", "-") as screen:
        return screen.end()


@moment
def no_colour(stage: Stage) -> Seen:
    """As ever, and the line of the wait has lived too, without a single colour."""
    stage.service.states[-1] = {
        "status": "failed",
        "error_message": "The upstream model has no capacity left",
    }
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, NO_COLOR="1") as screen:
        return screen.end()


@moment
def dumb_terminal(stage: Stage) -> Seen:
    """A terminal that obeys nothing is sent nothing to obey: a line for each change of state."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, TERM="dumb") as screen:
        return screen.end()


@moment
def ci(stage: Stage) -> Seen:
    """A log is read from above: a line for each change of state, nothing drawn over, also where the
    service's runner is a terminal."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, CI="true") as screen:
        return screen.end()


@moment
def github_actions(stage: Stage) -> Seen:
    """A job without its secret learns what is missing from its log."""
    return stage.pipe("generate", PROMPT, CI="true", GITHUB_ACTIONS="true")


@moment
def narrow_terminal(stage: Stage) -> Seen:
    """Half the columns: the line that lives is one line, and what stays can be read."""
    stage.with_a_key()
    with stage.terminal("generate", PROMPT, columns=40) as screen:
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
def closed_stdout(stage: Stage) -> Seen:
    """What is paid for is finished and saved; nobody is told off for closing a stream."""
    stage.with_a_key()
    return stage.shell(f"seedream generate '{PROMPT}' -o fox.png >&-")


@moment
def a_reader_that_leaves(stage: Stage) -> Seen:
    """A closed pipe is no error: no traceback, and success."""
    stage.with_a_key()
    return stage.shell("seedream config list | head -1")


@moment
def c_locale(stage: Stage) -> Seen:
    """A prompt in any script is sent, named and shown as it is, whatever the locale says."""
    stage.with_a_key()
    with stage.terminal("generate", "雪中的红狐", LC_ALL="C") as screen:
        return screen.end()


@moment
def c_locale_in_a_pipe(stage: Stage) -> Seen:
    """UTF-8 goes on to whoever reads."""
    stage.with_a_key()
    return stage.pipe("generate", "雪中的红狐", LC_ALL="C")
