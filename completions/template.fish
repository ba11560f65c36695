# fish completion for backy-tool: options, commands, paths, and the revisions of backup directories.
#
# Does not run the tool. Revisions are the names of metadata files (*.rev).

# Whether this is the command with that name; "main" is the tool without one. A command counts once something follows it.
function __backy_tool_is
    set -l words (commandline -opc)
    #@ commands
    if contains -- "$words[2]" $commands
        test $words[2] = $argv[1]
    else
        test main = $argv[1]
    end
end

# Prints the positional arguments before the cursor, one a line.
function __backy_tool_arguments
    set -l words (commandline -opc)
    set -e words[1]
    #@ commands
    contains -- "$words[1]" $commands; and set -e words[1]
    #@ values
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

# Compares the number of positional arguments before the cursor, as "-eq 1".
function __backy_tool_has
    set -l arguments (__backy_tool_arguments)
    test (count $arguments) $argv
end

# Prints the revisions of directory $argv[1] with $argv[2] before them, and words of specifications, for one revision
# ($argv[3] is "one") or several. Fails if it is not a backup directory.
function __backy_tool_revisions
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
function __backy_tool_revision_path
    set -l current (commandline -ct)
    set current (string replace -r '^--[a-z-]+=' '' -- "$current")
    # A quote may be open.
    set current (string unescape -- "$current" 2>/dev/null
        or string unescape -- "$current'" 2>/dev/null
        or string unescape -- "$current\"" 2>/dev/null
        or printf '%s\n' $current)
    set -l directory (string match -r '^.*/' -- "$current")
    __backy_tool_revisions "$directory" "$directory" $argv[1]; or __fish_complete_directories "$current" ''
end

# Completes a revision of the directory that is the first argument.
function __backy_tool_revision_name
    set -l arguments (__backy_tool_arguments)
    __backy_tool_revisions "$arguments[1]" '' $argv[1]
end

# Completes what --base takes: a name beside the revision, or a path.
function __backy_tool_base
    set -l arguments (__backy_tool_arguments)
    if set -q arguments[1]; and not string match -q '*/*' -- (commandline -ct)
        __backy_tool_revisions $arguments[1] '' one
        or __backy_tool_revisions (string replace -r '[^/]*$' '' -- $arguments[1]) '' one
        and return
    end
    __backy_tool_revision_path one
end

complete -c backy-tool -f
#@ options
