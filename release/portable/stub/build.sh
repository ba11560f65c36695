#!/usr/bin/env bash
# Compiles the entry stub and prints its bytes in hex, 32 a line:
#
#     release/portable/stub/build.sh >release/portable/stub/x86_64.hex
#     export CC=aarch64-linux-gnu-gcc LD=aarch64-linux-gnu-ld OBJCOPY=aarch64-linux-gnu-objcopy
#     release/portable/stub/build.sh >release/portable/stub/aarch64.hex
#
# The bytes are kept beside the source, so that releases need no C compiler and are the same whatever compiler there is.
# They were made by gcc 12.2.0 and binutils 2.40 of Debian 12; a test compiles them again where it finds these.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${CC:-cc}" -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables \
  -fcf-protection=none -fPIE -fvisibility=hidden -fno-builtin -fno-tree-loop-distribute-patterns -mgeneral-regs-only -c -o "$work/stub.o" "$here/stub.c"
"${LD:-ld}" -T "$here/stub.ld" --no-dynamic-linker --no-warn-rwx-segments --build-id=none -o "$work/stub" "$work/stub.o"
"${OBJCOPY:-objcopy}" -O binary "$work/stub" "$work/stub.bin"
od -An -v -tx1 -w32 "$work/stub.bin" | tr -d ' '
