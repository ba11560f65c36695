import {
  describeNoStore,
  hintBeside,
  hintForList,
  hintNear,
  listHint,
} from "../../lib/store/store_hints.ts";
import { assertEquals, assertStringIncludes } from "../assert.ts";
import { makeStore } from "../support/store_builder.ts";
import { Scratch } from "../support/machine.ts";

/** A directory with some backup directories and some others. */
class Server implements Disposable {
  readonly #scratch = new Scratch();
  readonly dir = this.#scratch.file("backy");

  constructor(names: readonly string[]) {
    Deno.mkdirSync(`${this.dir}/other/chunks`, { recursive: true });
    Deno.writeTextFileSync(`${this.dir}/config`, "");
    for (const name of names) makeStore(`${this.dir}/${name}`);
  }

  [Symbol.dispose](): void {
    this.#scratch[Symbol.dispose]();
  }
}

Deno.test("listHint() quotes a command for a shell", () => {
  assertEquals(listHint("/srv/vm0"), '"backy-extract list /srv/vm0" shows what there is');
  assertEquals(listHint("it's a"), "\"backy-extract list 'it'\\''s a'\" shows what there is");
});

Deno.test("describeNoStore() names the backup directories below, a few of them", () => {
  using server = new Server(["vm1", "vm0"]);
  const { dir } = server;
  const no = 'there is no "chunks/store" in it';
  assertEquals(describeNoStore(`${dir}/other`), no);
  assertEquals(
    describeNoStore(dir),
    `${no}; there are backup directories below it: "${dir}/vm0", "${dir}/vm1"`,
  );
  for (let number = 2; number < 9; number++) makeStore(`${dir}/vm${number}`);
  assertStringIncludes(describeNoStore(dir), `"${dir}/vm4" and 4 more`);
  Deno.symlinkSync("vm0", `${dir}/link`);
  assertStringIncludes(describeNoStore(dir), `"${dir}/link", "${dir}/vm0"`);
});

Deno.test("describeNoStore() tells missing chunks from a missing format", () => {
  using server = new Server(["vm0"]);
  const store = `${server.dir}/vm0`;
  Deno.writeTextFileSync(`${store}/a.rev`, "uuid: a\n");
  Deno.removeSync(`${store}/chunks/store`);
  const missing =
    'there are revisions, but no chunks in "chunks": mount or copy what should be there';
  assertEquals(describeNoStore(store), missing);
  Deno.mkdirSync(`${store}/chunks/4d`);
  assertEquals(
    describeNoStore(store),
    'there are revisions, but no "chunks/store", which names the format: ' +
      'if it is "v2", write that into this file',
  );
  Deno.removeSync(`${store}/chunks`, { recursive: true });
  assertEquals(describeNoStore(store), missing);
});

Deno.test("hintNear() names what is in, below, above or beside a directory", () => {
  using server = new Server(["vm0"]);
  const { dir } = server;
  const list = `"backy-extract list ${dir}/vm0" shows what there is`;
  const stores = `"${dir}/vm0"`;
  assertEquals(hintNear(`${dir}/vm0`), list);
  assertEquals(hintNear(`${dir}/vm0/chunks`), list);
  assertEquals(hintNear(dir), `there is a backup directory below "${dir}": ${stores}`);
  assertEquals(
    hintNear(`${dir}/vmO`),
    `there is no directory "${dir}/vmO"; there is a backup directory beside it: ${stores}`,
  );
  assertEquals(hintNear(`${dir}/no/vm0`), `there is no directory "${dir}/no/vm0"`);
  assertEquals(hintNear(`${dir}/other`), `"${dir}/other" is not a backup directory`);
  assertEquals(hintBeside(`${dir}/vmO/`), `there is a backup directory beside it: ${stores}`);
  assertEquals(hintBeside(`${dir}/no/vm0`), undefined);
});

Deno.test("hintForList() splits a path as a restore does", () => {
  using server = new Server(["vm0"]);
  const store = `${server.dir}/vm0`;
  const looksFor = (spec: string) => `for a revision, use "backy-extract list ${store} ${spec}"`;
  assertEquals(hintForList(`${store}/last`), looksFor("last"));
  assertEquals(hintForList(`${store}/tag:daily/`), looksFor("tag:daily"));
  assertEquals(hintForList(`${store}/last(a & b)`), looksFor("'last(a & b)'"));
  Deno.writeTextFileSync(`${store}/Name`, "{}");
  assertEquals(hintForList(`${store}/Name`), looksFor("Name"));
  assertEquals(hintForList(`${store}/typo`), listHint(store));
  assertEquals(hintForList(`${server.dir}/other`), undefined);
  assertEquals(
    hintForList(`${server.dir}/none`),
    `there is a backup directory beside it: "${store}"`,
  );
});
