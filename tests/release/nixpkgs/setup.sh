# The phases of a build, as nixpkgs documents them for stdenv, and what installShellFiles brings.
runHook() { :; }
installManPage() {
  local page
  for page; do install -D -m 644 -t "$out/share/man/man${page##*.}" "$page"; done
}
installShellCompletion() {
  local shell=$1 file name folder
  shift
  for file; do
    name=${file##*/}
    case $shell in
      --bash) folder=bash-completion/completions name=${name%.bash} ;;
      --fish) folder=fish/vendor_completions.d ;;
      --zsh) folder=zsh/site-functions ;;
    esac
    install -D -m 644 "$file" "$out/share/$folder/$name"
  done
}
tar -xf "$src"
cd ./*/
eval "$installPhase"
gzip -n "$out"/share/man/man*/*
if [[ -z ${dontStrip-} ]]; then strip -S "$out"/bin/*; fi
if [[ -z ${dontPatchELF-} ]]; then patchelf --shrink-rpath "$out"/bin/*; fi
if [[ -n ${doInstallCheck-} ]]; then eval "$installCheckPhase"; fi
