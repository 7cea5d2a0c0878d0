"""One JSON document on stdout, on failure too; the conversation stays on stderr as plain lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..models import Operation
from .plain import Outcomes, PlainReporter
from .report import Failure, task_document

#: Controls other than the line feeds between fields (json escapes those inside of text), and surrogates.
#: The second of two number signs that begin a workflow command (`##[`, `##vso[`) goes with them.
_UNPRINTABLE = "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]" r"|(?<=#)#(?=\w*\[)"


class JsonReporter(PlainReporter):
    """Folds events into ``tasks``, which only a command that has none to do with leaves out."""

    _document: Mapping[str, Any] | None = None
    _answered = False

    def tell(self, lines: Sequence[str], document: Mapping[str, Any]) -> None:
        self._document = document

    def tell_now(self, lines: Sequence[str], document: Mapping[str, Any]) -> None:
        self.answer.line(dumped({**document, "error": None}))
        self._answered = True

    def _print_path(self, path: str) -> None:
        """Paths are in the document."""

    def _print_state(self, operation: Operation) -> None:
        """States and ids are in the document."""

    def finish(self, outcomes: Outcomes, failure: Failure | None) -> None:
        super().finish(outcomes, failure)
        if self._answered:
            return
        document = dict(self._document or {})
        if self._document is None and self.kind == "images":
            document["images"] = []
        elif self._document is None and self.kind != "values":
            document["tasks"] = [
                task_document(operation, failed, with_result=self.kind == "states")
                for operation, failed in outcomes
            ]
        document["error"] = failure.document() if failure else None
        self.answer.line(dumped(document))


def dumped(document: Mapping[str, Any]) -> str:
    """JSON as UTF-8 text, readable in any script.

    What a terminal or a CI service's log would obey and what UTF-8 cannot hold (lone surrogates, from
    file names) is escaped.
    """
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return re.sub(_UNPRINTABLE, lambda found: f"\\u{ord(found[0]):04x}", text)
