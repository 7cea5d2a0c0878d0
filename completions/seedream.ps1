# Completion of seedream for Windows PowerShell 5.1 and PowerShell 7. The candidates come from
# `seedream completion --list`, which reads local files only. This file is ASCII: Windows PowerShell
# reads it in the machine's code page.
Register-ArgumentCompleter -Native -CommandName 'seedream', 'apipod-seedream' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # The words up to the cursor: PowerShell splits -a:b in two.
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
    $words = @($words -replace '["''`]')
    $typed = $words[-1]
    # Windows PowerShell drops empty arguments anyway.
    $before = @($words | Select-Object -Skip 1 | Select-Object -SkipLast 1 | Where-Object { $_ })

    # An alias is not the name of a program.
    $program = $commandAst.GetCommandName()
    if (-not (Get-Command $program -CommandType Application -ErrorAction Ignore)) { $program = 'seedream' }
    $encoding = [Console]::OutputEncoding
    try {
        [Console]::OutputEncoding = [System.Text.UTF8Encoding]::new()
        $answer = @(& $program completion "--list=$typed" '--' $before 2>$null)
    } catch {
        $answer = @()
    } finally {
        [Console]::OutputEncoding = $encoding
    }

    # PowerShell replaces $wordToComplete, which may begin later than the word.
    $kept = 0
    if ($typed.EndsWith($wordToComplete)) { $kept = $typed.Length - $wordToComplete.Length }
    $found = $false
    foreach ($row in $answer) {
        $word, $description = $row -split "`t"
        if ($word -ceq ':files') {
            $path = $typed.Substring($description.Length)
            foreach ($file in [System.Management.Automation.CompletionCompleters]::CompleteFilename($path)) {
                $text = ($description + $file.CompletionText).Substring($kept)
                [System.Management.Automation.CompletionResult]::new(
                    $text, $file.ListItemText, $file.ResultType, $file.ToolTip)
            }
            return
        }
        if (-not $word.StartsWith($typed, [StringComparison]::Ordinal)) { continue }
        $text = $word.Substring($kept)
        if ($text -cnotmatch '^[A-Za-z0-9_.:=/-]+$') {
            # Of --option=value, only the value is quoted.
            $value = if ($text.StartsWith('--')) { $text.IndexOf('=') + 1 } else { 0 }
            $text = $text.Substring(0, $value) + "'" + $text.Substring($value).Replace("'", "''") + "'"
        }
        # A tooltip must not be empty.
        $tip = if ($description) { $description } else { $word }
        [System.Management.Automation.CompletionResult]::new($text, $word, 'ParameterValue', $tip)
        $found = $true
    }
    # If there is no result at all, PowerShell offers files.
    if (-not $found) { '' }
}
