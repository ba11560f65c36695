# Installs a release's archive as it is, for NixOS and Nix:
#
#     pkgs.callPackage ./default.nix { src = ./backy-extract-0.1.0-x86_64-linux.tar.gz; }
#
# The executables bring their loader and C library, and must not be stripped or patched: what they
# start from is appended to the ELF file.
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
    install -D -m 644 -t "$out/share/licenses/backy-extract" LICENSE licenses/*
    installManPage man/*.1
    installShellCompletion --bash completions/*.bash
    installShellCompletion --fish completions/*.fish
    installShellCompletion --zsh completions/_*
    runHook postInstall
  '';

  doInstallCheck = true;
  installCheckPhase = ''
    runHook preInstallCheck
    sha256sum --check --quiet SHA256SUMS
    cmp backy-extract "$out/bin/backy-extract"
    cmp backy-fuse "$out/bin/backy-fuse"
    "$out/bin/backy-extract" --version
    "$out/bin/backy-fuse" --version
    runHook postInstallCheck
  '';

  meta = {
    description = "Restores and mounts backups made by backy";
    mainProgram = "backy-extract";
    platforms = [ "x86_64-linux" "aarch64-linux" ];
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
    # The tools and the codec, the Deno runtime, npm:yaml, and Debian's glibc, libfuse and libgcc.
    license = [
      lib.licenses.bsd3
      lib.licenses.mit
      lib.licenses.isc
      lib.licenses.lgpl21Plus
      lib.licenses.lgpl21Only
      (lib.licenses.gpl3Plus // {
        fullName = "GNU GPL v3 or later with the GCC Runtime Library Exception 3.1";
        spdxId = "GPL-3.0-or-later WITH GCC-exception-3.1";
      })
    ];
  };
}
