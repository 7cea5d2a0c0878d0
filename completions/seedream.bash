# shellcheck shell=bash
# Completion of seedream. Written by `python -m scripts.generate`: change that.

# What can follow the words $1. commands: word, what it is. options: flags, the value's kind
# (. none, - anything), how often, what it is. places: the kinds of arguments (+ it repeats).
_seedream_level() {
    case $1 in
    '')
        commands='generate	Generate an image: submit the prompt, wait for the task, save the result
status	Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed
download	Save the images of tasks, waiting for their end if needed
sync	Keep the images of a project in step with its manifest, seedream.toml
config	Show and change settings: the API key, defaults, profiles
sandbox	Serve the documented API on this machine, for trials and tests: no key, no cost
completion	Print the script with which a shell completes command lines
help	Show the help of a command
'
        options='-V --version	.	once	Print the version
-h --help	.	once	Show this message and exit
'
        places=''
        ;;
    'generate')
        commands=''
        options='--prompt-file	file	once	Read the prompt from a UTF-8 file
-m --model	model	once	The model (default seedream-v4.5)
-a --aspect-ratio	aspect_ratio	once	The aspect ratio (default 1:1)
--quality	quality	once	The quality (default 2K)
-i --image	file	often	A source image, of a file, an https URL or stdin (-); repeatable. Uses the model'\''s edit form
--details	-	once	Light, colour, mood: joined to the prompt
--style	styles	once	A style in words, or the name of one that the config or the project has: joined at the end
--callback-url	-	once	A URL that the service calls at a task'\''s end
-n --count	-	once	So many tasks side by side, each paid for; at most 50
-o --output	file	once	File, folder or template of the images (default {slug}-{task}.{ext})
--overwrite	.	once	Replace files that exist
--skip-existing	.	once	Do nothing if the file is there
--sidecar	.	once	Write FILE.json beside each image: prompt, task, time, digests
--max-bytes	-	once	The largest image that is saved (default 209715200)
--preview	.	once	Draw each image on the terminal as well
--open	.	once	Open each image in the desktop'\''s viewer
--no-wait	.	once	Do not wait for the task'\''s end
--timeout	-	once	Seconds to wait for a task (default 120)
--poll-interval	-	once	Seconds between polls, at the least (default 2)
--dry-run	.	once	Print the request as JSON and send nothing
--resume	resumable	once	Carry on an operation (op_…, a task id, or last): never a second task
--new-key	.	once	With --resume: send it under a new idempotency key, which may pay again
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
--base-url	-	once	Where the API is (default https://api.apipod.ai/v1)
--api-key-file	file	once	A file that holds the API key
--sandbox	.	once	Use the stand-in of the API on this machine: no key, no cost
-h --help	.	once	Show this message and exit
'
        places='-'
        ;;
    'status')
        commands=''
        options='--watch	.	once	Wait for the end
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
'
        places='tasks+'
        ;;
    'download')
        commands=''
        options='--pending	.	once	Every task of this machine whose images are not saved yet
-o --output	file	once	File, folder or template of the images (default {slug}-{task}.{ext})
--overwrite	.	once	Replace files that exist
--max-bytes	-	once	The largest image that is saved (default 209715200)
--preview	.	once	Draw each image on the terminal as well
--open	.	once	Open each image in the desktop'\''s viewer
--no-wait	.	once	Do not wait for the task'\''s end
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
'
        places='tasks+'
        ;;
    'sync')
        commands=''
        options='--dry-run	.	once	Print what would be done and paid for, and do nothing
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
'
        places='file'
        ;;
    'config')
        commands='set	Store a setting. The API key is asked for without echo, or read from stdin with -
get	Print a setting'\''s value as it counts now; secrets are masked
unset	Remove a setting from the config, and the API key from the desktop'\''s keyring
list	Print every setting and style, its value and where it comes from; secrets are masked
path	Print where the config is
check	Ask the service whether it takes the key; show where that is from, and what is said of the account
'
        options='-h --help	.	once	Show this message and exit
'
        places=''
        ;;
    'config set')
        commands=''
        options='--keyring	.	once	Keep the API key in the desktop'\''s keyring, not in the config
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'
        places='key value'
        ;;
    'config get')
        commands=''
        options='--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'
        places='key'
        ;;
    'config unset')
        commands=''
        options='--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'
        places='key'
        ;;
    'config list')
        commands=''
        options='--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'
        places=''
        ;;
    'config path')
        commands=''
        options='--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'
        places=''
        ;;
    'config check')
        commands=''
        options='--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
--base-url	-	once	Where the API is (default https://api.apipod.ai/v1)
--api-key-file	file	once	A file that holds the API key
-h --help	.	once	Show this message and exit
'
        places=''
        ;;
    'sandbox')
        commands=''
        options='--port	-	once	The port; 0 takes any free one
