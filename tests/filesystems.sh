#!/usr/bin/env bash
# Runs the tests that write targets on several file systems, with devices of both sector sizes, past the page cache and
# through it, and prints what passed as a table.
#
#     tests/filesystems.sh [ROW...]       ROW: FILE_SYSTEM:SECTOR_BYTES:DIRECT, such as ext4:4096:always; default: those below
#     TESTS="tests/cli/a_test.ts ..." tests/filesystems.sh
#
# As root; FOLDER (default: /var/tmp) has room for the file systems, 2 GiB each, one after another. Nothing is left behind.
# Not part of the regular tests. FILE_SYSTEM may name its options: ext4+data=journal, ext4-b1024 (blocks of 1024 bytes).
set -euo pipefail
cd "$(dirname "$0")/.."
deno=${DENO:-deno}
rows=("$@")
if ((${#rows[@]} == 0)); then
  rows=(
    tmpfs:512:always tmpfs:4096:never
    ext4:512:never ext4:4096:always
    xfs:512:always xfs:4096:never
    btrfs:512:never btrfs:4096:always
    ext4+data=journal:512:always ext4-b1024:4096:always
  )
fi
read -ra tests <<<"${TESTS:-tests/target tests/restore tests/work tests/cli/extract_devices_test.ts
  tests/cli/extract_parts_test.ts tests/cli/extract_race_test.ts tests/cli/extract_sparse_test.ts
  tests/cli/extract_targets_test.ts tests/cli/extract_update_test.ts tests/faults/file_length_test.ts
  tests/faults/kill_test.ts tests/faults/short_calls_test.ts tests/faults/target_errors_test.ts}"

work=$(mktemp -d "${FOLDER:-/var/tmp}/filesystems.XXXXXX")
mkdir "$work/mnt"
clean_up() {
  local device
  # Of tests that were killed.
  while read -r device; do losetup -d "$device"; done < <(losetup -nO NAME,BACK-FILE | awk -v w="$work/mnt/" 'index($2, w) == 1 { print $1 }')
  umount "$work/mnt" 2>/dev/null || umount -l "$work/mnt" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT

failed=0
lines=()
for row in "${rows[@]}"; do
  IFS=: read -r name sectors direct <<<"$row"
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
    "mkfs.$type" -q "${blocks[@]}" "$work/image"
    mount -o "loop,$options" "$work/image" "$work/mnt"
  fi
  chmod 1777 "$work/mnt"
  start=$SECONDS
  if TMPDIR=$work/mnt BACKY_TEST_SECTOR_BYTES=$sectors BACKY_TEST_DIRECT=$direct DENO_JOBS=${DENO_JOBS:-2} \
    "$deno" run --lock=deno.lock --frozen -A tests/run.ts "${tests[@]}" >"$work/log" 2>&1 </dev/null; then
    result=yes
  else
    result=NO
    failed=$((failed + 1))
    grep -A 400 -m 1 -F "FAILURES" "$work/log" || tail -n 60 "$work/log"
  fi
  lines+=("$(printf '%-20s %5s  %-7s %-4s %s' "$name" "$sectors" "$direct" "$result" "$(tail -n 1 "$work/log")")")
  echo "${lines[-1]} ($((SECONDS - start)) s)"
  umount "$work/mnt"
done

printf '\n%-20s %5s  %-7s %s\n' "file system" sector --direct passed
printf '%s\n' "${lines[@]}"
((failed == 0))
