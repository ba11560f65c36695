import { RevisionDirectory } from "../../lib/fuse/revision_directory.ts";
import type { CatalogEntry, SkippedRevision } from "../../lib/store/catalog.ts";
import { assert, assertEquals, assertThrows } from "../assert.ts";
import { fakeEntry } from "./fake_entry.ts";
import { FakeImages } from "../image_access/fake_images.ts";

function setUp() {
  const world = {
    revisions: [] as CatalogEntry[],
    skipped: [] as SkippedRevision[],
    modifiedMs: 0,
    now: 10_000,
    listings: 0,
    failure: null as Error | null,
    told: [] as string[],
    failures: 0,
    /** Versions of files; all others have "first". */
    versions: new Map<string, string>(),
    isSettled: true,
    replaced: [] as string[],
  };
  const open = () =>
    new RevisionDirectory({
      readCatalog: () => {
        world.listings++;
        if (world.failure) throw world.failure;
        return { revisions: [...world.revisions], skipped: [...world.skipped] };
      },
      readModifiedMs: () => world.modifiedMs,
      readState: (path) => ({
        isFile: true,
        size: 1,
        version: world.versions.get(path) ?? "first",
        isSettled: world.isSettled,
      }),
      openImage: ({ name }) => new FakeImages().image(name, [0]),
      onReplaced: (name) => world.replaced.push(name),
      onBadTable: () => {},
      onSkipped: ({ name, reason }) => world.told.push(`${name}: ${reason}`),
      onFailure: () => world.failures++,
      now: () => world.now,
    });
  return { world, open };
}

Deno.test("RevisionDirectory serves readable revisions, and reports others once", () => {
  const { world, open } = setUp();
  world.revisions = [
    fakeEntry("a", 1),
    fakeEntry("remote", 2, { isLocal: false }),
    fakeEntry("b", 3),
  ];
  world.skipped = [{ name: "bad", reason: "no YAML" }];
  const directory = open();
  assertEquals(directory.nodes.map(({ ino, entry }) => [ino, entry.name]), [[3, "a"], [4, "b"]]);
  assertEquals(directory.find("remote"), null);
  assertEquals(directory.find("b")?.ino, 4);
  assert(directory.at(4) === directory.find("b"));
  assertEquals(directory.at(2), null);
  world.modifiedMs = 1;
  directory.refresh();
  assertEquals(world.listings, 2);
  assertEquals(world.told, [
    "bad: no YAML",
    "remote: its map is missing, there is only its metadata",
  ]);
});

Deno.test("RevisionDirectory lists anew only when the backup directory was modified", () => {
  const { world, open } = setUp();
  world.revisions = [fakeEntry("a", 1)];
  const directory = open();
  assertEquals(directory.find("b"), null);
  directory.refresh();
  assertEquals(world.listings, 1);
  world.revisions.push(fakeEntry("b", 2));
  world.modifiedMs = 1;
  // A known name needs no listing.
  assert(directory.find("a"));
  assertEquals(world.listings, 1);
  assertEquals(directory.find("b")?.ino, 4);
  assertEquals(world.listings, 2);
});

Deno.test("RevisionDirectory does not rely on a very recent modification time", () => {
  const { world, open } = setUp();
  world.modifiedMs = world.now - 100;
  const directory = open();
  world.revisions = [fakeEntry("a", 1)];
  world.now += 5000;
  assert(directory.find("a"));
  directory.refresh();
  assertEquals(world.listings, 2);
});

Deno.test("RevisionDirectory keeps inode numbers and images, also of deleted revisions", () => {
  const { world, open } = setUp();
  world.revisions = [fakeEntry("a", 1), fakeEntry("b", 2)];
  const directory = open();
  const [a, b] = directory.nodes;
  world.revisions = [fakeEntry("b", 2), fakeEntry("c", 3)];
  world.modifiedMs = 1;
  directory.refresh();
  assertEquals(directory.nodes.map(({ ino }) => ino), [4, 5]);
  assertEquals(directory.find("a"), null);
  assert(directory.at(3) === a && directory.find("b") === b);
  world.revisions = [fakeEntry("a", 1)];
  world.modifiedMs = 2;
  directory.refresh();
  assert(directory.find("a") === a);
});

