# Installs a release's archive as it is, for NixOS and Nix:
#
#     pkgs.callPackage ./default.nix { src = ./backy-extract-0.1.0-x86_64-linux.tar.gz; }
#
# The executables bring their loader and C library, and must not be stripped or patched.
{ lib, stdenvNoCC, installShellFiles, src, version ? "0.1.0" }:

stdenvNoCC.mkDerivation {
  pname = "backy-extract";
  inherit version src;
  nativeBuildInputs = [ installShellFiles ];
  dontConfigure = true;
  dontBuild = true;
  dontStrip = true;
  dontPatchELF = true;
  installPhase = ''
    runHook preInstall
    install -D -m 755 -t "$out/bin" backy-extract backy-fuse
    installManPage man/*.1
    installShellCompletion --bash completions/*.bash
    installShellCompletion --fish completions/*.fish
    installShellCompletion --zsh completions/_*
    runHook postInstall
  '';
  doInstallCheck = true;
  installCheckPhase = ''
    "$out/bin/backy-extract" --version
    "$out/bin/backy-fuse" --version
  '';
  meta = {
    description = "Restores and mounts backups made by backy";
    license = lib.licenses.bsd3;
    platforms = [ "x86_64-linux" ];
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
  };
}
