import { libcFunctions } from "../../lib/linux/libc.ts";
import { assert, assertEquals } from "../assert.ts";
import { testUnless } from "../support/machine.ts";
import { compilerProblem, runC } from "./c_program.ts";

interface Declaration {
  /** As the table's comment has it, with one space between words. */
  readonly text: string;
  /** C name of the function. */
  readonly name: string;
  readonly result: string;
  readonly parameters: readonly string[];
}

/** The C declarations in the table's comments, by the names of the rows below them. */
function declarations(): Map<string, Declaration> {
  const source = Deno.readTextFileSync(new URL("../../lib/linux/libc.ts", import.meta.url));
  const found = new Map<string, Declaration>();
  for (const [, comment, row] of source.matchAll(/((?:^ {2}\/\/ .*\n)+) {2}(\w+): \{/gm)) {
    const text = comment!.replaceAll(/^ {2}\/\/ +/gm, "").replaceAll("\n", " ");
    const match = /(?:^|\. )([\w ]+[ *])(\w+)\((.*)\);/.exec(text);
    assert(match, `No declaration above "${row}"`);
    const [, result, name, list] = match;
    const parameters = list === "void" ? [] : list!.split(/, (?![^(]*\)\()/);
    found.set(row!, {
      text: `${result}${name}(${list});`,
      name: name!,
      result: result!.trim(),
      parameters,
    });
  }
  return found;
}

/** The type of a parameter without its name; a pointer to a function as such. */
function typeOf(parameter: string): string {
  return parameter.includes("(*") ? "void *" : parameter.replace(/\w+$/, "").trim();
}

/** Names of types that are addresses. The last two are glibc's, for `struct sockaddr *`. */
const ADDRESS_TYPES = ["va_list", "sighandler_t", "__SOCKADDR_ARG", "__CONST_SOCKADDR_ARG"];

/** What FFI calls a C type, given the names of the scalar ones. */
function isPassedAs(
  cType: string,
  ffiType: unknown,
  scalars: ReadonlyMap<string, string>,
): boolean {
  if (cType === "void") return ffiType === "void";
  // A buffer is an address here; usize where the address is only a number.
  const isAddress = cType.endsWith("*") || ADDRESS_TYPES.includes(cType);
  if (isAddress) return ["buffer", "pointer", "usize"].includes(ffiType as string);
  const wanted = scalars.get(cType);
  return ffiType === wanted || ffiType === wanted?.replace("64", "size");
}

const known = declarations();
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
