import { StoreFormatError } from "../../lib/errors.ts";
import {
  type Catalog,
  CatalogReader,
  newestComplete,
  readCatalog,
  whyUnusable,
} from "../../lib/store/catalog.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../assert.ts";
import { cpuMs } from "../support/cpu_time.ts";

/** Makes a directory with some files, runs the test in it and removes it. */
function withDir(files: Record<string, string>, run: (dir: string) => void): void {
  const dir = Deno.makeTempDirSync({ prefix: "backy-catalog-" });
  try {
    for (const [name, content] of Object.entries(files)) {
      Deno.writeTextFileSync(`${dir}/${name}`, content);
    }
    run(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function metadata(name: string, day: number, more = "stats: {duration: 1.5}"): string {
  return `uuid: ${name}\ntimestamp: 2026-01-${
    String(day).padStart(2, "0")
  } 12:00:00+00:00\n${more}\n`;
}

function namesOf({ revisions }: Catalog): string[] {
  return revisions.map(({ name }) => name);
}

Deno.test("readCatalog() lists revisions by time, oldest first", () => {
  withDir({
    "b.rev": metadata("b", 2),
    "b": "{}",
    "c.rev": metadata("c", 1),
    "c": "{}",
    "a2.rev": metadata("a2", 2),
    "a2": "{}",
    "config": "",
    ".purge": "",
  }, (dir) => {
    const catalog = readCatalog(dir);
    assertEquals(namesOf(catalog), ["c", "a2", "b"]);
    assertEquals(catalog.skipped, []);
    const { info: _info, metadataVersion: _version, ...entry } = catalog.revisions[0]!;
    assertEquals(entry, {
      name: "c",
      time: new Date("2026-01-01T12:00:00Z"),
      metadataPath: `${dir}/c.rev`,
      mapPath: `${dir}/c`,
      hasMap: true,
      isLocal: true,
      isChunked: true,
    });
    assertEquals(readCatalog(`${dir}/`).revisions[0]!.mapPath, `${dir}/c`);
  });
});

Deno.test("readCatalog() leaves out metadata that vanishes while it is read", () => {
  withDir({ "a.rev": metadata("a", 1), "a": "{}" }, (dir) => {
    const { statSync } = Deno;
    // The last call before the file is opened.
    Deno.statSync = (path) => {
      const info = statSync(path);
      Deno.removeSync(path);
      return info;
    };
    try {
      assertEquals(readCatalog(dir), { revisions: [], skipped: [] });
    } finally {
      Deno.statSync = statSync;
    }
  });
});

Deno.test("readCatalog() flags what cannot be read here, and whyUnusable() says why", () => {
  withDir({
    "fine.rev": metadata("fine", 1, "backend_type: chunked"),
    "fine": "{}",
    "new.rev": metadata("new", 2, "backend_type: null\nserver: ''"),
    "new": "{}",
    "remote.rev": metadata("remote", 3, "server: otherhost"),
    "cow.rev": metadata("cow", 4, "backend_type: cowfile"),
    "cow": "x",
    "odd.rev": metadata("odd", 4, "server: other\x07host"),
    "other.rev": metadata("other", 4, "backend_type: two words"),
    "other": "x",
    "mapless.rev": metadata("mapless", 5),
  }, (dir) => {
    Deno.mkdirSync(`${dir}/mapless`);
    const { revisions } = readCatalog(dir);
    assertEquals(revisions.map((entry) => [entry.name, whyUnusable(entry)]), [
      ["fine", null],
      ["new", null],
      ["remote", 'it lives on server "otherhost", only its metadata is here'],
      ["cow", 'its format is "cowfile", not "chunked"'],
      ["odd", "it lives on another server, only its metadata is here"],
      ["other", 'its format is another, not "chunked"'],
      ["mapless", "its map is missing, there is only its metadata"],
    ]);
  });
});

Deno.test("readCatalog() skips bad metadata, with a reason, and lists the others", () => {
  withDir({
    "fine.rev": metadata("fine", 1),
    "bad.rev": "uuid: [",
    "text.rev": "hello",
    "path.rev": metadata("../../etc/passwd", 1),
    "copy.rev": metadata("fine", 1),
    "stray.rev": metadata("hunter2", 1),
    "empty.rev": "",
  }, (dir) => {
    const { revisions, skipped } = readCatalog(dir);
    assertEquals(revisions.map(({ name }) => name), ["fine"]);
    assertEquals(skipped.map(({ name }) => name), [
      "bad",
      "copy",
      "empty",
      "path",
      "stray",
      "text",
    ]);
    const reasons = Object.fromEntries(skipped.map(({ name, reason }) => [name, reason]));
    assertStringIncludes(reasons["bad"]!, "Cannot parse revision metadata");
    assertEquals(reasons["copy"], 'it is the metadata of "fine"');
    assertEquals(reasons["stray"], "it is the metadata of another revision");
    for (const { reason } of skipped) assertEquals(reason.split("\n").length, 1);
  });
});

Deno.test("readCatalog() accepts a symbolic link as a map, not as a revision", () => {
  withDir({ "a.rev": metadata("a", 1), "real": "{}" }, (dir) => {
    Deno.symlinkSync("a.rev", `${dir}/last.rev`);
    Deno.symlinkSync("real", `${dir}/a`);
    Deno.mkdirSync(`${dir}/folder.rev`);
    const { revisions, skipped } = readCatalog(dir);
    assertEquals(revisions.map(({ name, hasMap }) => [name, hasMap]), [["a", true]]);
    assertEquals(skipped, []);
  });
});

Deno.test("readCatalog() gives no time to a revision whose metadata has none, and lists it first", () => {
  withDir({
    "dated.rev": metadata("dated", 1),
    "absent.rev": "uuid: absent",
    "null.rev": "uuid: 'null'\ntimestamp: null",
    "empty.rev": "uuid: empty\ntimestamp:",
    "odd.rev": "uuid: odd\ntimestamp: yesterday",
    "unreal.rev": "uuid: unreal\ntimestamp: 2026-02-31 12:00:00+00:00",
    "list.rev": "uuid: list\ntimestamp: [2026-01-01]",
  }, (dir) => {
    // The file's own time does not matter.
    Deno.utimeSync(`${dir}/absent.rev`, 4_000_000_000, 4_000_000_000);
    const { revisions, skipped } = readCatalog(dir);
    assertEquals(revisions.map(({ name, time }) => [name, time === null]), [
      ["absent", true],
      ["empty", true],
      ["list", true],
      ["null", true],
      ["odd", true],
      ["unreal", true],
      ["dated", false],
    ]);
    assertEquals(skipped, []);
  });
});

Deno.test("newestComplete() skips backups that did not finish", () => {
  withDir({
    "a.rev": metadata("a", 1),
    "b.rev": metadata("b", 2),
    "c.rev": metadata("c", 3, "stats: {}"),
  }, (dir) => {
    assertEquals(newestComplete(readCatalog(dir).revisions)?.name, "b");
    assertEquals(newestComplete([]), undefined);
  });
});

Deno.test("newestComplete() skips revisions of unknown time, even if there are no others", () => {
  withDir({
    "a.rev": metadata("a", 1),
    "z.rev": "uuid: z\ntimestamp: null\nstats: {duration: 1}",
  }, (dir) => {
    const { revisions } = readCatalog(dir);
    assertEquals(newestComplete(revisions)?.name, "a");
    assertEquals(newestComplete(revisions.filter(({ name }) => name === "z")), undefined);
  });
});

Deno.test("readCatalog() refuses what is not a directory", () => {
  withDir({ "file": "" }, (dir) => {
    assertThrows(() => readCatalog(`${dir}/none`), StoreFormatError, "Cannot list");
    assertThrows(() => readCatalog(`${dir}/file`), StoreFormatError, "Cannot list");
  });
});

Deno.test("CatalogReader.read() sees what was added, changed and removed", () => {
  withDir({
    "a.rev": metadata("a", 1),
    "b.rev": metadata("b", 2),
    "bad.rev": "[",
  }, (dir) => {
    const reader = new CatalogReader(dir);
    // A file just written may be written again unnoticed.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    const before = reader.read();
    assertEquals(namesOf(before), ["a", "b"]);
    // Unchanged files were not parsed again.
    assert(reader.read().revisions[0]!.info === before.revisions[0]!.info);
    Deno.writeTextFileSync(`${dir}/new`, metadata("b", 2, "tags: [changed]"));
    Deno.renameSync(`${dir}/new`, `${dir}/b.rev`);
    Deno.removeSync(`${dir}/a.rev`);
    Deno.writeTextFileSync(`${dir}/c.rev`, metadata("c", 3));
    Deno.writeTextFileSync(`${dir}/bad.rev`, metadata("bad", 4));
    const after = reader.read();
    assertEquals(namesOf(after), ["b", "c", "bad"]);
    assertEquals(after.revisions[0]!.info.tags, ["changed"]);
    assertEquals(after.skipped, []);
  });
});

Deno.test("readCatalog() lists 1,000 revisions quickly", () => {
  withDir({}, (dir) => {
    for (let number = 0; number < 1000; number++) {
      const name = `rev${number}`;
      Deno.writeTextFileSync(`${dir}/${name}.rev`, metadata(name, 1 + number % 28));
      Deno.writeTextFileSync(`${dir}/${name}`, "");
    }
    const startMs = cpuMs();
    assertEquals(readCatalog(dir).revisions.length, 1000);
    // About 0.15 s on an idle machine; a mount may take 1 s.
    const tookMs = cpuMs() - startMs;
    assert(tookMs < 1000, `${tookMs} ms`);
  });
});
