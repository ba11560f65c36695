# Names that a package may use; others are errors, as in nixpkgs.
let
  licenses = builtins.listToAttrs (map (name: { inherit name; value = { spdxId = name; }; })
    [ "bsd3" "mit" "isc" "lgpl21Plus" "lgpl21Only" "gpl3Plus" ]);
in
{
  inherit licenses;
  sourceTypes.binaryNativeCode = { shortName = "binaryNativeCode"; isSource = false; };
}
