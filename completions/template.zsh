#compdef backy-tool
# zsh completion for backy-tool: options, commands, paths, and the revisions of backup directories.
#
# Does not run the tool. Revisions are the names of metadata files (*.rev).

# Offers the revisions of directory $2, and words of specifications for one revision ($1 is "one") or several. What was
# typed before them is no longer in PREFIX. Fails if it is not a backup directory.
_backy_tool_revisions() {
  local place=${2:-.}
  [[ $place == "~/"* ]] && place=$HOME/${place[3,-1]}
  [[ -d ${place%/}/chunks ]] || return 1
  local -a revisions specs
  revisions=(${place%/}/*.rev(N:t:r))
  specs=(first last 'last(clean)' 'last(tag:' 'last(trust:verified)')
  [[ $1 == one ]] || specs+=(all clean local remote tag: trust:distrusted trust:trusted trust:verified)
  local found=1
  _wanted revisions expl revision compadd -a revisions && found=0
  _wanted specifications expl specification compadd -S '' -a specs && found=0
  return found
}

# Completes a revision as a path: in a backup directory its revisions, elsewhere directories.
_backy_tool_revision_path() {
  local directory=${(Q)PREFIX}
  if [[ $directory == */* ]]; then directory=${directory%/*}/; else directory=; fi
  if [[ -d ${${directory:-.}/#\~\//$HOME/}/chunks ]]; then
    compset -P '*/'
    _backy_tool_revisions $1 "$directory"
  else
    _files -/
  fi
}

# Completes a revision of the directory that is the first argument.
_backy_tool_revision_name() {
  _backy_tool_revisions $1 "${(Q)line[1]}"
}

# Completes what --base takes: a name beside the revision, or a path.
_backy_tool_base() {
  local directory=${(Q)line[1]}
  if [[ $PREFIX != */* && -n $directory ]]; then
    [[ -d $directory/chunks ]] || directory=${directory%/*}
    _backy_tool_revisions one "$directory" && return
  fi
  _backy_tool_revision_path one
}

_backy-tool() {
  local curcontext=$curcontext context state state_descr ret=1 expl command
  local -a line commands
  typeset -A opt_args
  #@ commands
  if (( CURRENT > 2 && ${commands[(I)$words[2]:*]} )); then
    command=$words[2]
    shift words
    (( CURRENT-- ))
  fi
  case $command in
    #@ options
  esac
  return ret
}

_backy-tool "$@"
