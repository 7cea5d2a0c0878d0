"""Hosts with an untrusted certificate, and hosts that do not speak TLS on an https URL."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from faults.fault_table import NOT_SAVED, SAVED, UNSENT
from faults.scenario import Scenario
from support.tls import Authority, Front, authority

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of another process, and capabilities"),
]


@pytest.fixture(scope="module")
def private_ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"), "DNS:localhost")


def trust(scenario: Scenario, certificate: Path) -> None:
    scenario.program.environment["SSL_CERT_FILE"] = str(certificate)


def test_tls_untrusted_service_gets_no_request(scenario: Scenario, private_ca: Authority) -> None:
    with Front(private_ca, scenario.service.server.port) as front:
        scenario.program.use(f"https://localhost:{front.port}/v1")
        result = scenario.generate()
        assert scenario.outcome(result) == UNSENT
        assert "the certificate of localhost" in result.stderr
        # A retry would meet the same certificate.
        assert front.connections == 1
        assert scenario.service.counts.total() == 0
        trust(scenario, private_ca.certificate)
        assert scenario.outcome(scenario.follow(result)) == SAVED


def test_tls_untrusted_image_host_can_be_resumed(scenario: Scenario, private_ca: Authority) -> None:
    with Front(private_ca, scenario.service.server.port) as front:
        scenario.service.ends_as = {"result": [f"https://localhost:{front.port}/images/task_1/1"]}
        result = scenario.generate()
        assert scenario.outcome(result) == NOT_SAVED
        assert "the certificate of localhost" in result.stderr
        trust(scenario, private_ca.certificate)
        assert scenario.outcome(scenario.follow(result)) == SAVED


def test_tls_service_without_tls_gets_no_request(scenario: Scenario) -> None:
    # The plain server waits for the rest of what it reads as a request.
    scenario.patience = 0.2
    plain = scenario.program.environment["SEEDREAM_BASE_URL"]
    scenario.program.use(plain.replace("http:", "https:"))
    assert scenario.outcome(scenario.generate()) == UNSENT
    assert scenario.service.counts.total() == 0


def test_tls_image_host_without_tls_can_be_resumed(scenario: Scenario) -> None:
    scenario.service.ends_as = {
        "result": [scenario.service.origin.replace("http:", "https:") + "/images/task_1/1"]
    }
    scenario.patience = 0.2
    result = scenario.generate()
    scenario.patience = 5.0
    assert scenario.outcome(result) == NOT_SAVED
    scenario.service.ends_as = {}
    assert scenario.outcome(scenario.follow(result)) == SAVED
