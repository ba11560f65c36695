# bash completion for backy-fuse: options and directories.
#
# Needs no other file, and does not run the tool. Files and directories are left to the shell.

_backy_fuse() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} IFS=$' \t\n'
  COMPREPLY=()
  # The shell makes words of their own of the "=" and the value of "--option=value".
  if [[ $current == = ]]; then
    current=''
  elif [[ $before == = && COMP_CWORD -gt 2 ]]; then
    before=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  case $before in
    -d | --basedir | --spill) compopt -o dirnames ;;
    -o | --mountopts) COMPREPLY=($(compgen -W 'allow_root allow_other default_permissions ro' -- "$current")) ;;
    -c | --cache | -t | --threads | --lock-timeout) ;;
    *)
      if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W '-d --basedir -o --mountopts -c --cache -t --threads --spill --no-verify --lock-timeout
          -h --help -V --version' -- "$current"))
      else
        compopt -o dirnames
      fi
      ;;
  esac
}

complete -F _backy_fuse backy-fuse
