"""One JSON document on stdout, on failure too; the conversation stays on stderr as plain lines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from msgspec import to_builtins
from msgspec.structs import replace

from .documents import Document, error_document
from .outcome import Failure
from .plain_reporter import Outcomes, PlainReporter

#: Controls other than the line feeds between fields (json escapes those inside of text), and surrogates.
#: The second of two number signs that begin a workflow command (`##[`, `##vso[`) goes with them.
_UNPRINTABLE = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]" r"|(?<=#)#(?=\w*\[)"
)


class JsonReporter(PlainReporter):
    """Folds events into ``tasks``, which only a command that has none to do with leaves out."""

    _document: Document | None = None
    _answered = False

    def result(self, lines: Sequence[str], document: Document) -> None:
        self._document = document

    def result_now(self, lines: Sequence[str], document: Document) -> None:
        self.answer.line(dumped(replace(document, error=None)))
        self._answered = True

    def _result(self, line: str) -> None:
        """Print nothing: every result is in the document."""

    def finish(self, outcomes: Outcomes, failure: Failure | None) -> None:
        super().finish(outcomes, failure)
        if self._answered:
            return
        document = self.presenter.document(outcomes) if self._document is None else self._document
        error = error_document(failure) if failure else None
        self.answer.line(dumped(replace(document, error=error)))


def dumped(document: object) -> str:
    """Return the document as JSON: UTF-8 text, readable in any script.

    What a terminal or a CI service's log would obey and what UTF-8 cannot hold (lone surrogates, from
    file names) is escaped.
    """
    text = json.dumps(to_builtins(document), ensure_ascii=False, indent=2)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
