"""Private certificate authority, created with openssl, and a TLS-terminating proxy."""

from __future__ import annotations

import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .needs import program
from .proxy import relay
from .threaded_server import ThreadedServer

#: Python 3.13 requires these key identifiers, and openssl's default configuration differs between systems.
_CONFIGURATION = """
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[host]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Authority:
    """Certificate authority. ``certificate`` and ``folder`` are values for SSL_CERT_FILE and SSL_CERT_DIR."""

    certificate: Path
    folder: Path
    context: ssl.SSLContext


def authority(folder: Path, *names: str) -> Authority:
    """Create an authority, and a certificate for hosts with these names, such as ``DNS:api.test``."""
    openssl = program("openssl")
    (folder / "trusted").mkdir()
    (folder / "openssl.cnf").write_text(_CONFIGURATION.format(names=",".join(names)))

    def run(*words: str) -> str:
        done = subprocess.run(
            [openssl, *words], check=True, capture_output=True, text=True, cwd=folder, timeout=60
        )
        return done.stdout.strip()

    config = ("-config", "openssl.cnf")
    run(
        *("req", "-x509", *_NEW_KEY, *config, "-keyout", "authority.key", "-out", "authority.pem"),
        *("-days", "2", "-subj", f"/CN=authority of {names[0]}"),
    )
    run("req", *_NEW_KEY, *config, "-keyout", "host.key", "-out", "host.csr", "-subj", "/CN=host")
    run(
        *("x509", "-req", "-in", "host.csr", "-CA", "authority.pem", "-CAkey", "authority.key"),
        *("-CAcreateserial", "-days", "2", "-out", "host.pem"),
        *("-extfile", "openssl.cnf", "-extensions", "host"),
    )
    certificate = folder / "authority.pem"
    # In SSL_CERT_DIR, OpenSSL looks a certificate up by the hash of its subject.
    hashed = run("x509", "-hash", "-noout", "-in", "authority.pem")
    (folder / "trusted" / f"{hashed}.0").write_bytes(certificate.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem", folder / "host.key")
    return Authority(certificate, folder / "trusted", context)


class Front(ThreadedServer):
    """TLS-terminating proxy in front of a local port."""

    def __init__(self, authority: Authority, port: int) -> None:
        super().__init__()
        self._authority = authority
        self._port = port

    def serve(self, connection: socket.socket) -> None:
        with (
            self._authority.context.wrap_socket(connection, server_side=True) as secure,
            socket.create_connection(("127.0.0.1", self._port)) as upstream,
        ):
            relay(secure, upstream)