--dialect	dialect	once	Answer as the older (seed) or the current reference (live)
--seconds	-	once	How long a task takes
--fault	fault	often	NAME misbehaves every time, NAME=N the first N times; repeatable
--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'
        places=''
        ;;
    'completion')
        commands=''
        options='--json	.	once	Print one JSON document on stdout
-q --quiet	.	once	Say nothing but the answer and errors
-v --verbose	.	once	Add requests, request ids and waits
--profile	profiles	once	The profile of the config to use
-h --help	.	once	Show this message and exit
'
        places='shell'
        ;;
    'help')
        commands=''
        options='-h --help	.	once	Show this message and exit
'
        places='command subcommand'
        ;;
    esac
}

# Sets rows: the values of kind $1, and what each is.
_seedream_values() {
    rows=''
    case $1 in
    aspect_ratio) rows='1:1	avatars, social posts
2:3	portrait photography
3:2	landscape photography
3:4	magazine covers, posters
4:3	traditional photos
16:9	thumbnails, banners
9:16	phone wallpapers, short-video covers
21:9	cinematic frames, hero images
' ;;
    command) rows='generate	Generate an image: submit the prompt, wait for the task, save the result
status	Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed
download	Save the images of tasks, waiting for their end if needed
sync	Keep the images of a project in step with its manifest, seedream.toml
config	Show and change settings: the API key, defaults, profiles
sandbox	Serve the documented API on this machine, for trials and tests: no key, no cost
completion	Print the script with which a shell completes command lines
help	Show the help of a command
' ;;
    config_command) rows='set	Store a setting. The API key is asked for without echo, or read from stdin with -
get	Print a setting'\''s value as it counts now; secrets are masked
unset	Remove a setting from the config, and the API key from the desktop'\''s keyring
list	Print every setting and style, its value and where it comes from; secrets are masked
path	Print where the config is
check	Ask the service whether it takes the key; show where that is from, and what is said of the account
' ;;
    dialect) rows='live	the current reference
seed	the older one
' ;;
    fault) rows='submit-400	HTTP 400: Invalid aspect_ratio value
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
' ;;
    key) rows='profile	the profile in use
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
callback_url	a URL that the service calls at a task'\''s end
' ;;
    model) rows='seedream-v4.5	text to image
seedream-v4.5-edit	image to image, 1 to 14 source images
seedream-5.0-lite	text to image
seedream-5.0-lite-edit	image to image, source images required
' ;;
    quality) rows='2K	standard, faster
3K	larger, lite models
4K	print and large displays
' ;;
    shell) rows='bash	
zsh	
fish	
powershell	
' ;;
    state) rows='pending	
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
' ;;
    profiles) rows=$(_seedream_ask profiles) ;;
    resumable) rows=$(_seedream_ask resumable) ;;
    styles) rows=$(_seedream_ask styles) ;;
    tasks) rows=$(_seedream_ask tasks) ;;
    file) files=1 ;;
    subcommand)
        case $previous in
        config) _seedream_values config_command ;;
        esac
        ;;
    value)
        case $previous in
        profile) _seedream_values profiles ;;
        api_key_file) _seedream_values file ;;
        model) _seedream_values model ;;
        aspect_ratio) _seedream_values aspect_ratio ;;
        quality) _seedream_values quality ;;
        output) _seedream_values file ;;
        esac
        ;;
    esac
}

# What the program knows from this machine's files.
_seedream_ask() {
    local program
    # An alias or a ~ is no name of a program.
    program=$(type -P -- "${words[0]}") || program=seedream
    "$program" completion --list "$1" "${words[@]:1:last-1}" 2>/dev/null </dev/null
}

