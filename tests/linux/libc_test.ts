import { libcFunctions } from "../../lib/linux/libc_functions.ts";
import { assert, assertEquals } from "../assert.ts";
import { testUnless } from "../support/machine.ts";
import { compilerProblem, runC } from "./c_program.ts";
import {
  ADDRESS_TYPES,
  type Declaration,
  declarationsIn,
  isPassedAs,
  typeOf,
} from "./declarations.ts";

const known = declarationsIn("lib/linux/libc_functions.ts");
const table: [string, Deno.ForeignFunction | Deno.ForeignStatic][] = Object.entries(libcFunctions);

/** The declaration of a row: its own, or that of its blocking twin. */
function declarationOf(row: string): Declaration {
  const definition = table.find(([name]) => name === row)![1];
  const declaration = known.get(row) ?? known.get(definition.name ?? "");
  assert(declaration, row);
  return declaration;
}

// C declares these with "...".
const VARIADIC = ["open", "fcntl", "ioctl", "syscall"];

Deno.test("Every row of the libc table has the C declaration of its function", () => {
  for (const [row, { name }] of table) assertEquals(declarationOf(row).name, name ?? row);
});

testUnless(compilerProblem, "The libc table says what the C library's headers say", () => {
  const all = [...known.values()];
  const scalars = new Set(
    all.flatMap(({ result, parameters }) => [result, ...parameters.map(typeOf)])
      .filter((type) => !type.endsWith("*") && !["void", ...ADDRESS_TYPES].includes(type)),
  );
  // A declaration that differs from the header's does not compile.
  const output = runC(`
      #define _GNU_SOURCE
      #include <aio.h>
      #include <arpa/inet.h>
      #include <dlfcn.h>
      #include <errno.h>
      #include <fcntl.h>
      #include <netdb.h>
      #include <poll.h>
      #include <pthread.h>
      #include <semaphore.h>
      #include <signal.h>
      #include <spawn.h>
      #include <stdarg.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      #include <sys/epoll.h>
      #include <sys/file.h>
      #include <sys/mman.h>
      #include <sys/mount.h>
      #include <sys/resource.h>
      #include <sys/socket.h>
      #include <sys/uio.h>
      #include <sys/vfs.h>
      #include <sys/wait.h>
      #include <unistd.h>
      #undef __errno_location
      ${all.filter(({ name }) => !VARIADIC.includes(name)).map(({ text }) => text).join("\n")}
      #define SHOW(type) \\
        printf("%s=%c%zu\\n", #type, (type)-1 < (type)1 ? 'i' : 'u', 8 * sizeof(type))
      int main(void) { ${[...scalars].map((type) => `SHOW(${type});`).join(" ")} }
    `);
  const sizes = new Map(output.split("\n").map((line) => line.split("=") as [string, string]));
  for (const [row, definition] of table) {
    if ("type" in definition) continue; // an address
    const { result, parameters } = declarationOf(row);
    assertEquals(definition.parameters.length, parameters.length, row);
    assert(isPassedAs(result, definition.result, sizes), `${row}: ${result}`);
    definition.parameters.forEach((type, index) => {
      const cType = typeOf(parameters[index]!);
      assert(isPassedAs(cType, type, sizes), `${row}: ${cType} is not ${type}`);
    });
  }
});
