# Completion of seedream. Written by `python -m scripts.generate`: change that.

set -g __seedream_commands generate status download sync config 'config set' 'config get' 'config unset' 'config list' 'config path' 'config check' sandbox completion help

# The commands on the line, then a line each for its arguments.
function __seedream_parsed
    set -l path
    set -l arguments
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        set -l word $words[1]
        set -e words[1]
        if test "$word" = --
            set -a arguments $words
            break
        else if string match -q -- '-?*' $word
            contains -- $word (__seedream_valued "$path"); and set -e words[1]
        else if contains -- (string trim "$path $word") $__seedream_commands
            set path (string trim "$path $word")
        else
            set -a arguments $word
        end
    end
    string join \n -- "$path" $arguments
end

function __seedream_at
    test "$argv" = (__seedream_parsed)[1]
end

# The values of the place where the cursor is; its kinds are given, the last one twice if it repeats.
function __seedream_place
    # An option is being typed: fish looks here all the same.
    string match -q -- '-*' (commandline -ct); and return
    set -l arguments (__seedream_parsed)
    set -e arguments[1]
    set -l place (math (count $arguments) + 1)
    if test $place -gt (count $argv)
        set -q argv[2]; and test "$argv[-1]" = "$argv[-2]"; or return
        set place -1
    end
    __seedream_values $argv[$place] $arguments[-1]
end

# What the program knows from this machine's files.
function __seedream_ask
    set -l words (commandline -opc)
    set -l program $words[1]
    # An alias is no name of a program.
    command -q -- $program; or set program seedream
    command -q -- $program; or return
    command $program completion --list $argv[1] $words[2..-1] 2>/dev/null </dev/null
end

# The options that take a value.
function __seedream_valued
    switch $argv[1]
        case 'generate'
            string join \n -- '--prompt-file' '-m' '--model' '-a' '--aspect-ratio' '--quality' '-i' '--image' '--details' '--style' '--callback-url' '-n' '--count' '-o' '--output' '--max-bytes' '--timeout' '--poll-interval' '--resume' '--profile' '--base-url' '--api-key-file'
        case 'status'
            string join \n -- '--timeout' '--poll-interval' '--limit' '--state' '--profile' '--base-url' '--api-key-file'
        case 'download'
            string join \n -- '-o' '--output' '--max-bytes' '--timeout' '--poll-interval' '--profile' '--base-url' '--api-key-file'
        case 'sync'
            string join \n -- '--max' '--only' '--shard' '-j' '--jobs' '--max-bytes' '--timeout' '--poll-interval' '--profile' '--base-url' '--api-key-file'
        case 'config set'
            string join \n -- '--profile'
        case 'config get'
            string join \n -- '--profile'
        case 'config unset'
            string join \n -- '--profile'
        case 'config list'
            string join \n -- '--profile'
        case 'config path'
            string join \n -- '--profile'
        case 'config check'
            string join \n -- '--profile' '--base-url' '--api-key-file'
        case 'sandbox'
            string join \n -- '--port' '--dialect' '--seconds' '--fault' '--profile'
        case 'completion'
            string join \n -- '--profile'
    end
end

