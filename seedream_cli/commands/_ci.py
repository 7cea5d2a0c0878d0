"""Where CI services keep a job's keys: what is stored on the machine that a job runs on is gone with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..output import github
from ..settings import KEYS


def key_settings(environment: Mapping[str, str], origin: str) -> Sequence[str]:
    """Lines to copy for a better key than the one from ``origin`` (empty: there is none).

    Nothing outside of CI, and for a key that did not come from a job's settings.
    """
    variable = origin.removeprefix("environment: ") if origin else KEYS["api_key"].variables[0]
    if variable == origin:
        return ()
    if github.is_here(environment):
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
