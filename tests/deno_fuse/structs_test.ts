import { assertEquals } from "../assert.ts";
import { OPERATIONS, OTHER_PARAMETERS } from "../../lib/deno_fuse/operations.ts";
import { type AnyParameter, SCALAR_TYPES } from "../../lib/deno_fuse/parameters.ts";
import * as structs from "../../lib/deno_fuse/structs.ts";

const hasHeaders = new Deno.Command("cc", {
  args: [
    "-E",
    "-x",
    "c",
    "-D_FILE_OFFSET_BITS=64",
    "-DFUSE_USE_VERSION=35",
    "-o",
    "/dev/null",
    "-",
  ],
  stdin: "piped",
  stderr: "null",
});

async function canCompile(): Promise<boolean> {
  try {
    const child = hasHeaders.spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("#include <fuse3/fuse_lowlevel.h>\n"));
    await writer.close();
    return (await child.status).success;
  } catch {
    return false;
  }
}

const ignore = !await canCompile();

/** Structs by their C type, with the members that differ from the C compiler's on purpose. */
const STRUCTS: readonly (readonly [string, Readonly<Record<string, number>>, readonly string[]])[] =
  [
    ["struct stat", structs.STAT, []],
    ["struct timespec", structs.TIMESPEC, []],
    ["struct fuse_entry_param", structs.ENTRY_PARAM, []],
    // Bit fields have no offset; the size is that of the largest release.
    ["struct fuse_file_info", structs.FILE_INFO, ["bits", "bytes"]],
    ["struct fuse_conn_info", structs.CONN_INFO, []],
    ["struct fuse_buf", structs.FUSE_BUF, ["bytes"]],
    ["struct fuse_args", structs.FUSE_ARGS, []],
    ["struct fuse_ctx", structs.FUSE_CTX, []],
    ["struct fuse_forget_data", structs.FORGET_DATA, []],
    ["struct statvfs", structs.STATVFS, []],
  ];

Deno.test({
  name: `Struct layouts are those of the installed headers${
    ignore ? " [ignored: no cc or no libfuse3-dev]" : ""
  }`,
  ignore,
  fn() {
    const expected: string[] = [];
    const lines: string[] = [];
    const expect = (name: string, formula: string, value: number) => {
      lines.push(`printf("${name} %ld\\n", (long) (${formula}));`);
      expected.push(`${name} ${value}`);
    };
    for (const [type, layout, exceptions] of STRUCTS) {
      for (const [name, value] of Object.entries(layout)) {
        if (exceptions.includes(name)) continue;
        const formula = name === "bytes" ? `sizeof(${type})` : `offsetof(${type}, ${name})`;
        expect(`${type}.${name}`, formula, value);
      }
    }
    structs.LOWLEVEL_OPS.forEach((name, index) =>
      expect(name, `offsetof(struct fuse_lowlevel_ops, ${name})`, index * 8)
    );
    for (const [name, value] of Object.entries(structs.SetAttr)) {
      expect(name, name, value);
    }
    expect("FUSE_ROOT_ID", "FUSE_ROOT_ID", structs.FUSE_ROOT_ID);
    // They may be longer, but not shorter.
    expect("file_info", `sizeof(struct fuse_file_info) <= ${structs.FILE_INFO.bytes}`, 1);
    expect("buf", `sizeof(struct fuse_buf) <= ${structs.FUSE_BUF.bytes}`, 1);
    const text = compileAndRun(`int main(void) { ${lines.join("\n")} return 0; }`);
    assertEquals(text.trim().split("\n"), expected);
  },
});

Deno.test({
  name: `Bit fields of fuse_file_info are where the installed headers have them${
    ignore ? " [ignored: no cc or no libfuse3-dev]" : ""
  }`,
  ignore,
  fn() {
    const bits = Object.entries(structs.FileInfoBit);
    const print = bits.map(([name]) => `
      memset(&fi, 0, sizeof fi); fi.${name} = 1;
      memcpy(&word, (char *) &fi + ${structs.FILE_INFO.bits}, 4);
      printf("${name} %d\\n", __builtin_ctz(word));`);
    const text = compileAndRun(`
      int main(void) {
        struct fuse_file_info fi; unsigned word;
        ${print.join("\n")}
        memset(&fi, 0, sizeof fi); fi.writepage = 1;
        memcpy(&word, (char *) &fi + ${structs.FILE_INFO.bits}, 4);
        printf("writepage %d\\n", __builtin_ctz(word));
        return 0;
      }`);
    assertEquals(text.trim().split("\n"), [
      ...bits.map(([name, bit]) => `${name} ${bit}`),
      "writepage 0",
    ]);
  },
});

Deno.test({
  name: `Callbacks have the parameters that the installed headers declare${
    ignore ? " [ignored: no cc or no libfuse3-dev]" : ""
  }`,
  ignore,
  fn() {
    const callbacks: (readonly [string, readonly AnyParameter[]])[] = [
      ...Object.entries(OPERATIONS).map(([name, { parameters }]) => [name, parameters] as const),
      ...Object.entries(OTHER_PARAMETERS),
    ];
    const functions = callbacks.map(([name, parameters]) => {
      const list = ["fuse_req_t req", ...parameters.flatMap(({ declarations }) => declarations)];
      return `void do_${name}(${list.join(", ")}) {}`;
    });
    const members = callbacks.map(([name]) => `.${name} = do_${name},`);
    const scalars = Object.entries(SCALAR_TYPES).map(([type, ffi]) => {
      const bytes = /32/.test(ffi) ? 4 : 8;
      const isSigned = ffi.startsWith("i") ? 1 : 0;
      return `_Static_assert(sizeof(${type}) == ${bytes} && ((${type})-1 < 0) == ${isSigned}, "${type}");`;
    });
    compileAndRun(`
      #pragma GCC diagnostic error "-Wincompatible-pointer-types"
      ${scalars.join("\n")}
      ${functions.join("\n")}
      struct fuse_lowlevel_ops ops = { ${members.join(" ")} };
      int main(void) { return 0; }`);
  },
});

function compileAndRun(code: string): string {
  const folder = Deno.makeTempDirSync();
  try {
    const source = `
      #define _FILE_OFFSET_BITS 64
      #define FUSE_USE_VERSION 35
      #include <fuse3/fuse_lowlevel.h>
      #include <stddef.h>
      #include <stdio.h>
      #include <string.h>
      #include <sys/stat.h>
      #include <sys/statvfs.h>
      #include <sys/uio.h>
      #include <time.h>
      ${code}`;
    Deno.writeTextFileSync(`${folder}/probe.c`, source);
    const cc = new Deno.Command("cc", {
      args: ["-o", `${folder}/probe`, `${folder}/probe.c`, "-lfuse3"],
    });
    const { success, stderr } = cc.outputSync();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(new Deno.Command(`${folder}/probe`).outputSync().stdout);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}
