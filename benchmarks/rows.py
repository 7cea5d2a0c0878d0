"""What a measurement ends in: rows, each of a figure, what it is held against, and how far it may go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .measuring import table

HEADING = ("what", "measured", "against", "its figure", "ratio", "reach", "outcome")


@dataclass(frozen=True)
class Reach:
    """What a figure may be, for the one that it is held against; in ``words`` for the table."""

    words: str
    is_held: Callable[[float, float], bool]


def times(limit: float) -> Reach:
    """At most so many times the other."""
    return Reach(f"≤ {limit:g}", lambda ours, theirs: ours <= limit * theirs)


def more(limit: float, words: str) -> Reach:
    """At most so much more than the other."""
    return Reach(f"≤ + {words}", lambda ours, theirs: ours - theirs <= limit)


def at_most(limit: float, words: str) -> Reach:
    """Whatever the other is, which may be none."""
    return Reach(f"≤ {words}", lambda ours, theirs: ours <= limit)


def at_least(limit: float, words: str) -> Reach:
    return Reach(f"≥ {words}", lambda ours, theirs: ours >= limit)


@dataclass(frozen=True)
class Row:
    """``ours`` and ``theirs`` are of the same ``unit``; without a ``reach``, the figure is only named.

    ``what`` names the row: it is the same whatever is measured, in the quick form too.
    """

    what: str
    ours: float
    unit: Callable[[float], str]
    against: str = "–"
    theirs: float | None = None
    reach: Reach | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None

    @property
    def held(self) -> bool | None:
        return None if self.reach is None else self.reach.is_held(self.ours, self.theirs or 0.0)

    @property
    def cells(self) -> Sequence[str]:
        """As in `HEADING`."""
        return (
            self.what,
            self.unit(self.ours),
            self.against,
            self.unit(self.theirs) if self.theirs is not None else "–",
            f"{self.ratio:.2f}" if self.ratio is not None else "–",
            self.reach.words if self.reach is not None else "–",
            {True: "held", False: "missed", None: "named"}[self.held],
        )


def in_columns(rows: Iterable[Row]) -> str:
    return table(HEADING, [row.cells for row in rows])


def in_markdown(rows: Iterable[Row]) -> str:
    """The same for README: figures to the right, what was missed in bold."""
    lines: list[Sequence[str]] = [HEADING, ("---", "---:", "---", "---:", "---:", "---:", "---")]
    for row in rows:
        *cells, verdict = (cell.replace("|", "\\|") for cell in row.cells)
        lines.append((*cells, f"**{verdict}**" if row.held is False else verdict))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
