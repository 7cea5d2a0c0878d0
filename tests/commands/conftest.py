"""Fixtures of the tests of commands: a project, and a sandbox that returns distinct images."""

from __future__ import annotations

import itertools

import pytest
from support.images import png
from support.program import Program
from support.project import Project
from support.starting import StartSandbox

from seedream_cli.sandbox.server import Sandbox


@pytest.fixture
def project(seedream: Program) -> Project:
    return Project(seedream, seedream.cwd)


@pytest.fixture
def start(seedream: Program, start_sandbox: StartSandbox) -> StartSandbox:
    """Return a function that starts a sandbox with distinct images, and makes the program use it."""
    shades = itertools.count(100)

    def use(**options: object) -> Sandbox:
        sandbox = start_sandbox(**{"rate": 0, "draw": lambda body: png(shade=next(shades)), **options})
        seedream.use(sandbox.base_url)
        return sandbox

    return use
