# bash completion for backy-tool: options, commands, paths, and the revisions of backup directories.
#
# Needs no other file, and does not run the tool. Revisions are the names of metadata files (*.rev). Files and directories
# are left to the shell.

# Sets `words` to the command line up to the cursor. The shell's own COMP_WORDS are split at "=" and ":" as well, and have
# quotes in them; `words` has neither. Sets `kept` to the part of the last word that the shell does not replace.
_backy_tool_words() {
  local line=${COMP_LINE:0:COMP_POINT} char word='' quote='' has_word='' at
  words=() kept=''
  for ((at = 0; at < ${#line}; at++)); do
    char=${line:at:1}
    if [[ $quote == "'" ]]; then
      if [[ $char == "'" ]]; then quote=''; else word+=$char; fi
    elif [[ $quote == '"' ]]; then
      if [[ $char == '"' ]]; then
        quote=''
      elif [[ $char == \\ && ${line:at+1:1} == [\"\\\$\`] ]]; then
        word+=${line:at+1:1} at=$((at + 1))
      else
        word+=$char
      fi
    else
      case $char in
        \' | \") quote=$char has_word=1 ;;
        \\) word+=${line:at+1:1} at=$((at + 1)) has_word=1 ;;
        [[:space:]])
          [[ -n $has_word ]] && words+=("$word")
          word='' has_word='' kept=''
          ;;
        *)
          word+=$char has_word=1
          [[ $char == [=:@\(] && $COMP_WORDBREAKS == *"$char"* ]] && kept=$word
          ;;
      esac
    fi
  done
  words+=("$word")
}

# Prefixes each argument after the first with the first, and adds those that begin with `current`.
_backy_tool_add() {
  local before=$1 candidate
  shift
  for candidate; do
    candidate=$before$candidate
    [[ ${candidate:0:${#current}} == "$current" ]] && COMPREPLY+=("$candidate")
  done
}

# Adds the revisions of directory $1, with $2 before them, and words of specifications, for one revision ($3 is "one") or
# for several. Returns 1 if it is not a backup directory.
_backy_tool_revisions() {
  local place=${1:-.} path name
  [[ $place == "~/"* ]] && place=$HOME/${place:2}
  place=${place%/}/
  [[ -d ${place}chunks ]] || return 1
  for path in "$place"*.rev; do
    [[ -e $path || -L $path ]] || continue
    name=${path##*/}
    _backy_tool_add "$2" "${name%.rev}"
  done
  for name in first last; do
    [[ -e $place$name.rev ]] || _backy_tool_add "$2" "$name"
  done
  _backy_tool_add "$2" 'last(clean)' 'last(tag:' 'last(trust:verified)'
  [[ $3 == one ]] && return
  _backy_tool_add "$2" all clean local remote tag: trust:distrusted trust:trusted trust:verified
}

# Completes a revision as a path: in a backup directory its revisions, elsewhere directories.
_backy_tool_revision_path() {
  local directory=${current%"${current##*/}"}
  _backy_tool_revisions "$directory" "$directory" "$1" || compopt -o plusdirs
}

_backy_tool() {
  local words kept IFS=$' \t\n' LC_ALL=C.UTF-8 noglob='' globs
  COMPREPLY=()
  [[ $- == *f* ]] && noglob=1
  globs=$(shopt -p nullglob failglob dotglob nocasematch)
  set +f
  shopt -u nullglob failglob dotglob nocasematch
  _backy_tool_words

  # What the command takes: how many revisions a specification may mean, options without and with a value, and what its
  # arguments name (the last one may be repeated).
  local command='' commands number flags values arguments
  #@ commands
  if ((${#words[@]} > 2)) && [[ " $commands " == *" ${words[1]} "* ]]; then command=${words[1]}; fi
  case $command in
    #@ options
  esac

  # What stands before the cursor: positional arguments, an option that waits for its value, the end of the options.
  local current=${words[${#words[@]} - 1]} positionals=() option='' ended='' at=1
  [[ -z $command ]] || at=2
  for ((; at < ${#words[@]} - 1; at++)); do
    local word=${words[at]}
    if [[ -n $option ]]; then
      option=''
    elif [[ -n $ended || $word == - || $word != -* ]]; then
      positionals+=("$word")
    elif [[ $word == -- ]]; then
      ended=1
    elif [[ " $values " == *" $word "* ]]; then
      option=$word
    fi
  done
  # "--option=value": the part that is replaced may or may not include the option.
  local before=''
  if [[ -z $option && -z $ended && $current == --*=* ]]; then
    option=${current%%=*} before=${current%%=*}= current=${current#*=}
  fi

  local directory=${positionals[0]} last=$((${#arguments[@]} - 1)) kind=''
  if [[ -n $option ]]; then
    case $command:$option in
      #@ values
    esac
  elif [[ -z $ended && $current == -* ]]; then
    kind="words $flags $values"
  elif [[ $current == [\<\>]* ]]; then
    kind=file
  else
    kind=${arguments[${#positionals[@]}]}
    ((${#positionals[@]} > last)) && [[ ${arguments[last]} == *... ]] && kind=${arguments[last]}
    [[ -z $command && ${#words[@]} -eq 2 ]] && _backy_tool_add '' $commands
  fi
  case ${kind%...} in
    words\ *) _backy_tool_add '' ${kind#words } ;;
    directory) compopt -o dirnames ;;
    file) compopt -o default ;;
    revision)
      _backy_tool_revision_path "$number"
      compopt -o filenames
      ;;
    spec)
      _backy_tool_revisions "$directory" '' "$number"
      compopt -o filenames
      ;;
    base)
      # A name without a slash is looked up beside the revision.
      [[ $current != */* && -n $directory ]] && {
        _backy_tool_revisions "$directory" '' one ||
          _backy_tool_revisions "${directory%"${directory##*/}"}" '' one
      } || _backy_tool_revision_path one
      compopt -o filenames
      ;;
  esac

  # After a colon, the word goes on.
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace
  COMPREPLY=("${COMPREPLY[@]/#/$before}")
  COMPREPLY=("${COMPREPLY[@]#"$kept"}")
  eval "$globs"
  [[ -n $noglob ]] && set -f
  return 0
}

complete -F _backy_tool backy-tool
