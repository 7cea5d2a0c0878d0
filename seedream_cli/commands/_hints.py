"""Hints: the command to run next, and where CI services keep a job's keys.

Each command names the service that the call chose, so that it works when it is copied.
"""

from __future__ import annotations

# Imported early: it is needed most where no more files can be opened.
import shlex
from collections.abc import Mapping, Sequence

from msgspec import Struct

from ..errors import SeedreamError
from ..models import Operation
from ..output import github_actions
from ..settings.resolve import KEYRING
from ..settings.schema import SETTINGS, looks_like_api_key
from ..text import clean
from ._options import Options, ServiceOptions, TaskOptions

#: Hints that need the options of the service in use.
_SERVICE_HINTS = ("seedream status", "seedream download --pending")
#: Hints that need the profile in use.
_PROFILE_HINTS = tuple(f"seedream config set api_key{more}" for more in ("", " -", " --keyring"))


class NextCommand(Struct, frozen=True):
    """Build commands that use the same service as this call; ``overwrite``: this call may replace files."""

    options: Options
    overwrite: bool = False

    def command(self, *words: str) -> str:
        """Return a command line of this program, with the options that choose the same service."""
        chosen = self._profile()
        if isinstance(self.options, TaskOptions) and self.options.sandbox:
            chosen.append("--sandbox")
        elif isinstance(self.options, ServiceOptions):
            for name, value in self.options.flags().items():
                if value is not None and not (name == "api_key_file" and looks_like_api_key(value)):
                    chosen += [f"--{name.replace('_', '-')}", value]
        return shlex.join(["seedream", words[0], *chosen, *words[1:]])

    def resume(
        self, *operations: Operation, error: SeedreamError | None = None, output: str | None = None
    ) -> str:
        """Return the command that resumes these operations, with the options that avoid the same ``error``.

        ``output`` is given if the history does not know where the images go.
        """
        options = ["-o", output] if output else []
        options += ["--overwrite"] if self.overwrite else []
        options += error.resume_with if error is not None else ()
        tasks = [operation for operation in operations if operation.task_id]
        if not tasks:
            return self.command("generate", *options, "--resume", operations[0].id)
        # An id that cannot be printed unchanged would name another task when it is copied.
        names = [one.task_id if one.task_id == clean(one.task_id or "") else one.id for one in tasks]
        if any(name and name.startswith("-") for name in names):
            options.append("--")
        return self.command("download", *options, *map(str, names))

    def remedy(self, error: SeedreamError) -> str | None:
        """Return the error's hint, with the options that choose the same service or profile."""
        if error.hint in _PROFILE_HINTS:
            return shlex.join([*error.hint.split(), *self._profile()])
        return self.command(*error.hint.split()[1:]) if error.hint in _SERVICE_HINTS else error.hint

    def store_key(self, origin: str) -> str | None:
        """Return the command that stores another key. ``origin`` is that of the present one, "" if none."""
        if origin == "flag":
            # --api-key-file wins over any stored key.
            return None
        # Keep a key that is in the keyring out of the config file.
        place = ["--keyring"] if origin == KEYRING else []
        store = shlex.join(["seedream", "config", "set", "api_key", *place, *self._profile()])
        variable = origin.removeprefix("environment: ")
        return f"unset {variable} && {store}" if variable != origin else store

    def _profile(self) -> list[str]:
        return ["--profile", self.options.profile] if self.options.profile else []


def key_settings(environment: Mapping[str, str], origin: str) -> Sequence[str]:
    """Return lines to copy into a CI service's settings to replace the key from ``origin`` (empty: no key).

    A key that is stored on the machine of a CI job is lost with it. Return () outside CI, and if the key did
    not come from the job's environment.
    """
    variable = origin.removeprefix("environment: ") if origin else SETTINGS["api_key"].variables[0]
    if variable == origin:
        return ()
    if github_actions.is_active(environment):
        if origin:
            return (f"gh secret set {variable}",)
        if variable in environment:
            return (
                f"# {variable} is empty: its secret is not set, or not given (as to pull requests of forks)",
                f"gh secret set {variable}",
            )
        return ("env:", f"  {variable}: ${{{{ secrets.{variable} }}}}")
    if environment.get("GITLAB_CI") == "true":
        # https://docs.gitlab.com/ci/variables/: protected ones are given to protected branches and tags only.
        project = environment.get("CI_PROJECT_URL")
        return (
            f"# add {variable} as a masked variable (a protected one reaches protected branches only):",
            f"# {project}/-/settings/ci_cd" if project else "# Settings > CI/CD > Variables",
        )
    return ()
