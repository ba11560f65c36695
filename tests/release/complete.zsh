#!/usr/bin/env zsh
# Prints what zsh would complete, one match a line: complete.zsh FOLDER LINE, with the completion functions in FOLDER.
#
# An interactive zsh on a terminal of its own gets the line and a Tab; there, compadd prints instead of offering.

zmodload zsh/zpty || exit 2
home=$(mktemp -d) || exit 2
trap 'rm -rf -- $home' EXIT

cat >$home/.zshrc <<'END'
fpath=($COMPLETIONS $fpath)
autoload -Uz compinit
compinit -u -D
zstyle ':completion:*' insert-tab false
bindkey '^I' complete-word
compprefuncs=(begin) comppostfuncs=(finish exit)
begin() { print }
finish() { print -r -- "<end>" }
compadd() {
  # These store matches in arrays, for later.
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
    builtin compadd "$@"
    return
  fi
  local -a matches prefix
  builtin compadd -A matches "$@"
  zparseopts -E P:=prefix
  local match
  for match in $matches; do print -r -- "<match>$IPREFIX${prefix[2]}$match"; done
  (( $#matches ))
}
PROMPT='<ready>'
END

export COMPLETIONS=$1 ZDOTDIR=$home
zpty shell zsh -d -i
zpty -r shell line '*<ready>*' || exit 2
zpty -n -w shell "$2"$'\t'
while zpty -r shell line; do
  line=${${line//$'\r'}%$'\n'}
  case $line in
    ('<match>'*) print -r -- ${line#'<match>'} ;;
    ('<end>'*) exit 0 ;;
  esac
done
exit 2