# The values of a kind, and what each is; the argument before it may follow.
function __seedream_values
    switch $argv[1]
        case aspect_ratio
            printf '%s\t%s\n' '1:1' 'avatars, social posts' '2:3' 'portrait photography' '3:2' 'landscape photography' '3:4' 'magazine covers, posters' '4:3' 'traditional photos' '16:9' 'thumbnails, banners' '9:16' 'phone wallpapers, short-video covers' '21:9' 'cinematic frames, hero images'
        case command
            printf '%s\t%s\n' 'generate' 'Generate an image: submit the prompt, wait for the task, save the result' 'status' 'Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed' 'download' 'Save the images of tasks, waiting for their end if needed' 'sync' 'Keep the images of a project in step with its manifest, seedream.toml' 'config' 'Show and change settings: the API key, defaults, profiles' 'sandbox' 'Serve the documented API on this machine, for trials and tests: no key, no cost' 'completion' 'Print the script with which a shell completes command lines' 'help' 'Show the help of a command'
        case config_command
            printf '%s\t%s\n' 'set' 'Store a setting. The API key is asked for without echo, or read from stdin with -' 'get' 'Print a setting\'s value as it counts now; secrets are masked' 'unset' 'Remove a setting from the config, and the API key from the desktop\'s keyring' 'list' 'Print every setting and style, its value and where it comes from; secrets are masked' 'path' 'Print where the config is' 'check' 'Ask the service whether it takes the key; show where that is from, and what is said of the account'
        case dialect
            printf '%s\t%s\n' 'live' 'the current reference' 'seed' 'the older one'
        case fault
            printf '%s\t%s\n' 'submit-400' 'HTTP 400: Invalid aspect_ratio value' 'submit-401' 'HTTP 401: Invalid API key' 'submit-402' 'HTTP 402: Insufficient quota' 'submit-403' 'HTTP 403: Insufficient balance or permission' 'submit-404' 'HTTP 404: Model not available' 'submit-409' 'HTTP 409: Idempotency-Key was used with another body' 'submit-in-progress' 'HTTP 409: The first request is still running (Retry-After: 1)' 'submit-429' 'HTTP 429: Rate limit exceeded (Retry-After: 1)' 'submit-429-long' 'HTTP 429: Rate limit exceeded (Retry-After: 3600)' 'submit-500' 'HTTP 500: Internal server error' 'submit-502' 'HTTP 502: Bad gateway' 'submit-503' 'HTTP 503: Service temporarily unavailable' 'submit-504' 'HTTP 504: Gateway timeout' 'submit-drop' 'the task is created, the connection closed without an answer' 'submit-drop-before' 'the connection is closed and nothing is created' 'submit-html' 'the task is created, the answer is an HTML page with HTTP 200' 'submit-empty' 'the task is created, the answer is empty with HTTP 200' 'submit-hang' 'the task is created, the answer never comes' 'status-401' 'HTTP 401: Invalid API key' 'status-403' 'HTTP 403: Permission denied' 'status-404' 'HTTP 404: Task not found' 'status-429' 'HTTP 429: Rate limit exceeded (Retry-After: 1)' 'status-429-long' 'HTTP 429: Rate limit exceeded (Retry-After: 3600)' 'status-500' 'HTTP 500: Internal server error' 'status-502' 'HTTP 502: Bad gateway' 'status-503' 'HTTP 503: Service temporarily unavailable' 'status-504' 'HTTP 504: Gateway timeout' 'status-drop' 'the connection is closed without an answer' 'status-html' 'the answer is an HTML page with HTTP 200' 'status-hang' 'the answer never comes' 'no-result-yet' 'a completed task has an empty result' 'strange-status' 'the status is a word that nobody documented: warming_up' 'task-failed' 'the task ends as failed' 'task-cancelled' 'the task ends as cancelled' 'task-rejected' 'the task ends as rejected' 'never-completes' 'the task is processed for ever' 'image-403' 'HTTP 403: Access Denied' 'image-404' 'HTTP 404: The specified key does not exist.' 'image-410' 'HTTP 410: The object has been removed.' 'image-500' 'HTTP 500: We encountered an internal error.' 'image-503' 'HTTP 503: Please reduce your request rate.' 'image-truncated' 'half of the bytes that Content-Length promised' 'image-cut' 'half of the bytes, without a Content-Length to tell' 'image-html' 'an HTML page with HTTP 200 instead of the image' 'image-redirect' 'HTTP 302 to the same image under another link' 'image-hang' 'the image never comes' 'account-401' 'HTTP 401: Invalid API key' 'account-500' 'HTTP 500: Internal server error'
        case key
            printf '%s\t%s\n' 'profile' 'the profile in use' 'api_key' 'the API key' 'api_key_file' 'a file that holds the API key' 'base_url' 'where the API is' 'model' 'the model' 'aspect_ratio' 'the aspect ratio' 'quality' 'the quality' 'output' 'file, folder or template of the images' 'timeout' 'seconds to wait for a task' 'poll_interval' 'seconds between polls, at the least' 'max_bytes' 'the largest image that is saved' 'callback_url' 'a URL that the service calls at a task\'s end'
        case model
            printf '%s\t%s\n' 'seedream-v4.5' 'text to image' 'seedream-v4.5-edit' 'image to image, 1 to 14 source images' 'seedream-5.0-lite' 'text to image' 'seedream-5.0-lite-edit' 'image to image, source images required'
        case quality
            printf '%s\t%s\n' '2K' 'standard, faster' '3K' 'larger, lite models' '4K' 'print and large displays'
        case shell
            printf '%s\t%s\n' 'bash' '' 'zsh' '' 'fish' '' 'powershell' ''
        case state
            printf '%s\t%s\n' 'pending' '' 'processing' '' 'completed' '' 'failed' '' 'cancelled' '' 'rejected' '' 'unknown' '' 'unanswered' '' 'refused' '' 'gone' '' 'skipped' ''
        case profiles
            __seedream_ask profiles
        case resumable
            __seedream_ask resumable
        case styles
            __seedream_ask styles
        case tasks
            __seedream_ask tasks
        case file
            __fish_complete_path (commandline -ct)
        case subcommand
            switch $argv[2]
                case config
                    __seedream_values config_command
            end
        case value
            switch $argv[2]
                case profile
                    __seedream_values profiles
                case api_key_file
                    __seedream_values file
                case model
                    __seedream_values model
                case aspect_ratio
                    __seedream_values aspect_ratio
                case quality
                    __seedream_values quality
                case output
                    __seedream_values file
            end
    end
