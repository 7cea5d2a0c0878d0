"""Hints: the command to run next, and how to store an API key in a CI service.

Each command names the service of the call, so that it can be copied and run.
"""

from __future__ import annotations

# Imported at the top, because hints are also built when the process cannot open any more files (EMFILE).
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

#: Hints that get the options of the service in use.
_SERVICE_HINTS = ("seedream status", "seedream download --pending")
#: Hints that get the profile in use.
_PROFILE_HINTS = (
    "seedream config set api_key",
    "seedream config set api_key -",
    "seedream config set api_key --keyring",
)


class NextCommand(Struct, frozen=True):
    """Builder of commands that use the same service as this call.

    ``overwrite``: this call may replace files, and so may the commands that resume it.
    """

    options: Options
    overwrite: bool = False

    def command(self, *words: str) -> str:
        """Return a command line of seedream, with the options that select the same service."""
        options = self._profile_option()
        if isinstance(self.options, TaskOptions) and self.options.sandbox:
            options.append("--sandbox")
        elif isinstance(self.options, ServiceOptions):
            for name, value in self.options.flags().items():
                if value is not None and not (name == "api_key_file" and looks_like_api_key(value)):
                    options += [f"--{name.replace('_', '-')}", value]
        return shlex.join(["seedream", words[0], *options, *words[1:]])

    def resume(
        self, *operations: Operation, error: SeedreamError | None = None, output: str | None = None
    ) -> str:
        """Return the command that resumes these operations, with the options that avoid the same ``error``.

        ``output`` is the output of the images, needed only if the history does not contain it.
        """
        options = ["-o", output] if output else []
        options += ["--overwrite"] if self.overwrite else []
        options += error.resume_with if error is not None else ()
        tasks = [operation for operation in operations if operation.task_id]
        if not tasks:
            return self.command("generate", *options, "--resume", operations[0].id)
        # An id that cannot be printed unchanged would name another task when it is copied.
        names = [task.task_id if task.task_id == clean(task.task_id or "") else task.id for task in tasks]
        if any(name and name.startswith("-") for name in names):
            options.append("--")
        return self.command("download", *options, *map(str, names))

    def hint_for(self, error: SeedreamError) -> str | None:
        """Return the error's hint, with the options that select the same service or profile."""
        if error.hint in _PROFILE_HINTS:
            return shlex.join([*error.hint.split(), *self._profile_option()])
        return self.command(*error.hint.split()[1:]) if error.hint in _SERVICE_HINTS else error.hint

    def store_key(self, origin: str) -> str | None:
        """Return the command that stores another API key, or None if no stored key would be used.

        ``origin`` is the origin of the current key, or "" without a key.
        """
        if origin == "flag":
            # --api-key-file takes precedence over any stored key.
            return None
        # Keep a key that is in the keyring out of the config file.
        keyring = ["--keyring"] if origin == KEYRING else []
        store = shlex.join(["seedream", "config", "set", "api_key", *keyring, *self._profile_option()])
        variable = origin.removeprefix("environment: ")
        return f"unset {variable} && {store}" if variable != origin else store

    def _profile_option(self) -> list[str]:
        return ["--profile", self.options.profile] if self.options.profile else []


def ci_key_settings(environment: Mapping[str, str], origin: str) -> Sequence[str]:
    """Return lines to copy into the settings of a CI service, which replace the key from ``origin``.

    A key that is stored on the machine of a CI job is lost with that machine. ``origin`` is "" without a key.
    Return () outside CI, and if the key did not come from the job's environment.
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
        # Protected variables exist only on protected branches and tags: https://docs.gitlab.com/ci/variables/
        project = environment.get("CI_PROJECT_URL")
        return (
            f"# add {variable} as a masked variable (a protected one reaches protected branches only):",
            f"# {project}/-/settings/ci_cd" if project else "# Settings > CI/CD > Variables",
        )
    return ()
