"""SIGINT at a line drawn at random: nothing is lost, left behind or paid twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from support.images import png
from support.program import Program

from seedream_cli.sandbox.server import Sandbox

#: Runs the program and sends it SIGINT when it is about to execute its N-th line of our own code; with 0, it
#: prints how many lines there were.
INTERRUPTED = """
import os, signal, sys
from seedream_cli.__main__ import main
import seedream_cli.client, seedream_cli.jobs, seedream_cli.output.plain
target, seen = int(sys.argv.pop(1)), 0
signal.signal(signal.SIGINT, signal.default_int_handler)

def trace(frame, event, argument):
    global seen
    if "seedream_cli" not in frame.f_code.co_filename:
        return None
    if event == "line":
        seen += 1
        if seen == target:
            os.kill(os.getpid(), signal.SIGINT)
    return trace

sys.settrace(trace)
try:
    main()
finally:
    sys.settrace(None)
    if not target:
        print(seen, file=sys.stderr)
"""
DRAWS = 20
DRAWS_OF_THE_END = 5
SEED = random.SystemRandom().randrange(10**6)


def interrupted(seedream: Program, target: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(target), "generate", "fox", "-o", "fox.png"],
        env=seedream.environment,
        cwd=seedream.cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_a_signal_at_any_line_leaves_one_command_to_the_image(
    seedream: Program, start_sandbox: Callable[..., Sandbox]
) -> None:
    sandbox = start_sandbox(seconds=0.05)
    seedream.use(sandbox.base_url)
    lines = int(interrupted(seedream, 0).stderr.splitlines()[-1])
    print(f"seed {SEED}, {lines} lines")
    draw = random.Random(SEED)
    # The program's first line has no guard around it yet. Its end is short and was the weakest part.
    targets = [draw.randrange(2, lines + 1) for _ in range(DRAWS)]
    targets += [draw.randrange(lines - 60, lines + 1) for _ in range(DRAWS_OF_THE_END)]
    for target in sorted(targets):
        (seedream.cwd / "fox.png").unlink(missing_ok=True)
        before = sandbox.task_count()
        stopped = interrupted(seedream, target)
        what = f"seed {SEED}, line {target} of {lines}: {stopped.returncode} {stopped.stderr}"
        # 0: it had finished all the same; the shell's 130 comes from the program, not from the signal.
        assert stopped.returncode in (0, 130), what
        assert stopped.returncode != -signal.SIGINT, what
        assert "Traceback" not in stopped.stderr, what
        assert list(seedream.cwd.glob(".*")) == [], what
        seedream("download", "--pending", "-q")
        seedream("generate", "--resume", "last", "-q")
        created = sandbox.task_count() - before
        assert created <= 1, what
        if created:
            assert (seedream.cwd / "fox.png").read_bytes() == png(), what
            assert len(list(seedream.cwd.glob("fox*.png"))) == 1, what
        assert seedream("generate", "--resume", "last", "-q").exit_code == 2, what
