"""What carries httpx's calls: no redirects, no cookies, and only those proxies that the environment names.

httpx's own transport loads httpcore and h11, 40 ms of CPU at a start at which nothing else takes longer
than the network; they copy each byte of an image several times, and know no deadline for a whole call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy

from .http1 import Conversation, Request
from .http_library import httpx
from .network import Deadline, Guard
from .proxies import certificates, proxies
from .routes import Direct, Host, Means, Route, host_of, through

#: Seconds: to connect, and without a byte in either direction.
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
#: Idle connections that are kept for later calls, and the seconds that each is kept: fewer than the 60
#: after which common servers end one, perhaps in the moment in which a request is on its way.
KEPT = 64
KEPT_SECONDS = 50.0


def build(
    *, deadline: Deadline, headers: dict[str, str], loopback: bool = False, guard: Guard | None = None
) -> httpx.Client:
    """An HTTP client that follows no redirects and keeps no cookies.

    ``loopback``: all of its calls go to this machine in plain http, so neither proxies (they
    would see the key) nor certificates concern it. A proxy from the environment is otherwise used
    as httpx reads it, never for loopback hosts. Raises UsageProblem for a proxy or certificate
    setting that cannot be used.
    """
    # With no TLS ahead, loading the certificate bundle would be for nothing.
    means = Means(deadline, None if loopback else certificates())
    # The peer of a proxied connection is the proxy, so there is no address for the guard to judge.
    mounts: dict[str, httpx.BaseTransport | None] = {
        pattern: None if proxy is None else Transport(through(proxy, means))
        for pattern, proxy in ({} if loopback else proxies()).items()
    }
    return httpx.Client(
        headers=headers,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        transport=Transport(Direct(means, guard)),
        mounts=mounts | {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")},
    )


class Transport(httpx.BaseTransport):
    """Carries requests one way, over connections that are kept. Safe to share between threads."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._kept = _Kept()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = host_of(request.url)
        end = self._route.end(host)
        target, more = self._route.form(request.url)
        asked = Request(
            request.method.encode("ascii"), target, [*more, *request.headers.raw], _pieces(request.stream)
        )
        limits = request.extensions.get("timeout", {})
        read, write = limits.get("read"), limits.get("write")
        conversation = self._kept.take(end)
        if conversation is None:
            conversation = Conversation(self._route.open(host, connect=limits.get("connect"), read=read))
        try:
            head = conversation.ask(asked, write=write, read=read)
        except BaseException:
            conversation.stream.close()
            raise
        return httpx.Response(
            head.status,
            headers=head.headers,
            stream=_Body(conversation, end, self._kept),
            extensions={"http_version": b"HTTP/" + head.version, "reason_phrase": head.reason},
        )

    def close(self) -> None:
        self._kept.close()


class _Body(httpx.SyncByteStream):
    """An answer's body; closing it keeps the connection if it was read whole, and else ends that."""

    def __init__(self, conversation: Conversation, end: Host, kept: _Kept) -> None:
        self._conversation: Conversation | None = conversation
        self._end = end
        self._kept = kept

    def __iter__(self) -> Iterator[bytes]:
        return self._conversation.body() if self._conversation is not None else iter(())

    def close(self) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is None:
            return
        if conversation.reusable:
            self._kept.put(self._end, conversation)
        else:
            conversation.stream.close()


class _Kept:
    """Idle connections, the one that was used last at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[tuple[Host, Conversation, float]] = []
        self._most = KEPT

    def take(self, end: Host) -> Conversation | None:
        """One that is still good for a request, if there is any."""
        while True:
            with self._lock:
                stale = self._outdated()
                found = self._newest(end)
            _close(stale)
            # Nothing was asked: what there is to read is the server's end of it.
            if found is None or not found.stream.stirring:
                return found
            found.stream.close()

    def _newest(self, end: Host) -> Conversation | None:
        # No generator, whose end a signal could fall into: what is raised there is lost.
        for at in reversed(range(len(self._idle))):
            if self._idle[at][0] == end:
                return self._idle.pop(at)[1]
        return None

    def put(self, end: Host, conversation: Conversation) -> None:
        with self._lock:
            self._idle.append((end, conversation, time.monotonic()))
            stale = self._outdated()
        _close(stale)

    def close(self) -> None:
        with self._lock:
            self._most = 0
            stale = self._outdated()
        _close(stale)

    def _outdated(self) -> list[Conversation]:
        """Those that are too many or were kept too long, which are taken out."""
        until = time.monotonic() - KEPT_SECONDS
        old = sum(since < until for _, _, since in self._idle)
        count = max(old, len(self._idle) - self._most)
        stale, self._idle = self._idle[:count], self._idle[count:]
        return [conversation for _, conversation, _ in stale]


def _close(conversations: list[Conversation]) -> None:
    for conversation in conversations:
        conversation.stream.close()


def _pieces(stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> Iterator[bytes]:
    assert isinstance(stream, httpx.SyncByteStream)  # noqa: S101 - httpx's client gives no other
    return iter(stream)
