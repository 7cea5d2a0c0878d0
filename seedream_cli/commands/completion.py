"""`seedream completion`: print the completion script of a shell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..output.documents import CompletionScript
from ..settings.schema import did_you_mean
from ._command import command
from ._context import CommandContext
from ._options import Options

#: Shell → its script in completions/.
SCRIPTS: Mapping[str, str] = {
    "bash": "seedream.bash",
    "zsh": "_seedream",
    "fish": "seedream.fish",
    "powershell": "seedream.ps1",
}

Shell = Annotated[str, typer.Argument(metavar="SHELL", help=f"{', '.join(SCRIPTS)}.", show_default=False)]


@command(Options)
def completion(context: CommandContext, shell: Shell) -> None:
    """Print the script with which a shell completes command lines.

    \b
    eval "$(seedream completion bash)"
    seedream completion zsh > "${fpath[1]}/_seedream"
    seedream completion fish > ~/.config/fish/completions/seedream.fish
    seedream completion powershell | Out-String | Invoke-Expression

    The first and the last belong into the shell's profile; the others write a
    file that the shell finds. Nothing is sent while a line is being typed.
    """
    if shell not in SCRIPTS:
        raise UsageError(
            f"no script for {shell!r}, only for {', '.join(SCRIPTS)}{did_you_mean(shell, SCRIPTS)}",
            code="unknown_shell",
        )
    # A wheel has the scripts inside the package, a checkout in the folder next to it.
    package = Path(__file__).parents[1]
    folder = package / "completions"
    if not folder.is_dir():
        folder = package.parent / "completions"
    script = (folder / SCRIPTS[shell]).read_text(encoding="utf-8")
    context.reporter.result([script.rstrip("\n")], CompletionScript(shell, script))
