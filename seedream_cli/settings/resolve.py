"""Resolve the value and the origin of each setting.

Precedence: flag > environment > project's seedream.toml > profile in the user's config > default.
The config file is TOML, with one table for each profile::

    profile = "work"              # the profile to use; without this line it is "default"

    [profiles.default]
    api_key = "…"
    model = "seedream-v4.5"

    [profiles.work]
    api_key = {in = "keyring"}    # this profile's key is in the desktop's keyring
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from ..errors import InvalidOutput, KeyringError, KeyringUnusable, MalformedKey, MissingKey, UsageError
from ..urls import is_loopback
from . import locations
from .config_file import read_config, read_toml, settings_as_text, unknown_profile
from .locations import SANDBOX_SERVICE
from .schema import ALL_SETTINGS, DEFAULT_PROFILE, PROFILE, SETTINGS, looks_like_api_key, parse_api_key

PROJECT_FILE = "seedream.toml"
#: The origin of an API key that is in the desktop's keyring.
KEYRING = "keyring"

# Ranks of the sources. The lowest wins.
_FLAG = 0
_ENVIRONMENT = 1
_PROJECT = 2
_CONFIG = 3
_DEFAULT = 4


class ResolvedSetting(Struct, frozen=True):
    """A value with its origin: `flag`, `environment: NAME`, the path of a file, `keyring` or `default`.

    ``rank`` is that of the source; the lowest rank wins. The value of an API key in the keyring is "",
    because the keyring is opened only when the key is used.
    """

    name: str
    value: Any
    origin: str
    rank: int

    @property
    def display_value(self) -> str | None:
        """Return the value as text. Of an API key, only the last four characters of a long one are shown.

        `api_key_file` is masked too if it may hold a key by mistake.
        """
        if self.value is None:
            return None
        text = f"{self.value:.15g}" if isinstance(self.value, float) else str(self.value)
        if not ALL_SETTINGS[self.name].secret and not (
            self.name == "api_key_file" and looks_like_api_key(text)
        ):
            return text
        return f"…{text[-4:]}" if len(text) >= 16 else "…"


class Style(Struct, frozen=True):
    """A named style for `--style`. ``origin`` is the file that defines it."""

    name: str
    text: str
    origin: str


class Settings(Struct, frozen=True, dict=True):
    """The sources of all settings. Files are read when they are first needed."""

    environment: Mapping[str, str]
    cwd: Path
    config_path: Path
    profile_flag: str | None = None
    flags: Mapping[str, str | None] = field(default_factory=dict)
    project_path: Path | None = None

    def get(self, name: str) -> ResolvedSetting:
        """Return the value and its origin. Raises UsageError, or MalformedKey for a key."""
        if name == PROFILE.name:
            return self._profile_setting
        source = self._find_strongest(name)
        if source is None:
            return ResolvedSetting(name, None, "default", _DEFAULT)
        text, origin, rank = source
        if origin == KEYRING:
            return ResolvedSetting(name, "", origin, rank)
        try:
            return ResolvedSetting(name, SETTINGS[name].parse(text), origin, rank)
        except InvalidOutput as error:
            # Name the origin, except for a flag, which the user has just typed.
            raise (
                error if rank == _FLAG else InvalidOutput(f"{name} from {origin}: {error.message}")
            ) from None
        except ValueError as error:
            if SETTINGS[name].secret:
                raise MalformedKey(f"the API key from {origin} is malformed: {error}") from None
            subject = f"--{name.replace('_', '-')}" if rank == _FLAG else f"{name} from {origin}"
            raise UsageError(f"{subject}: {error}", code="invalid_setting") from None

    def value(self, name: str) -> Any:
        """Return the value. Raises the errors of :meth:`get`."""
        return self.get(name).value

    def list(self) -> Iterator[ResolvedSetting]:
        """Yield every setting, resolved."""
        for name in ALL_SETTINGS:
            yield self.get(name)

    def api_key(self, stdin: Callable[[], str]) -> str:
        """Return the API key from the strongest source. ``stdin`` reads a key file named `-`."""
        source = self.api_key_source
        if source is None:
            raise MissingKey(
                "no API key: set SEEDREAM_API_KEY, name a file with --api-key-file, or store one; "
                "--sandbox needs none"
            )
        setting = self.get(source[0])
        if setting.origin == KEYRING:
            return self._key_from_keyring()
        if setting.name == "api_key":
            return str(setting.value)
        return self._key_from_file(setting, stdin)

    @property
    def api_key_source(self) -> tuple[str, str] | None:
        """Return which setting the key comes from (`api_key` or `api_key_file`), and its origin."""
        # Within one source, api_key wins over api_key_file. The losing value is not validated.
        sources = []
        for name in ("api_key", "api_key_file"):
            if source := self._find_strongest(name):
                _, origin, rank = source
                sources.append((rank, name, origin))
        return min(sources)[1:] if sources else None

    @property
    def profile(self) -> str:
        return str(self._profile_setting.value)

    @cached_property
    def _profile_setting(self) -> ResolvedSetting:
        if self.profile_flag:
            return ResolvedSetting(PROFILE.name, self.profile_flag, "flag", _FLAG)
        for variable in PROFILE.variables:
            if named := self.environment.get(variable):
                return ResolvedSetting(PROFILE.name, named, f"environment: {variable}", _ENVIRONMENT)
        named = self._config.get("profile")
        if named is None:
            return ResolvedSetting(PROFILE.name, DEFAULT_PROFILE, "default", _DEFAULT)
        if not isinstance(named, str) or not named:
            raise UsageError(f"profile in {self.config_path} is not a name", code="invalid_setting")
        return ResolvedSetting(PROFILE.name, named, str(self.config_path), _CONFIG)

    @cached_property
    def notices(self) -> tuple[str, ...]:
        """Return warnings about the config file itself."""
        try:
            mode = self.config_path.stat().st_mode
        except OSError:
            return ()
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            quoted = shlex.quote(str(self.config_path))
            return (f"{self.config_path} is readable by others: chmod 600 {quoted}",)
        return ()

    @cached_property
    def styles(self) -> Mapping[str, Style]:
        """Return `[styles]` of the config file and the project file. The project wins."""
        styles = {}
        for table, path in (
            (self._config.get("styles", {}), self.config_path),
            (self._project.get("styles", {}), self.project_path or PROJECT_FILE),
        ):
            origin = f"{path} [styles]"
            if not isinstance(table, dict):
                raise UsageError(f"{origin} is not a table", code="invalid_setting")
            for name, text in table.items():
                if not isinstance(text, str) or not text.strip():
                    raise UsageError(f"{origin}: {name} is not a style in words", code="invalid_setting")
                styles[name] = Style(name, text.strip(), origin)
        return dict(sorted(styles.items()))

    @cached_property
    def _project(self) -> dict[str, Any]:
        return read_toml(self.project_path or self.cwd / PROJECT_FILE)

    @cached_property
    def _config(self) -> dict[str, Any]:
        return read_config(self.config_path)

    @cached_property
    def _profile_table(self) -> Mapping[str, Any]:
        profiles = self._config.get("profiles", {})
        table = profiles.get(self.profile)
        if table is None and self.profile != DEFAULT_PROFILE:
            raise unknown_profile(self.config_path, self.profile, profiles)
        return settings_as_text(table or {}, str(self.config_path))

    @property
    def _project_origin(self) -> str:
        return f"{self.project_path or PROJECT_FILE} [defaults]"

    @cached_property
    def _project_table(self) -> Mapping[str, Any]:
        table = self._project.get("defaults", {})
        origin = self._project_origin
        if not isinstance(table, dict):
            raise UsageError(f"{origin} is not a table", code="invalid_setting")
        for name in table:
            if name in SETTINGS and not SETTINGS[name].in_project:
                # Otherwise a file in a checkout could send the key to another host.
                raise UsageError(
                    f"{origin}: {name} is not read from a project's file", code="invalid_setting"
                )
        # `dir` is how a manifest names the folder of its images.
        table = dict(table)
        if "dir" in table:
            folder = table.pop("dir")
            if not isinstance(folder, str) or not folder:
                raise UsageError(f"{origin}: dir is not the name of a folder", code="invalid_setting")
            table.setdefault("output", folder.rstrip("/") + "/")
        return settings_as_text(table, origin)

    def _find_strongest(self, name: str) -> tuple[str, str, int] | None:
        """Return the text of a setting from its strongest source, with origin and rank; None if not set.

        A source is read only if no stronger one has the setting, so a losing value cannot cause an error.
        """
        # Not a generator: an exception that a signal raises while Python closes a generator is lost.
        setting = SETTINGS[name]
        flag = self.flags.get(name)
        if flag is not None:
            return flag, "flag", _FLAG
        for variable in setting.variables:
            if value := self.environment.get(variable):
                return value, f"environment: {variable}", _ENVIRONMENT
        if setting.in_project and name in self._project_table:
            return self._project_table[name], self._project_origin, _PROJECT
        if name in self._profile_table:
            return self._profile_table[name], f"{self.config_path} [profiles.{self.profile}]", _CONFIG
        if name == "api_key" and self._config.get("profiles", {}).get(self.profile, {}).get(name):
            return "", KEYRING, _CONFIG
        return (setting.default, "default", _DEFAULT) if setting.default is not None else None

    def _key_from_keyring(self) -> str:
        from . import keyring

        try:
            key = keyring.read(self.profile)
        except KeyringError as problem:
            raise KeyringUnusable(
                problem.message, code=problem.code, detail=problem.detail, hint=problem.hint
            ) from None
        if key is None:
            raise KeyringUnusable(
                f"the API key of the profile {self.profile!r} is not in the desktop's keyring any more",
                code="missing_api_key",
                hint="seedream config set api_key --keyring",
            )
        try:
            return parse_api_key(key)
        except ValueError as error:
            raise MalformedKey(f"the API key in the desktop's keyring is malformed: {error}") from None

    def _key_from_file(self, file: ResolvedSetting, stdin: Callable[[], str]) -> str:
        # Messages name the origin of the path, not the path: it may be a key by mistake.
        where = "--api-key-file" if file.origin == "flag" else f"api_key_file, {file.origin}"
        try:
            is_stdin = file.value in ("-", "/dev/stdin")
            text = stdin() if is_stdin else Path(file.value).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise MissingKey(
                f"the file with the API key ({where}) cannot be read: {error.strerror}"
            ) from None
        except ValueError:
            raise MalformedKey(f"the file with the API key ({where}) is no text") from None
        try:
            return parse_api_key(text.strip())
        except ValueError as error:
            raise MalformedKey(f"the API key in the file ({where}) is malformed: {error}") from None


def load(
    *,
    profile: str | None = None,
    flags: Mapping[str, str | None] | None = None,
    project: Path | None = None,
) -> Settings:
    """Return the settings of this process. ``project`` is the project file if not `seedream.toml`."""
    try:
        cwd = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current folder does not exist any more", code="no_folder") from None
    return Settings(os.environ, cwd, Path(locations.config_path()), profile, flags or {}, project)


def service_of(base_url: str) -> str:
    """Return the name under which the history keeps the operations of the service at this URL."""
    parts = urlsplit(base_url)
    if is_loopback(parts.hostname or "") and parts.path.startswith("/sandbox/"):
        return SANDBOX_SERVICE
    netloc = parts.netloc.lower().removesuffix(":443" if parts.scheme == "https" else ":80")
    return f"{parts.scheme}://{netloc}{parts.path}".rstrip("/")


def fingerprint(key: str) -> str:
    """Return a short hash that tells API keys apart. An idempotency key is valid for one API key only."""
    import hashlib

    return hashlib.sha256(f"seedream history {key}".encode()).hexdigest()[:16]