Deno.test("RevisionDirectory.last is the newest finished revision that is served", () => {
  const { world, open } = setUp();
  assertEquals(open().last, null);
  world.revisions = [fakeEntry("a", 1), fakeEntry("b", 2), fakeEntry("c", 3, {}, false)];
  assertEquals(open().last?.entry.name, "b");
  world.revisions.push(fakeEntry("d", 4, { hasMap: false }));
  assertEquals(open().last?.entry.name, "b");
  world.revisions.push(fakeEntry("last", 5));
  assertEquals(open().last, null);
});

Deno.test("RevisionDirectory serves the revisions that it knows when listing fails", () => {
  const { world, open } = setUp();
  world.revisions = [fakeEntry("a", 1)];
  const directory = open();
  world.failure = new Error("gone");
  world.modifiedMs = 1;
  directory.refresh();
  assertEquals(directory.find("b"), null);
  assertEquals(world.failures, 2);
  assert(directory.find("a"));
  world.failure = null;
  directory.refresh();
  assertEquals(world.listings, 4);
  world.failure = new Error("gone");
  assertThrows(open, Error, "gone");
});

Deno.test("RevisionDirectory serves another file when a map has changed", async () => {
  const { world, open } = setUp();
  world.revisions = [fakeEntry("a", 1), fakeEntry("b", 2)];
  const directory = open();
  const b = directory.find("b")!;
  assert(directory.find("b") === b && directory.last === b);
  const file = await b.image.open();
  world.versions.set("b", "second");
  const next = directory.find("b")!;
  assertEquals([b.ino, next.ino], [4, 5]);
  assert(directory.last === next && directory.find("b") === next && directory.at(5) === next);
  // The old file exists as long as somebody has it open, and its number is never reused.
  assert(directory.at(4) === b);
  file.close();
  assertEquals([directory.at(4), directory.wasGiven(4), directory.wasGiven(6)], [
    null,
    true,
    false,
  ]);
  world.versions.set("b", "third");
  assertEquals(directory.find("b")!.ino, 6);
  assertEquals(world.replaced, []);
});

Deno.test("RevisionDirectory serves another file when metadata have changed, unless the file was written to", async () => {
  const { world, open } = setUp();
  const [a, b] = [fakeEntry("a", 1), fakeEntry("b", 2)];
  world.revisions = [a, b];
  const directory = open();
  const written = directory.find("b")!;
  await written.image.write(0, new Uint8Array(1));
  const change = (entry: CatalogEntry): CatalogEntry => ({
    ...entry,
    metadataVersion: "second",
    info: { ...entry.info, trust: "distrusted" },
  });
  world.revisions = [change(a), change(b)];
  world.versions.set("a.rev", "second").set("b.rev", "second");
  assertEquals(directory.find("a")!.ino, 5);
  assert(directory.find("b") === written);
  assertEquals(written.entry.info.trust, "distrusted");
  // The map was rewritten with the same content.
  world.versions.set("b", "second");
  await written.image.loadBase(0);
  assert(directory.find("b") === written);
  assertEquals(world.replaced, []);
});

Deno.test("RevisionDirectory.findLast() notices a finished backup by its metadata alone", () => {
  const { world, open } = setUp();
  const entry = fakeEntry("b", 2, {}, false);
  world.revisions = [fakeEntry("a", 1), entry];
  const directory = open();
  assertEquals(directory.findLast()?.entry.name, "a");
  world.revisions = [
    fakeEntry("a", 1),
    { ...entry, metadataVersion: "second", info: { ...entry.info, isComplete: true } },
  ];
  world.versions.set("b.rev", "second");
  assertEquals(directory.findLast()?.entry.name, "b");
  assertEquals(directory.last?.ino, 5);
});

Deno.test("RevisionDirectory reads metadata again that may have changed unnoticed", () => {
  const { world, open } = setUp();
  world.revisions = [fakeEntry("a", 1, { metadataVersion: null })];
  const directory = open();
  assertEquals(world.listings, 1);
  directory.find("a");
  assertEquals(world.listings, 1);
  world.now += 300;
  directory.find("a");
  directory.find("a");
  assertEquals(world.listings, 2);
});

Deno.test("RevisionDirectory.last is never a revision without a time, though that is served", () => {
  const { world, open } = setUp();
  const undated = fakeEntry("undated", 1, { time: null });
  world.revisions = [undated, fakeEntry("a", 2), fakeEntry("running", 3, {}, false)];
  const directory = open();
  assertEquals(directory.nodes.map(({ entry }) => entry.name), ["undated", "a", "running"]);
  assertEquals(directory.last?.entry.name, "a");
  world.revisions = [undated];
  world.modifiedMs = 1;
  directory.refresh();
  assertEquals(directory.last, null);
});
