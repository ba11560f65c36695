# bash completion for backy-extract: options, commands, paths, and the revisions of backup directories.
#
# Needs no other file, and does not run the tool. Revisions are the names of metadata files (*.rev). Files and directories
# are left to the shell.

# Sets `words` to the command line up to the cursor. The shell's own COMP_WORDS are split at "=" and ":" as well, and have
# quotes in them; these are not, and have none. Sets `kept` to the part of the last word that the shell does not replace.
_backy_extract_words() {
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

# Adds the arguments behind the first one that begin with `current`, with the first one before them.
_backy_extract_add() {
  local before=$1 candidate
  shift
  for candidate; do
    candidate=$before$candidate
    [[ ${candidate:0:${#current}} == "$current" ]] && COMPREPLY+=("$candidate")
  done
}

# Adds the revisions of directory $1, with $2 before them, and words of specifications, for one revision ($3 is "one") or
# for several. Returns 1 if it is no backup directory.
_backy_extract_revisions() {
  local place=${1:-.} path name
  [[ $place == "~/"* ]] && place=$HOME/${place:2}
  place=${place%/}/
  [[ -d ${place}chunks ]] || return 1
  for path in "$place"*.rev; do
    [[ -e $path || -L $path ]] || continue
    name=${path##*/}
    _backy_extract_add "$2" "${name%.rev}"
  done
  for name in first last; do
    [[ -e $place$name.rev ]] || _backy_extract_add "$2" "$name"
  done
  _backy_extract_add "$2" 'last(clean)' 'last(tag:' 'last(trust:verified)'
  [[ $3 == one ]] && return
  _backy_extract_add "$2" all clean local remote tag: trust:distrusted trust:trusted trust:verified
}

# Completes a revision as a path: in a backup directory its revisions, elsewhere directories.
_backy_extract_revision_path() {
  local directory=${current%"${current##*/}"}
  _backy_extract_revisions "$directory" "$directory" "$1" || compopt -o plusdirs
}

_backy_extract() {
  local words kept IFS=$' \t\n' LC_ALL=C.UTF-8 noglob='' globs
  COMPREPLY=()
  [[ $- == *f* ]] && noglob=1
  globs=$(shopt -p nullglob failglob dotglob nocasematch)
  set +f
  shopt -u nullglob failglob dotglob nocasematch
  _backy_extract_words

  local command=restore number=one
  if ((${#words[@]} > 2)) && [[ ${words[1]} == list || ${words[1]} == check ]]; then
    command=${words[1]} number=several
  fi
  local flags='' values=''
  case $command in
    restore)
      flags='-u --update --verify-target --no-verify --no-sync -f --force -n --dry-run -q --quiet --json'
      values='-r --revision -t --threads -s --sparse --base --range --partition --sector-size --format'
      values+=' --on-error --also --report --lock-timeout --bwlimit'
      ;;
    list) flags='--json' ;;
    check)
      flags='-q --quiet --json'
      values='-r --revision --sample -t --threads --lock-timeout --bwlimit'
      ;;
  esac
  flags+=' -h --help -V --version'

  # What stands before the cursor: positional arguments, an option that waits for its value, the end of the options.
  local current=${words[${#words[@]} - 1]} positionals=() option='' ended='' at=1
  [[ $command == restore ]] || at=2
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
  # "--option=value": what is replaced may or may not begin with the option.
  local before=''
  if [[ -z $option && -z $ended && $current == --*=* ]]; then
    option=${current%%=*} before=${current%%=*}= current=${current#*=}
  fi

  local directory=${positionals[0]}
  case $option in
    -s | --sparse) _backy_extract_add '' auto never always ;;
    --sector-size) _backy_extract_add '' 512 4096 ;;
    --format) _backy_extract_add '' raw rbd-diff ;;
    --on-error) _backy_extract_add '' abort zero ;;
    --also) compopt -o dirnames ;;
    --report) compopt -o default ;;
    --base)
      # A name without a slash is one beside the revision.
      [[ $current != */* && -n $directory ]] && {
        _backy_extract_revisions "$directory" '' one ||
          _backy_extract_revisions "${directory%"${directory##*/}"}" '' one
      } || _backy_extract_revision_path one
      compopt -o filenames
      ;;
    -r | --revision)
      _backy_extract_revisions "$directory" '' "$number"
      compopt -o filenames
      ;;
    '')
      if [[ -z $ended && $current == -* ]]; then
        _backy_extract_add '' $flags $values
      elif [[ $current == [\<\>]* ]]; then
        compopt -o default
      elif [[ $command == check || $command == restore && ${#positionals[@]} -eq 0 ]]; then
        [[ $command == restore && ${#words[@]} -eq 2 ]] && _backy_extract_add '' list check
        _backy_extract_revision_path "$number"
        compopt -o filenames
      elif [[ $command == list && ${#positionals[@]} -eq 0 ]]; then
        compopt -o dirnames
      elif [[ $command == list && ${#positionals[@]} -eq 1 ]]; then
        _backy_extract_revisions "$directory" '' several
        compopt -o filenames
      elif [[ $command == restore && ${#positionals[@]} -eq 1 ]]; then
        compopt -o default
      fi
      ;;
  esac

  # What ends in a colon goes on.
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *: ]] && compopt -o nospace
  COMPREPLY=("${COMPREPLY[@]/#/$before}")
  COMPREPLY=("${COMPREPLY[@]#"$kept"}")
  eval "$globs"
  [[ -n $noglob ]] && set -f
  return 0
}

complete -F _backy_extract backy-extract
