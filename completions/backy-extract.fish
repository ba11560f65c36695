# fish completion for backy-extract: options, commands, paths, and the revisions of backup directories.
#
# Does not run the tool. Revisions are the names of metadata files (*.rev).

# Prints "list", "check" or "restore"; a command counts as soon as something follows it.
function __backy_extract_command
    set -l words (commandline -opc)
    if contains -- "$words[2]" list check
        echo $words[2]
    else
        echo restore
    end
end

function __backy_extract_is
    test (__backy_extract_command) = $argv[1]
end

# Prints the positional arguments before the cursor, one a line.
function __backy_extract_arguments
    set -l words (commandline -opc)
    set -e words[1]
    contains -- "$words[1]" list check; and set -e words[1]
    set -l takes_value -r --revision -t --threads -s --sparse --base --range --partition --sector-size --format \
        --on-error --also --report --lock-timeout --bwlimit --sample
    set -l skip
    set -l ended
    for word in $words
        if set -q skip[1]
            set skip
        else if set -q ended[1]; or not string match -q -- '-?*' $word
            printf '%s\n' $word
        else if test "$word" = --
            set ended 1
        else if contains -- $word $takes_value
            set skip 1
        end
    end
end

# Whether so many positional arguments stand before the cursor.
function __backy_extract_at
    set -l arguments (__backy_extract_arguments)
    test (count $arguments) -eq $argv[1]
end

# Prints the revisions of directory $argv[1] with $argv[2] before them, and words of specifications, for one revision
# ($argv[3] is "one") or several. Fails if it is no backup directory.
function __backy_extract_revisions
    set -l place (string replace -r '^~/' "$HOME/" -- "$argv[1]")
    test -n "$place"; or set place .
    set place (string replace -r '/?$' / -- $place)
    test -d "$place"chunks; or return 1
    for path in "$place"*.rev
        printf '%s%s\trevision\n' $argv[2] (string replace -r '^.*/' '' -- $path | string replace -r '\.rev$' '')
    end
    set -l specs first last 'last(clean)' 'last(tag:' 'last(trust:verified)'
    test "$argv[3]" = one; or set -a specs all clean local remote tag: trust:distrusted trust:trusted trust:verified
    printf '%s\tspecification\n' $argv[2]$specs
end

# Completes a revision as a path: in a backup directory its revisions, elsewhere directories.
function __backy_extract_revision_path
    set -l current (commandline -ct)
    set current (string replace -r '^--[a-z-]+=' '' -- "$current")
    # A quote may be open.
    set current (string unescape -- "$current" 2>/dev/null
        or string unescape -- "$current'" 2>/dev/null
        or string unescape -- "$current\"" 2>/dev/null
        or printf '%s\n' $current)
    set -l directory (string match -r '^.*/' -- "$current")
    __backy_extract_revisions "$directory" "$directory" $argv[1]; or __fish_complete_directories "$current" ''
end

# Completes a revision of the directory that is the first argument.
function __backy_extract_revision_name
    set -l arguments (__backy_extract_arguments)
    __backy_extract_revisions "$arguments[1]" '' $argv[1]
end

# Completes what --base takes: a name beside the revision, or a path.
function __backy_extract_base
    set -l arguments (__backy_extract_arguments)
    if set -q arguments[1]; and not string match -q '*/*' -- (commandline -ct)
        __backy_extract_revisions $arguments[1] '' one
        or __backy_extract_revisions (string replace -r '[^/]*$' '' -- $arguments[1]) '' one
        and return
    end
    __backy_extract_revision_path one
end

complete -c backy-extract -f
complete -c backy-extract -s h -l help -d 'Show this help and exit'
complete -c backy-extract -s V -l version -d 'Show the version and exit'
complete -c backy-extract -l json -d 'Report or print in JSON'

set -l restore '__backy_extract_is restore'
set -l list '__backy_extract_is list'
set -l check '__backy_extract_is check'
set -l work 'not __backy_extract_is list'

complete -c backy-extract -n "$restore; and test (count (commandline -opc)) -eq 1" -a list -d 'List the revisions of a backup directory'
complete -c backy-extract -n "$restore; and test (count (commandline -opc)) -eq 1" -a check -d 'Read and verify all chunks of revisions'
complete -c backy-extract -n "$restore; and __backy_extract_at 0" -a '(__backy_extract_revision_path one)'
complete -c backy-extract -n "$restore; and __backy_extract_at 1" -F
complete -c backy-extract -n "$list; and __backy_extract_at 0" -a '(__fish_complete_directories)'
complete -c backy-extract -n "$list; and __backy_extract_at 1" -a '(__backy_extract_revision_name several)'
complete -c backy-extract -n "$check" -a '(__backy_extract_revision_path several)'

complete -c backy-extract -n $restore -s r -l revision -x -a '(__backy_extract_revision_name one)' -d 'Choose the revision of backup directory REVISION'
complete -c backy-extract -n $check -s r -l revision -x -a '(__backy_extract_revision_name several)' -d 'Choose the revisions of backup directory REVISION'
complete -c backy-extract -n $check -l sample -x -d 'Check only this share of the chunks'
complete -c backy-extract -n $work -s t -l threads -x -d 'Decoding workers'
complete -c backy-extract -n $restore -s s -l sparse -x -a 'auto never always' -d 'How zeros reach the target'
complete -c backy-extract -n $restore -s u -l update -d 'Write only what differs from the revision; resume'
complete -c backy-extract -n $restore -l base -x -a '(__backy_extract_base)' -d 'Trust the target to hold this revision'
complete -c backy-extract -n $restore -l verify-target -d 'Read the target back at the end and compare'
complete -c backy-extract -n $restore -l range -x -d 'Restore only OFFSET:LENGTH'
complete -c backy-extract -n $restore -l partition -x -d 'Restore only this partition'
complete -c backy-extract -n $restore -l sector-size -x -a '512 4096' -d 'Sector size of the partition table'
complete -c backy-extract -n $restore -l format -x -a 'raw rbd-diff' -d 'What standard output gets'
complete -c backy-extract -n $restore -l on-error -x -a 'abort zero' -d 'What to do about a bad chunk'
complete -c backy-extract -n $restore -l also -x -a '(__fish_complete_directories)' -d 'Another backup directory with good copies of chunks'
complete -c backy-extract -n $restore -l report -r -F -d 'Write the bad ranges to this file, as JSON'
complete -c backy-extract -n $restore -l no-verify -d 'Do not check chunk content against its id'
complete -c backy-extract -n $restore -l no-sync -d 'Do not flush the target to disk at the end'
complete -c backy-extract -n $work -l lock-timeout -x -d 'Give up on the purge lock after this time'
complete -c backy-extract -n $work -l bwlimit -x -d 'Limit reading from the backup'
complete -c backy-extract -n $restore -s f -l force -d 'Write to a target that is in use, or to another backup\'s file'
complete -c backy-extract -n $restore -s n -l dry-run -d 'Check everything up to the first write'
complete -c backy-extract -n $work -s q -l quiet -d 'No progress, only warnings and errors'
