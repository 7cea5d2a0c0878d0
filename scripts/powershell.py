"""The completion script for PowerShell: Windows PowerShell 5.1 and PowerShell 7.

It is ASCII: Windows PowerShell reads files and programs' output in the code page of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable

from .levels import HEADER, NAMES, Level, kinds
from .values import After, Asked, Kind, Words

_ENGINE = r"""
    # The words of the line, of which the last one is cut at the cursor: PowerShell splits -a:b in two.
    $words = @()
    $end = -1
    foreach ($element in $commandAst.CommandElements) {
        $start = $element.Extent.StartOffset
        if ($start -ge $cursorPosition) { break }
        $text = $element.Extent.Text
        if ($element.Extent.EndOffset -gt $cursorPosition) {
            $text = $text.Substring(0, $cursorPosition - $start)
        }
        if ($start -eq $end) { $words[-1] += $text } else { $words += $text }
        $end = $element.Extent.EndOffset
    }
    if ($cursorPosition -gt $end) { $words += '' }

    # Text with a tab between its columns.
    function Get-Row([string] $table) {
        $table -split "`r?`n" | Where-Object { $_ } | ForEach-Object { , ($_ -split "`t") }
    }

    # What the option takes: . for nothing, - for anything; $null where there is no such option.
    function Get-KindOf([string] $flag) {
        foreach ($row in @(Get-Row $level.Options)) {
            if (($row[0] -split ' ') -ccontains $flag) { return $row[1] }
        }
    }

    $path = @()
    $level = $levels['']
    $arguments = @()
    $used = @()
    $ended = $false
    $kind = $null
    for ($i = 1; $i -lt $words.Count - 1; $i++) {
        $word = $words[$i]
        if (-not $ended -and $word -ceq '--') {
            $ended = $true
        } elseif (-not $ended -and $word -clike '-?*') {
            $used += ($word -split '=')[0]
            $taken = Get-KindOf $word
            if ($taken -and $taken -cne '.') {
                $i++
                # Its value is what is being typed.
                if ($i -eq $words.Count - 1) { $kind = $taken }
            }
        } elseif (@(Get-Row $level.Commands | ForEach-Object { $_[0] }) -ccontains $word) {
            $path += $word
            $level = $levels[$path -join ' ']
        } else {
            $arguments += $word
        }
    }

    $glued = ''
    $typed = $words[-1]
    $rows = @()
    if ($kind) {
        # The value of the option before.
    } elseif (-not $ended -and $typed -clike '--*=*') {
        $flag, $value = $typed -split '=', 2
        $kind = Get-KindOf $flag
        $glued = "$flag="
        $typed = $value
    } elseif (-not $ended -and $typed -clike '-*') {
        foreach ($row in @(Get-Row $level.Options)) {
            $flags = $row[0] -split ' '
            if ($row[2] -ceq 'once' -and @($flags | Where-Object { $used -ccontains $_ })) { continue }
            foreach ($flag in $flags) { $rows += , @($flag, $row[3]) }
        }
    } elseif ($level.Commands) {
        $rows = @(Get-Row $level.Commands)
    } else {
        $places = @($level.Places -split ' ')
        $place = [Math]::Min($arguments.Count, $places.Count - 1)
        if ($arguments.Count -lt $places.Count -or $places[-1].EndsWith('+')) {
            $kind = $places[$place].TrimEnd('+')
        }
    }
    if ($kind -and $after.ContainsKey($kind)) {
        $kind = $after[$kind]["$($arguments | Select-Object -Last 1)"]
    }

    # PowerShell replaces the part that it calls the word to complete, which may begin later than the word.
    $typed = $typed.TrimStart("'", '"')
    $current = $glued + $typed
    $kept = ''
    if ($current.Length -gt $wordToComplete.Length -and $current.EndsWith($wordToComplete)) {
        $kept = $current.Substring(0, $current.Length - $wordToComplete.Length)
    }

    if ($kind -ceq 'file') {
        foreach ($file in [System.Management.Automation.CompletionCompleters]::CompleteFilename($typed)) {
            $text = ($glued + $file.CompletionText).Substring($kept.Length)
            [System.Management.Automation.CompletionResult]::new(
                $text, $file.ListItemText, $file.ResultType, $file.ToolTip)
        }
        return
    }
    if ($kind -and $values.ContainsKey($kind)) {
        $rows = @(Get-Row $values[$kind])
    } elseif ($kind -and $asked -ccontains $kind) {
        # What the program knows from this machine's files.
        $program = $commandAst.GetCommandName()
        if (-not (Get-Command $program -CommandType Application -ErrorAction Ignore)) {
            $program = 'seedream'
        }
        $seen = @($words | Select-Object -Skip 1 | Select-Object -SkipLast 1 | Where-Object { $_ })
        $encoding = [Console]::OutputEncoding
        try {
            [Console]::OutputEncoding = [System.Text.UTF8Encoding]::new()
            $rows = @(Get-Row ((& $program completion --list $kind $seen 2>$null) -join "`n"))
        } finally {
            [Console]::OutputEncoding = $encoding
        }
    }

    $found = $false
    foreach ($row in $rows) {
        if (-not $row[0].StartsWith($typed, [StringComparison]::Ordinal)) { continue }
        $text = $row[0]
        if ($text -cnotmatch '^[A-Za-z0-9_.:=/-]+$') { $text = "'" + $text.Replace("'", "''") + "'" }
        $text = ($glued + $text).Substring($kept.Length)
        # A tooltip must not be empty.
        $tip = if ($row.Count -gt 1 -and $row[-1]) { $row[-1] } else { $row[0] }
        [System.Management.Automation.CompletionResult]::new($text, $row[0], 'ParameterValue', $tip)
        $found = $true
    }
    # Where nothing is said at all, PowerShell offers files.
    if (-not $found) { '' }