end

complete -c seedream -f
complete -c seedream -n '__seedream_at' -a generate -d 'Generate an image: submit the prompt, wait for the task, save the result'
complete -c seedream -n '__seedream_at' -a status -d 'Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed'
complete -c seedream -n '__seedream_at' -a download -d 'Save the images of tasks, waiting for their end if needed'
complete -c seedream -n '__seedream_at' -a sync -d 'Keep the images of a project in step with its manifest, seedream.toml'
complete -c seedream -n '__seedream_at' -a config -d 'Show and change settings: the API key, defaults, profiles'
complete -c seedream -n '__seedream_at' -a sandbox -d 'Serve the documented API on this machine, for trials and tests: no key, no cost'
complete -c seedream -n '__seedream_at' -a completion -d 'Print the script with which a shell completes command lines'
complete -c seedream -n '__seedream_at' -a help -d 'Show the help of a command'
complete -c seedream -n '__seedream_at' -s V -l version -d 'Print the version'
complete -c seedream -n '__seedream_at' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at generate' -l prompt-file -r -F -d 'Read the prompt from a UTF-8 file'
complete -c seedream -n '__seedream_at generate' -s m -l model -x -k -a '(__seedream_values model)' -d 'The model (default seedream-v4.5)'
complete -c seedream -n '__seedream_at generate' -s a -l aspect-ratio -x -k -a '(__seedream_values aspect_ratio)' -d 'The aspect ratio (default 1:1)'
complete -c seedream -n '__seedream_at generate' -l quality -x -k -a '(__seedream_values quality)' -d 'The quality (default 2K)'
complete -c seedream -n '__seedream_at generate' -s i -l image -r -F -d 'A source image, of a file, an https URL or stdin (-); repeatable. Uses the model\'s edit form'
complete -c seedream -n '__seedream_at generate' -l details -x -d 'Light, colour, mood: joined to the prompt'
complete -c seedream -n '__seedream_at generate' -l style -x -k -a '(__seedream_values styles)' -d 'A style in words, or the name of one that the config or the project has: joined at the end'
complete -c seedream -n '__seedream_at generate' -l callback-url -x -d 'A URL that the service calls at a task\'s end'
complete -c seedream -n '__seedream_at generate' -s n -l count -x -d 'So many tasks side by side, each paid for; at most 50'
complete -c seedream -n '__seedream_at generate' -s o -l output -r -F -d 'File, folder or template of the images (default {slug}-{task}.{ext})'
complete -c seedream -n '__seedream_at generate' -l overwrite -d 'Replace files that exist'
complete -c seedream -n '__seedream_at generate' -l skip-existing -d 'Do nothing if the file is there'
complete -c seedream -n '__seedream_at generate' -l sidecar -d 'Write FILE.json beside each image: prompt, task, time, digests'
complete -c seedream -n '__seedream_at generate' -l max-bytes -x -d 'The largest image that is saved (default 209715200)'
complete -c seedream -n '__seedream_at generate' -l preview -d 'Draw each image on the terminal as well'
complete -c seedream -n '__seedream_at generate' -l open -d 'Open each image in the desktop\'s viewer'
complete -c seedream -n '__seedream_at generate' -l no-wait -d 'Do not wait for the task\'s end'
complete -c seedream -n '__seedream_at generate' -l timeout -x -d 'Seconds to wait for a task (default 120)'
complete -c seedream -n '__seedream_at generate' -l poll-interval -x -d 'Seconds between polls, at the least (default 2)'
complete -c seedream -n '__seedream_at generate' -l dry-run -d 'Print the request as JSON and send nothing'
complete -c seedream -n '__seedream_at generate' -l resume -x -k -a '(__seedream_values resumable)' -d 'Carry on an operation (op_…, a task id, or last): never a second task'
complete -c seedream -n '__seedream_at generate' -l new-key -d 'With --resume: send it under a new idempotency key, which may pay again'
complete -c seedream -n '__seedream_at generate' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at generate' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at generate' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at generate' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at generate' -l base-url -x -d 'Where the API is (default https://api.apipod.ai/v1)'
complete -c seedream -n '__seedream_at generate' -l api-key-file -r -F -d 'A file that holds the API key'
complete -c seedream -n '__seedream_at generate' -l sandbox -d 'Use the stand-in of the API on this machine: no key, no cost'
complete -c seedream -n '__seedream_at generate' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at status' -l watch -d 'Wait for the end'
complete -c seedream -n '__seedream_at status' -l timeout -x -d 'Seconds to wait for a task (default 120)'
complete -c seedream -n '__seedream_at status' -l poll-interval -x -d 'Seconds between polls, at the least (default 2)'
complete -c seedream -n '__seedream_at status' -l limit -x -d 'How many are listed'
complete -c seedream -n '__seedream_at status' -l state -x -k -a '(__seedream_values state)' -d 'List only those in this state'
complete -c seedream -n '__seedream_at status' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at status' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at status' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at status' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at status' -l base-url -x -d 'Where the API is (default https://api.apipod.ai/v1)'
complete -c seedream -n '__seedream_at status' -l api-key-file -r -F -d 'A file that holds the API key'
complete -c seedream -n '__seedream_at status' -l sandbox -d 'Use the stand-in of the API on this machine: no key, no cost'
complete -c seedream -n '__seedream_at status' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at status' -k -a '(__seedream_place tasks tasks)'
complete -c seedream -n '__seedream_at download' -l pending -d 'Every task of this machine whose images are not saved yet'
complete -c seedream -n '__seedream_at download' -s o -l output -r -F -d 'File, folder or template of the images (default {slug}-{task}.{ext})'
complete -c seedream -n '__seedream_at download' -l overwrite -d 'Replace files that exist'
complete -c seedream -n '__seedream_at download' -l max-bytes -x -d 'The largest image that is saved (default 209715200)'
complete -c seedream -n '__seedream_at download' -l preview -d 'Draw each image on the terminal as well'
complete -c seedream -n '__seedream_at download' -l open -d 'Open each image in the desktop\'s viewer'
complete -c seedream -n '__seedream_at download' -l no-wait -d 'Do not wait for the task\'s end'
complete -c seedream -n '__seedream_at download' -l timeout -x -d 'Seconds to wait for a task (default 120)'
complete -c seedream -n '__seedream_at download' -l poll-interval -x -d 'Seconds between polls, at the least (default 2)'
complete -c seedream -n '__seedream_at download' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at download' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at download' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at download' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at download' -l base-url -x -d 'Where the API is (default https://api.apipod.ai/v1)'
complete -c seedream -n '__seedream_at download' -l api-key-file -r -F -d 'A file that holds the API key'
complete -c seedream -n '__seedream_at download' -l sandbox -d 'Use the stand-in of the API on this machine: no key, no cost'
complete -c seedream -n '__seedream_at download' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at download' -k -a '(__seedream_place tasks tasks)'
complete -c seedream -n '__seedream_at sync' -l dry-run -d 'Print what would be done and paid for, and do nothing'
complete -c seedream -n '__seedream_at sync' -l check -d 'Exit 10 on any drift; offline, without a key'
complete -c seedream -n '__seedream_at sync' -l max -x -d 'Begin only if at most N tasks would be paid for'
complete -c seedream -n '__seedream_at sync' -l frozen -d 'Exit 10 rather than pay for a task'
complete -c seedream -n '__seedream_at sync' -l only -x -d 'Only assets whose names match; repeatable'
complete -c seedream -n '__seedream_at sync' -l shard -x -d 'Only part I of N; auto: as GitLab or Kubernetes numbers this job'
complete -c seedream -n '__seedream_at sync' -s j -l jobs -x -d 'Tasks in flight at once'
complete -c seedream -n '__seedream_at sync' -l force -d 'Overwrite edited files; pay again where the fate of a request is unknown'
complete -c seedream -n '__seedream_at sync' -l accept -d 'Keep edited files: the lock takes them as they are'
complete -c seedream -n '__seedream_at sync' -l prune -d 'Remove images that the manifest does not name any more'
complete -c seedream -n '__seedream_at sync' -l rehash -d 'Read every file, also those whose size and times are known'
complete -c seedream -n '__seedream_at sync' -l max-bytes -x -d 'The largest image that is saved (default 209715200)'
complete -c seedream -n '__seedream_at sync' -l timeout -x -d 'Seconds to wait for a task (default 120)'
complete -c seedream -n '__seedream_at sync' -l poll-interval -x -d 'Seconds between polls, at the least (default 2)'
complete -c seedream -n '__seedream_at sync' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at sync' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at sync' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at sync' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at sync' -l base-url -x -d 'Where the API is (default https://api.apipod.ai/v1)'
complete -c seedream -n '__seedream_at sync' -l api-key-file -r -F -d 'A file that holds the API key'
complete -c seedream -n '__seedream_at sync' -l sandbox -d 'Use the stand-in of the API on this machine: no key, no cost'
complete -c seedream -n '__seedream_at sync' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at sync' -k -a '(__seedream_place file)'
complete -c seedream -n '__seedream_at config' -a set -d 'Store a setting. The API key is asked for without echo, or read from stdin with -'
complete -c seedream -n '__seedream_at config' -a get -d 'Print a setting\'s value as it counts now; secrets are masked'
complete -c seedream -n '__seedream_at config' -a unset -d 'Remove a setting from the config, and the API key from the desktop\'s keyring'
complete -c seedream -n '__seedream_at config' -a list -d 'Print every setting and style, its value and where it comes from; secrets are masked'
complete -c seedream -n '__seedream_at config' -a path -d 'Print where the config is'
complete -c seedream -n '__seedream_at config' -a check -d 'Ask the service whether it takes the key; show where that is from, and what is said of the account'
complete -c seedream -n '__seedream_at config' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at config set' -l keyring -d 'Keep the API key in the desktop\'s keyring, not in the config'
complete -c seedream -n '__seedream_at config set' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at config set' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at config set' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at config set' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at config set' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at config set' -k -a '(__seedream_place key value)'
complete -c seedream -n '__seedream_at config get' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at config get' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at config get' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at config get' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at config get' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at config get' -k -a '(__seedream_place key)'
complete -c seedream -n '__seedream_at config unset' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at config unset' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at config unset' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at config unset' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at config unset' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at config unset' -k -a '(__seedream_place key)'
complete -c seedream -n '__seedream_at config list' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at config list' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at config list' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at config list' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at config list' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at config path' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at config path' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at config path' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at config path' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at config path' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at config check' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at config check' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at config check' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at config check' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at config check' -l base-url -x -d 'Where the API is (default https://api.apipod.ai/v1)'
complete -c seedream -n '__seedream_at config check' -l api-key-file -r -F -d 'A file that holds the API key'
complete -c seedream -n '__seedream_at config check' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at sandbox' -l port -x -d 'The port; 0 takes any free one'
complete -c seedream -n '__seedream_at sandbox' -l dialect -x -k -a '(__seedream_values dialect)' -d 'Answer as the older (seed) or the current reference (live)'
complete -c seedream -n '__seedream_at sandbox' -l seconds -x -d 'How long a task takes'
complete -c seedream -n '__seedream_at sandbox' -l fault -x -k -a '(__seedream_values fault)' -d 'NAME misbehaves every time, NAME=N the first N times; repeatable'
complete -c seedream -n '__seedream_at sandbox' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at sandbox' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at sandbox' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at sandbox' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at sandbox' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at completion' -l json -d 'Print one JSON document on stdout'
complete -c seedream -n '__seedream_at completion' -s q -l quiet -d 'Say nothing but the answer and errors'
complete -c seedream -n '__seedream_at completion' -s v -l verbose -d 'Add requests, request ids and waits'
complete -c seedream -n '__seedream_at completion' -l profile -x -k -a '(__seedream_values profiles)' -d 'The profile of the config to use'
complete -c seedream -n '__seedream_at completion' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at completion' -k -a '(__seedream_place shell)'
complete -c seedream -n '__seedream_at help' -s h -l help -d 'Show this message and exit'
complete -c seedream -n '__seedream_at help' -k -a '(__seedream_place command subcommand)'
complete -c apipod-seedream -w seedream
