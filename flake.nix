# `nix build`, `nix run`: the newest release's archive, installed as it is.
#
# packaging/release.json says where that is. An archive of your own: `lib.fromArchive pkgs FILE`.
{
  description = "Restores and mounts backups made by backy";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      release = builtins.fromJSON (builtins.readFile ./packaging/release.json);

      fromArchive = pkgs: src: pkgs.callPackage ./packaging/default.nix { inherit src; };

      released = pkgs: archive: pkgs.callPackage ./packaging/default.nix {
        inherit (release) version;
        src = pkgs.fetchurl { inherit (archive) url sha256; };
      };
    in
    {
      lib = { inherit fromArchive; };

      packages = builtins.mapAttrs
        (system: archive: { default = released nixpkgs.legacyPackages.${system} archive; })
        release.archives;

      overlays.default = final: prev: {
        backy-extract = released final release.archives.${final.stdenv.hostPlatform.system};
      };
    };
}