# Sets words, of which the last one is cut at the cursor: bash splits at : and = too. Redirections are none of
# the program's words; files is set where the name of one's file is typed.
_seedream_split() {
    local i part line=${COMP_LINE:0:COMP_POINT} behind file=''
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        behind=${line#"${line%%[![:space:]]*}"}
        part=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || part=$behind
        if [[ $part == [\<\>]* || $part == '&>'* ]]; then
            # As in 2>.
            [[ $behind != "$line" || ${words[${#words[@]}-1]} == *[!0-9]* ]] || unset 'words[${#words[@]}-1]'
            file=next
        elif [[ $file == next || ($file && $behind == "$line") ]]; then
            file=this
        elif [[ $i -gt 0 && $behind == "$line" ]]; then
            words[${#words[@]}-1]+=$part
        else
            words+=("$part")
            file=''
        fi
        line=${behind#"$part"}
    done
    last=$((${#words[@]} - 1))
    [[ ! $file ]] || files=1
}

# Sets kind: what the option $1 takes, . for nothing; empty where there is no such option.
_seedream_kind_of() {
    local flags often what
    kind=''
    while IFS=$'\t' read -r flags kind often what; do
        [[ " $flags " != *" $1 "* ]] || return 0
    done <<<"$options"
    kind=''
}

# Sets rows: the options that are not there yet.
_seedream_flags() {
    local flags kind often what flag
    rows=''
    while IFS=$'\t' read -r flags kind often what; do
        for flag in $flags; do
            [[ $often != once || $used != *" $flag "* ]] || continue 2
        done
        for flag in $flags; do
            rows+=$flag$'\t'$what$'\n'
        done
    done <<<"$options"
}

# Offers those of rows that begin with $2; $1 stands before them in the same word.
_seedream_offer() {
    local glued=$1 typed=$2 quote='' kept='' head char word what width=0 i
    local -a names=() texts=()
    case $typed in
    [\"\']*) quote=${typed:0:1} typed=${typed:1} ;;
    *) typed=${typed//\\/} ;;
    esac
    if [[ $quote ]]; then
        kept=$glued
    else
        # Readline replaces only what stands behind the last of these.
        for char in : =; do
            head=$glued$typed
            if [[ $COMP_WORDBREAKS == *"$char"* && $head == *"$char"* ]]; then
                head=${head%"$char"*}$char
                ((${#head} <= ${#kept})) || kept=$head
            fi
        done
    fi
    while IFS=$'\t' read -r word what; do
        [[ $word && $word == "$typed"* ]] || continue
        [[ $quote || $word != *[!A-Za-z0-9_.:=/-]* ]] || printf -v word %q "$word"
        word=$glued$word
        word=${word#"$kept"}
        names+=("$word")
        texts+=("$what")
        ((${#word} <= width)) || width=${#word}
    done <<<"$rows"
    [[ ${#names[@]} -gt 0 ]] || return 0
    COMPREPLY=("${names[@]}")
    compopt -o nosort 2>/dev/null
    # These types of completion show a list; what each candidate is goes with it, and is never inserted.
    case ${#names[@]}:$COMP_TYPE in
    1:*) return 0 ;;
    *:63 | *:33 | *:64) ;;
    *) return 0 ;;
    esac
    for ((i = 0; i < ${#names[@]}; i++)); do
        [[ ${texts[i]} ]] || continue
        printf -v word '%-*s  (%s)' "$width" "${names[i]}" "${texts[i]}"
        ((${#word} < ${COLUMNS:-80})) || word="${word:0:${COLUMNS:-80}-3}…)"
        # One below the other: readline makes columns as wide as the widest.
        [[ $i -gt 0 ]] || printf -v word '%-*s' $((${COLUMNS:-80} / 2 + 1)) "$word"
        COMPREPLY[i]=$word
    done
}

_seedream() {
    local IFS=$' \t\n' words last commands options places rows kind
    local path='' previous='' place=0 ended='' used=' ' pending='' files='' i word
    COMPREPLY=()
    _seedream_split
    [[ ! $files ]] || return 0
    _seedream_level ''
    for ((i = 1; i < last; i++)); do
        word=${words[i]}
        if [[ ! $ended && $word == -- ]]; then
            ended=1
        elif [[ ! $ended && $word == -?* ]]; then
            used+="${word%%=*} "
            [[ $word == *=* ]] || _seedream_kind_of "$word"
            if [[ $word != *=* && $kind && $kind != . ]]; then
                i=$((i + 1))
                pending=$kind
            fi
        elif [[ $'\n'$commands == *$'\n'"$word"$'\t'* ]]; then
            path="${path:+$path }$word"
            _seedream_level "$path"
        else
            previous=$word
            place=$((place + 1))
        fi
    done
    word=${words[last]}
    if ((i > last)); then
        _seedream_values "$pending"
        _seedream_offer '' "$word"
    elif [[ ! $ended && $word == --*=* ]]; then
        _seedream_kind_of "${word%%=*}"
        _seedream_values "$kind"
        _seedream_offer "${word%%=*}=" "${word#*=}"
    elif [[ ! $ended && $word == -[!-]?* ]] && _seedream_kind_of "${word:0:2}" && [[ ${kind:-.} != . ]]; then
        _seedream_values "$kind"
        _seedream_offer "${word:0:2}" "${word:2}"
    elif [[ ! $ended && $word == -* ]]; then
        _seedream_flags
        _seedream_offer '' "$word"
    elif [[ $commands ]]; then
        rows=$commands
        _seedream_offer '' "$word"
    else
        for kind in $places; do
            [[ $place -gt 0 && $kind != *+ ]] || break
            place=$((place - 1))
            kind=''
        done
        _seedream_values "${kind%+}"
        _seedream_offer '' "$word"
    fi
    # Where readline is to complete a file it does so by itself, quotes and all.
    [[ $files ]] || compopt +o default 2>/dev/null
    return 0
}

complete -o default -F _seedream seedream apipod-seedream
