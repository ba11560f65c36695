#!/usr/bin/env bash
# Runs the tests that write targets on several file systems, with devices of both sector sizes, past the page cache and
# through it, and prints what passed as a table: a line for each row, and the sum.
#
#     tests/filesystems.sh [ROW...]       default: those below, each combination of the last three fields at least once
#     TESTS="tests/cli/a_test.ts ..." tests/filesystems.sh
#
# ROW: FILE_SYSTEM:SECTOR_BYTES:DIRECT:BACKING, such as ext4:4096:always:direct. FILE_SYSTEM may name its options:
# ext4+data=journal, ext4-b1024 (blocks of 1024 bytes). DIRECT is --direct of restores. BACKING says how loop devices write to
# their files: direct (past the page cache) or buffered.
#
# As root; FOLDER (default: /var/tmp) has room for the file systems, 2 GiB each, one after another. DENO names the runtime.
# Some 20 minutes on two processors. Nothing is left behind. Not part of the regular tests.
set -euo pipefail
cd "$(dirname "$0")/.."
deno=${DENO:-deno}
rows=("$@")
if ((${#rows[@]} == 0)); then
  rows=(
    tmpfs:512:always:buffered tmpfs:4096:never:buffered
    ext4:512:never:direct ext4:4096:always:buffered
    xfs:512:always:direct xfs:4096:never:direct
    btrfs:512:never:buffered btrfs:4096:always:direct
    ext4+data=journal:512:always:buffered ext4-b1024:4096:always:buffered
  )
fi
read -ra tests <<<"${TESTS:-tests/target tests/restore tests/work tests/cli/extract_devices_test.ts
  tests/cli/extract_parts_test.ts tests/cli/extract_race_test.ts tests/cli/extract_sparse_test.ts
  tests/cli/extract_targets_test.ts tests/cli/extract_update_test.ts tests/faults/file_length_test.ts
  tests/faults/kill_test.ts tests/faults/short_calls_test.ts tests/faults/target_errors_test.ts}"

work=$(mktemp -d "${FOLDER:-/var/tmp}/filesystems.XXXXXX")
mkdir "$work/mnt"

# Lists what tests have left: files, and loop devices over them.
leftovers() {
  find "$work/mnt" -mindepth 1 -maxdepth 1 ! -name lost+found
  losetup -nO NAME,BACK-FILE | awk -v w="$work/mnt/" 'index($2, w) == 1 { print $1 }'
}

# Unmounts the file system, whatever tests that failed or were killed have left in it.
unmount() {
  local device
  while read -r device; do losetup -d "$device"; done < <(leftovers | grep '^/dev/')
  umount "$work/mnt" 2>/dev/null || umount -l "$work/mnt"
}

clean_up() {
  ! mountpoint -q "$work/mnt" || unmount
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

failed=0 test_count=0
lines=()
for row in "${rows[@]}"; do
  IFS=: read -r name sectors direct backing <<<"$row"
  backing=${backing:-buffered}
  options=defaults
  type=$name
  [[ $name != *+* ]] || { options=${name#*+} type=${name%%+*}; }
  blocks=()
  [[ $type != *-b* ]] || { blocks=(-b "${type#*-b}") type=${type%%-b*}; }
  if [[ $type == tmpfs ]]; then
    mount -t tmpfs -o size=4g tmpfs "$work/mnt"
  else
    rm -f "$work/image"
    truncate -s 2G "$work/image"
    "mkfs.$type" -q "${blocks[@]}" "$work/image" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
    mount -o "loop,$options" "$work/image" "$work/mnt"
  fi
  chmod 1777 "$work/mnt"
  start=$SECONDS
  result=yes
  TMPDIR=$work/mnt BACKY_TEST_SECTOR_BYTES=$sectors BACKY_TEST_DIRECT=$direct BACKY_TEST_BACKING=$backing \
    DENO_JOBS=${DENO_JOBS:-2} \
    "$deno" run --lock=deno.lock --frozen -A tests/run.ts "${tests[@]}" >"$work/log" 2>&1 </dev/null || result=NO
  [[ $result == yes ]] || grep -A 400 -m 1 -F "FAILURES" "$work/log" || tail -n 60 "$work/log"
  left=$(leftovers)
  [[ -z $left ]] || { result=NO; printf 'left behind:\n%s\n' "$left"; }
  [[ $result == yes ]] || failed=$((failed + 1))
  closing=$(tail -n 1 "$work/log")
  [[ ! $closing =~ ([0-9]+)\ passed ]] || test_count=$((test_count + BASH_REMATCH[1]))
  lines+=("$(printf '%-18s %6s  %-8s  %-8s  %-4s %s' "$name" "$sectors" "$direct" "$backing" "$result" "$closing")")
  echo "${lines[-1]} ($((SECONDS - start)) s)"
  unmount
done

printf '\n%-18s %6s  %-8s  %-8s  %s\n' "file system" sector --direct backing passed
printf '%s\n' "${lines[@]}"
printf '\n%s of %s rows passed, %s tests\n' $((${#lines[@]} - failed)) ${#rows[@]} "$test_count"
((failed == 0))
