# As much of nixpkgs as the flake of this project uses, for hosts without network: nix_test.ts.
{
  outputs = _: {
    lib = import ./lib.nix;
    legacyPackages.x86_64-linux = import ./default.nix;
  };
}
