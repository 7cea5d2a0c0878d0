"""Hosts whose certificate nobody vouches for, and hosts that speak no TLS where it was asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from faults.scene import Scene
from faults.table import NOT_SAVED, SAVED, UNSENT
from support.tls import Authority, Front, authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"), "DNS:localhost")


def trust(scene: Scene, certificate: Path) -> None:
    scene.program.environment["SSL_CERT_FILE"] = str(certificate)


def test_an_untrusted_service_gets_nothing_until_it_is_trusted(scene: Scene, private: Authority) -> None:
    with Front(private, scene.service.server.port) as front:
        scene.program.use(f"https://localhost:{front.port}/v1")
        result = scene.generate()
        assert scene.truth(result) == UNSENT
        assert "the certificate of localhost" in result.stderr
        # The same certificate would come again: it is not retried.
        assert front.connections == 1
        assert scene.service.counts.total() == 0
        trust(scene, private.certificate)
        assert scene.truth(scene.follow(result)) == SAVED


def test_an_untrusted_image_host_costs_nothing_but_a_second_command(scene: Scene, private: Authority) -> None:
    with Front(private, scene.service.server.port) as front:
        scene.service.ends_as = {"result": [f"https://localhost:{front.port}/images/task_1/1"]}
        result = scene.generate()
        assert scene.truth(result) == NOT_SAVED
        assert "the certificate of localhost" in result.stderr
        trust(scene, private.certificate)
        assert scene.truth(scene.follow(result)) == SAVED


def test_a_service_that_speaks_no_tls(scene: Scene) -> None:
    # It waits for the rest of what it takes for a request.
    scene.patience = 0.2
    plain = scene.program.environment["SEEDREAM_BASE_URL"]
    scene.program.use(plain.replace("http:", "https:"))
    assert scene.truth(scene.generate()) == UNSENT
    assert scene.service.counts.total() == 0


def test_an_image_host_that_speaks_no_tls(scene: Scene) -> None:
    scene.service.ends_as = {"result": [scene.service.origin.replace("http:", "https:") + "/images/task_1/1"]}
    scene.patience = 0.2
    result = scene.generate()
    scene.patience = 5.0
    assert scene.truth(result) == NOT_SAVED
    scene.service.ends_as = {}
    assert scene.truth(scene.follow(result)) == SAVED
