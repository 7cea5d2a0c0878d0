# Completion of seedream. Written by `python -m scripts.generate`: change that.
Register-ArgumentCompleter -Native -CommandName 'seedream', 'apipod-seedream' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    # What can follow which words. Commands: word, what it is. Options: flags, the value's kind
    # (. none, - anything), how often, what it is. Places: the kinds of arguments (+ it repeats).
    $levels = @{
        '' = @{
            Commands = @'
generate	Generate an image: submit the prompt, wait for the task, save the result
status	Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed
download	Save the images of tasks, waiting for their end if needed
sync	Keep the images of a project in step with its manifest, seedream.toml
config	Show and change settings: the API key, defaults, profiles
sandbox	Serve the documented API on this machine, for trials and tests: no key, no cost
completion	Print the script with which a shell completes command lines
help	Show the help of a command
'@
            Options  = @'
-V --version	.	once	Print the version
-h --help	.	once	Show this message and exit
'@
            Places   = ''
        }
        'generate' = @{
            Commands = ''
            Options  = @'
--prompt-file	file	once	Read the prompt from a UTF-8 file
-m --model	model	once	The model (default seedream-v4.5)
-a --aspect-ratio	aspect_ratio	once	The aspect ratio (default 1:1)
--quality	quality	once	The quality (default 2K)
-i --image	file	often	A source image, of a file, an https URL or stdin (-); repeatable. Uses the model's edit form
--details	-	once	Light, colour, mood: joined to the prompt
--style	styles	once	A style in words, or the name of one that the config or the project has: joined at the end
--callback-url	-	once	A URL that the service calls at a task's end
-n --count	-	once	So many tasks side by side, each paid for; at most 50
-o --output	file	once	File, folder or template of the images (default {slug}-{task}.{ext})
--overwrite	.	once	Replace files that exist
--skip-existing	.	once	Do nothing if the file is there
--sidecar	.	once	Write FILE.json beside each image: prompt, task, time, digests
--max-bytes	-	once	The largest image that is saved (default 209715200)
--preview	.	once	Draw each image on the terminal as well
--open	.	once	Open each image in the desktop's viewer
--no-wait	.	once	Do not wait for the task's end
--timeout	-	once	Seconds to wait for a task (default 120)
--poll-interval	-	once	Seconds between polls, at the least (default 2)
--dry-run	.	once	Print the request as JSON and send nothing
--resume	resumable	once	Carry on an operation (op_..., a task id, or last): never a second task
--new-key	.	once	With --resume: send it under a new idempotency key, which may pay again
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
--base-url	-	once	Where the API is (default https://api.apipod.ai/v1)
--api-key-file	file	once	A file that holds the API key
--sandbox	.	once	Use the stand-in of the API on this machine: no key, no cost
-h --help	.	once	Show this message and exit
'@
            Places   = '-'
        }
        'status' = @{
            Commands = ''
            Options  = @'
--watch	.	once	Wait for the end
--timeout	-	once	Seconds to wait for a task (default 120)
--poll-interval	-	once	Seconds between polls, at the least (default 2)
--limit	-	once	How many are listed
--state	state	once	List only those in this state
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
--base-url	-	once	Where the API is (default https://api.apipod.ai/v1)
--api-key-file	file	once	A file that holds the API key
--sandbox	.	once	Use the stand-in of the API on this machine: no key, no cost
-h --help	.	once	Show this message and exit
'@
            Places   = 'tasks+'
        }
        'download' = @{
            Commands = ''
            Options  = @'
--pending	.	once	Every task of this machine whose images are not saved yet
-o --output	file	once	File, folder or template of the images (default {slug}-{task}.{ext})
--overwrite	.	once	Replace files that exist
--max-bytes	-	once	The largest image that is saved (default 209715200)
--preview	.	once	Draw each image on the terminal as well
--open	.	once	Open each image in the desktop's viewer
--no-wait	.	once	Do not wait for the task's end
--timeout	-	once	Seconds to wait for a task (default 120)
--poll-interval	-	once	Seconds between polls, at the least (default 2)
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
--base-url	-	once	Where the API is (default https://api.apipod.ai/v1)
--api-key-file	file	once	A file that holds the API key
--sandbox	.	once	Use the stand-in of the API on this machine: no key, no cost
-h --help	.	once	Show this message and exit
'@
            Places   = 'tasks+'
        }
        'sync' = @{
            Commands = ''
            Options  = @'
--dry-run	.	once	Print what would be done and paid for, and do nothing
--check	.	once	Exit 10 on any drift; offline, without a key
--max	-	once	Begin only if at most N tasks would be paid for
--frozen	.	once	Exit 10 rather than pay for a task
--only	-	often	Only assets whose names match; repeatable
--shard	-	once	Only part I of N; auto: as GitLab or Kubernetes numbers this job
-j --jobs	-	once	Tasks in flight at once
--force	.	once	Overwrite edited files; pay again where the fate of a request is unknown
--accept	.	once	Keep edited files: the lock takes them as they are
--prune	.	once	Remove images that the manifest does not name any more
--rehash	.	once	Read every file, also those whose size and times are known
--max-bytes	-	once	The largest image that is saved (default 209715200)
--timeout	-	once	Seconds to wait for a task (default 120)
--poll-interval	-	once	Seconds between polls, at the least (default 2)
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
--base-url	-	once	Where the API is (default https://api.apipod.ai/v1)
--api-key-file	file	once	A file that holds the API key
--sandbox	.	once	Use the stand-in of the API on this machine: no key, no cost
-h --help	.	once	Show this message and exit
'@
            Places   = 'file'
        }
        'config' = @{
            Commands = @'
set	Store a setting. The API key is asked for without echo, or read from stdin with -
get	Print a setting's value as it counts now; secrets are masked
unset	Remove a setting from the config, and the API key from the desktop's keyring
list	Print every setting and style, its value and where it comes from; secrets are masked
path	Print where the config is
check	Ask the service whether it takes the key; show where that is from, and what is said of the account
'@
            Options  = @'
-h --help	.	once	Show this message and exit
'@
            Places   = ''
        }
        'config set' = @{
            Commands = ''
            Options  = @'
--keyring	.	once	Keep the API key in the desktop's keyring, not in the config
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'@
            Places   = 'key value'
        }
        'config get' = @{
            Commands = ''
            Options  = @'
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'@
            Places   = 'key'
        }
        'config unset' = @{
            Commands = ''
            Options  = @'
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'@
            Places   = 'key'
        }
        'config list' = @{
            Commands = ''
            Options  = @'
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'@
            Places   = ''
        }
        'config path' = @{
            Commands = ''
            Options  = @'
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'@
            Places   = ''
        }
        'config check' = @{
            Commands = ''
            Options  = @'
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
--base-url	-	once	Where the API is (default https://api.apipod.ai/v1)
--api-key-file	file	once	A file that holds the API key
-h --help	.	once	Show this message and exit
'@
            Places   = ''
        }
        'sandbox' = @{
            Commands = ''
            Options  = @'
--port	-	once	The port; 0 takes any free one
--dialect	dialect	once	Answer as the older (seed) or the current reference (live)
--seconds	-	once	How long a task takes
--fault	fault	often	NAME misbehaves every time, NAME=N the first N times; repeatable
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'@
            Places   = ''
        }
        'completion' = @{
            Commands = ''
            Options  = @'
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'@
            Places   = 'shell'
        }
        'help' = @{
            Commands = ''
            Options  = @'
-h --help	.	once	Show this message and exit
'@
            Places   = 'command subcommand'
        }
    }
    # The values of a kind, and what each is.
    $values = @{
        aspect_ratio = @'
1:1	avatars, social posts
2:3	portrait photography
3:2	landscape photography
3:4	magazine covers, posters
4:3	traditional photos
16:9	thumbnails, banners
9:16	phone wallpapers, short-video covers
21:9	cinematic frames, hero images
'@
        command = @'
generate	Generate an image: submit the prompt, wait for the task, save the result
status	Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed
download	Save the images of tasks, waiting for their end if needed
sync	Keep the images of a project in step with its manifest, seedream.toml
config	Show and change settings: the API key, defaults, profiles
sandbox	Serve the documented API on this machine, for trials and tests: no key, no cost
completion	Print the script with which a shell completes command lines
help	Show the help of a command
'@
        config_command = @'
set	Store a setting. The API key is asked for without echo, or read from stdin with -
get	Print a setting's value as it counts now; secrets are masked
unset	Remove a setting from the config, and the API key from the desktop's keyring
list	Print every setting and style, its value and where it comes from; secrets are masked
path	Print where the config is
check	Ask the service whether it takes the key; show where that is from, and what is said of the account
'@
        dialect = @'
live	the current reference
seed	the older one
'@
        fault = @'
submit-400	HTTP 400: Invalid aspect_ratio value
submit-401	HTTP 401: Invalid API key
submit-402	HTTP 402: Insufficient quota
submit-403	HTTP 403: Insufficient balance or permission
submit-404	HTTP 404: Model not available
submit-409	HTTP 409: Idempotency-Key was used with another body
submit-in-progress	HTTP 409: The first request is still running (Retry-After: 1)
submit-429	HTTP 429: Rate limit exceeded (Retry-After: 1)
submit-429-long	HTTP 429: Rate limit exceeded (Retry-After: 3600)
submit-500	HTTP 500: Internal server error
submit-502	HTTP 502: Bad gateway
submit-503	HTTP 503: Service temporarily unavailable
submit-504	HTTP 504: Gateway timeout
submit-drop	the task is created, the connection closed without an answer
submit-drop-before	the connection is closed and nothing is created
submit-html	the task is created, the answer is an HTML page with HTTP 200
submit-empty	the task is created, the answer is empty with HTTP 200
submit-hang	the task is created, the answer never comes
status-401	HTTP 401: Invalid API key
status-403	HTTP 403: Permission denied
status-404	HTTP 404: Task not found
status-429	HTTP 429: Rate limit exceeded (Retry-After: 1)
status-429-long	HTTP 429: Rate limit exceeded (Retry-After: 3600)
status-500	HTTP 500: Internal server error
status-502	HTTP 502: Bad gateway
status-503	HTTP 503: Service temporarily unavailable
status-504	HTTP 504: Gateway timeout
status-drop	the connection is closed without an answer
status-html	the answer is an HTML page with HTTP 200
status-hang	the answer never comes
no-result-yet	a completed task has an empty result
strange-status	the status is a word that nobody documented: warming_up
task-failed	the task ends as failed
task-cancelled	the task ends as cancelled
task-rejected	the task ends as rejected
never-completes	the task is processed for ever
image-403	HTTP 403: Access Denied
image-404	HTTP 404: The specified key does not exist.
image-410	HTTP 410: The object has been removed.
image-500	HTTP 500: We encountered an internal error.
image-503	HTTP 503: Please reduce your request rate.
image-truncated	half of the bytes that Content-Length promised
image-cut	half of the bytes, without a Content-Length to tell
image-html	an HTML page with HTTP 200 instead of the image
image-redirect	HTTP 302 to the same image under another link
image-hang	the image never comes
account-401	HTTP 401: Invalid API key
account-500	HTTP 500: Internal server error
'@
        key = @'
profile	the profile in use
api_key	the API key
api_key_file	a file that holds the API key
base_url	where the API is
model	the model
aspect_ratio	the aspect ratio
quality	the quality
output	file, folder or template of the images
timeout	seconds to wait for a task
poll_interval	seconds between polls, at the least
max_bytes	the largest image that is saved
callback_url	a URL that the service calls at a task's end
'@
        model = @'
seedream-v4.5	text to image
seedream-v4.5-edit	image to image, 1 to 14 source images
seedream-5.0-lite	text to image
seedream-5.0-lite-edit	image to image, source images required
'@
        quality = @'
2K	standard, faster
3K	larger, lite models
4K	print and large displays
'@
        shell = @'
bash	
zsh	
fish	
powershell	
'@
        state = @'
pending	
processing	
completed	
failed	
cancelled	
rejected	
unknown	
unanswered	
refused	
gone	
skipped	
'@
    }
    # Kinds that the program is asked for.
    $asked = @('profiles', 'resumable', 'styles', 'tasks')
    # Kinds that depend on the argument before.
    $after = @{
        subcommand = @{
            config = 'config_command'
        }
        value = @{
            profile = 'profiles'
            api_key_file = 'file'
            model = 'model'
            aspect_ratio = 'aspect_ratio'
            quality = 'quality'
            output = 'file'
        }
    }

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
}
