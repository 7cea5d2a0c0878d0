"""Reporter for --json: one JSON document on stdout, also after an error, and plain lines on stderr."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from msgspec import to_builtins
from msgspec.structs import replace

from .documents import Document, error_document
from .outcome import Failure
from .plain_reporter import Outcomes, PlainReporter

#: Control characters, surrogates, and the second number sign of a CI workflow command (`##[`, `##vso[`).
#: C0 controls are not among them: the line feeds between fields stay, and json escapes those in strings.
_UNPRINTABLE = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]" r"|(?<=#)#(?=\w*\[)"
)


class JsonReporter(PlainReporter):
    """Reporter that collects results and prints them as one document at the end."""

    _document: Document | None = None
    _printed = False

    def result(self, lines: Sequence[str], document: Document) -> None:
        self._document = document

    def result_now(self, lines: Sequence[str], document: Document) -> None:
        self.stdout.line(to_json(replace(document, error=None)))
        self._printed = True

    def _result(self, line: str) -> None:
        """Print nothing: the document has every result."""

    def finish(self, outcomes: Outcomes, failure: Failure | None) -> None:
        super().finish(outcomes, failure)
        if self._printed:
            return
        document = self.presenter.document(outcomes) if self._document is None else self._document
        error = error_document(failure) if failure else None
        self.stdout.line(to_json(replace(document, error=error)))


def to_json(document: object) -> str:
    """Return the document as indented JSON, with non-ASCII text as it is.

    Terminal controls, CI workflow commands and lone surrogates (from file names) are escaped.
    """
    text = json.dumps(to_builtins(document), ensure_ascii=False, indent=2)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