"""


def script(levels: tuple[Level, ...]) -> str:
    names = ", ".join(map(_quoted, NAMES))
    return (
        f"# {HEADER}\n"
        f"Register-ArgumentCompleter -Native -CommandName {names} -ScriptBlock {{\n"
        "    param($wordToComplete, $commandAst, $cursorPosition)\n\n"
        f"{_levels_table(levels)}{_values_tables(kinds(levels))}{_ENGINE}}}\n"
    )


def _levels_table(levels: tuple[Level, ...]) -> str:
    entries = "".join(
        f"        {_quoted(level.words)} = @{{\n"
        f"            Commands = {_table(level.commands)}\n"
        f"            Options  = {_table(level.option_rows)}\n"
        f"            Places   = {_quoted(level.place_words)}\n"
        "        }\n"
        for level in levels
    )
    return (
        "    # What can follow which words. Commands: word, what it is. Options: flags, the value's kind\n"
        "    # (. none, - anything), how often, what it is. Places: the kinds of arguments (+ it repeats).\n"
        f"    $levels = @{{\n{entries}    }}\n"
    )


def _values_tables(found: tuple[Kind, ...]) -> str:
    words = "".join(
        f"        {kind.name} = {_table(kind.rows)}\n" for kind in found if isinstance(kind, Words)
    )
    asked = ", ".join(_quoted(kind.name) for kind in found if isinstance(kind, Asked))
    after = "".join(_after(kind) for kind in found if isinstance(kind, After))
    return (
        "    # The values of a kind, and what each is.\n"
        f"    $values = @{{\n{words}    }}\n"
        f"    # Kinds that the program is asked for.\n    $asked = @({asked})\n"
        "    # Kinds that depend on the argument before.\n"
        f"    $after = @{{\n{after}    }}\n"
    )


def _after(kind: After) -> str:
    rows = "".join(f"            {word} = {_quoted(part.name)}\n" for word, part in kind.kinds)
    return f"        {kind.name} = @{{\n{rows}        }}\n"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """The rows as text: lines, with tabs between their columns, in which no character is special."""
    lines = ["\t".join(row) for row in rows]
    return _ascii("\n".join(["@'", *lines, "'@"])) if lines else "''"


def _quoted(text: str) -> str:
    return _ascii("'" + text.replace("'", "''") + "'")


def _ascii(text: str) -> str:
    return text.replace("…", "...").replace("–", "-").replace("×", "x").encode("ascii", "replace").decode()
