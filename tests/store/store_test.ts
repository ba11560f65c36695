import { RevisionError, StoreFormatError } from "../../lib/errors.ts";
import { locateRevision, requireStore } from "../../lib/store/store.ts";
import { assertEquals, assertThrows } from "../assert.ts";

/** Makes a directory with some files, runs the test in it and removes it. */
function withDir(files: Record<string, string>, run: (dir: string) => void): void {
  const dir = Deno.makeTempDirSync({ prefix: "backy-store-" });
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = `${dir}/${name}`;
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.writeTextFileSync(path, content);
    }
    run(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function assertRefused(path: string, state: string): void {
  const error = assertThrows(() => locateRevision(path), RevisionError, state);
  assertEquals(error.path, path);
  assertEquals(error.message.split("\n").length, 1);
}

Deno.test("requireStore() accepts a directory with tag v2, ignoring white space around it", () => {
  for (const tag of ["v2", "v2\n", " \tv2\r\n\n"]) {
    withDir({ "chunks/store": tag }, (dir) => {
      requireStore(dir);
      requireStore(`${dir}/`);
    });
  }
});

Deno.test("requireStore() names another format, but shows no text that is not a format's name", () => {
  const tags: readonly (readonly [tag: string, shown: string])[] = [
    ["", "nothing"],
    ["v1", '"v1"'],
    ["v12\n", '"v12"'],
    ["v2 v2", "something else"],
    ["V2", "something else"],
    ["hunter2", "something else"],
    [`v2${" ".repeat(2000)}x`, "something else"],
    [`v3\x1b[31m\n${"x".repeat(5000)}`, "something else"],
  ];
  for (const [tag, shown] of tags) {
    withDir({ "chunks/store": tag }, (dir) => {
      const error = assertThrows(() => requireStore(dir), StoreFormatError);
      assertEquals(
        error.message,
        `Cannot open backup directory "${dir}": "chunks/store" in it, which names the format, ` +
          `holds ${shown}; only "v2" is understood`,
      );
      assertEquals(error.path, dir);
    });
  }
});

Deno.test("requireStore() refuses what is not a backup directory", () => {
  withDir({ "file": "", "chunks/other": "" }, (dir) => {
    assertThrows(() => requireStore(dir), StoreFormatError, 'no "chunks/store" in it');
    assertThrows(() => requireStore(`${dir}/none`), StoreFormatError, "no such directory");
    const error = assertThrows(() => requireStore(`${dir}/file`), StoreFormatError);
    assertEquals(error.message.slice(-"it is not a directory".length), "it is not a directory");
    assertThrows(() => requireStore(`${dir}/file/x`), StoreFormatError, "no such directory");
    assertThrows(() => requireStore(""), StoreFormatError, "no such directory");
    Deno.mkdirSync(`${dir}/chunks/store`);
    assertThrows(() => requireStore(dir), StoreFormatError, "is not a regular file");
    Deno.removeSync(`${dir}/chunks/store`);
    Deno.writeTextFileSync(`${dir}/chunks/store`, "v2");
    const hint = `it is not a directory; the backup directory is "${dir}"`;
    assertThrows(() => requireStore(`${dir}/file`), StoreFormatError, hint);
  });
});

Deno.test("locateRevision() finds a revision by its path", () => {
  withDir({ "rev1": "{}", "chunks/store": "v2" }, (dir) => {
    assertEquals(locateRevision(`${dir}/rev1`), {
      basedir: dir,
      name: "rev1",
      mapPath: `${dir}/rev1`,
    });
    assertEquals(locateRevision(`${dir}//rev1`).basedir, dir);
  });
});

Deno.test("locateRevision() looks up a bare name in the current directory", () => {
  const before = Deno.cwd();
  withDir({ "rev1": "{}", "chunks/store": "v2" }, (dir) => {
    try {
      Deno.chdir(dir);
      assertEquals(locateRevision("rev1"), { basedir: ".", name: "rev1", mapPath: "rev1" });
      requireStore(locateRevision("rev1").basedir);
    } finally {
      Deno.chdir(before);
    }
  });
});

Deno.test("locateRevision() resolves a link inside the directory to the revision it names now", () => {
  withDir({ "rev1": "{}", "chunks/store": "v2" }, (dir) => {
    Deno.symlinkSync("rev1", `${dir}/last`);
    assertEquals(locateRevision(`${dir}/last`), {
      basedir: dir,
      name: "rev1",
      mapPath: `${dir}/rev1`,
    });
  });
});

Deno.test("locateRevision() keeps a directory that is itself a link as it was given", () => {
  withDir({ "vm0/rev1": "{}", "vm0/chunks/store": "v2" }, (dir) => {
    Deno.symlinkSync("rev1", `${dir}/vm0/last`);
    Deno.symlinkSync("vm0", `${dir}/current`);
    assertEquals(locateRevision(`${dir}/current/last`), {
      basedir: `${dir}/current`,
      name: "rev1",
      mapPath: `${dir}/current/rev1`,
    });
  });
});

Deno.test("locateRevision() follows a link from elsewhere to the backup directory of its target", () => {
  withDir({ "vm0/rev1": "{}", "vm0/chunks/store": "v2" }, (dir) => {
    Deno.symlinkSync("vm0/rev1", `${dir}/shortcut`);
    const real = `${Deno.realPathSync(dir)}/vm0`;
    assertEquals(locateRevision(`${dir}/shortcut`), {
      basedir: real,
      name: "rev1",
      mapPath: `${real}/rev1`,
    });
  });
});

Deno.test("locateRevision() keeps the given directory if it has chunks and the map is elsewhere", () => {
  withDir({ "maps/rev1": "{}", "maps/chunks/store": "v2", "vm0/chunks/store": "v2" }, (dir) => {
    Deno.symlinkSync("../maps/rev1", `${dir}/vm0/rev1`);
    assertEquals(locateRevision(`${dir}/vm0/rev1`), {
      basedir: `${dir}/vm0`,
      name: "rev1",
      mapPath: `${Deno.realPathSync(dir)}/maps/rev1`,
    });
  });
});

Deno.test("locateRevision() refuses what is not a revision map and says what it is", () => {
  withDir({ "rev1": "{}", "rev1.rev": "uuid: rev1\n", "chunks/store": "v2" }, (dir) => {
    Deno.symlinkSync("rev1.rev", `${dir}/last.rev`);
    Deno.symlinkSync("rev1.rev", `${dir}/odd`);
    Deno.symlinkSync("gone", `${dir}/last`);
    assertRefused("", "the path is empty");
    assertRefused(dir, "it is a directory");
    assertRefused(`${dir}/rev1.rev`, "it is a revision's metadata");
    assertRefused(`${dir}/last.rev`, "it is a revision's metadata");
    assertRefused(`${dir}/odd`, "it is a revision's metadata");
    assertRefused(`${dir}/last`, "it is a symbolic link to nothing");
    assertRefused(`${dir}/none`, "there is no such revision");
    assertRefused(`${dir}/none\n\x1b[0m`, 'none\\n\\x1b[0m": there is no such revision');
    assertRefused(`${dir}/rev1/x`, "there is no such revision");
    assertRefused("/dev/null", "it is not a regular file");
  });
});

Deno.test("locateRevision() says where a revision lives that has only metadata here", () => {
  const metadata = (server: string) => `parent: ''\n${server}tags: [daily]\nuuid: x\n`;
  const files = {
    "a.rev": metadata("server: backup7\n"),
    "b.rev": metadata("server: 'backup 7'\n"),
    "c.rev": metadata('server: "backup7"\r\n'),
    "d.rev": metadata("server: ''\n"),
    "e.rev": metadata(""),
    "f.rev": metadata("server: \x1b[31m\n"),
    "g.rev": "server: hunter2\n",
  };
  withDir(files, (dir) => {
    assertRefused(`${dir}/a`, 'it lives on server "backup7"');
    assertRefused(`${dir}/b`, "it lives on another server");
    assertRefused(`${dir}/d`, "its map is missing");
    assertRefused(`${dir}/e`, "its map is missing");
    assertRefused(`${dir}/f`, "it lives on another server");
    assertRefused(`${dir}/g`, "its map is missing");
  });
});
