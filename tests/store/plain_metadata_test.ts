import { parseDocument } from "yaml";
import { parsePlainMetadata } from "../../lib/store/plain_metadata.ts";
import { assert, assertEquals } from "../assert.ts";
import { randomFrom } from "../support/random.ts";

/** What the YAML parser returns with the options of `revision_info.ts`, or why it refuses. */
function parseByLibrary(text: string): unknown {
  const options = { schema: "failsafe", uniqueKeys: false, prettyErrors: false } as const;
  const document = parseDocument(text, { ...options, logLevel: "error" });
  return document.errors[0]?.message ?? document.toJS({ mapAsMap: true });
}

const STORES = [
  "# comment\nbackend_type: chunked\nparent: ''\nstats: {bytes_written: 16777216, duration: 0.087}\n" +
  "tags: [daily, 'manual:before-upgrade']\ntimestamp: 2019-01-11 17:45:25.666942+00:00\n" +
  "trust: trusted\nuuid: VNzWKjnMqd6w58nzJwUZ98\n",
  "orig_tags:\n- daily\n- manual:x\nparent: jzrSMyvE4WN2Pcj39RE4aS\nserver: ''\nstats:\n" +
  "  bytes_written: 123\n  duration: 1.5e-05\ntags:\n- daily\ntimestamp: '2019-01-11T17:45:25'\n" +
  "trust: verified\nuuid: x\n",
  'tags: []\nstats: {}\nserver: "backup7"\nuuid: a_b-c',
];

Deno.test("parsePlainMetadata() reads what producers write, as the YAML parser does", () => {
  for (const text of STORES) assertEquals<unknown>(parsePlainMetadata(text), parseByLibrary(text));
});

Deno.test("parsePlainMetadata() leaves to the parser what looks different in any way", () => {
  const texts = [
    ...["", "\n", "# only a comment\n", "uuid:\n", "uuid: a # b\n", "uuid: a: b\n", "uuid: -\n"],
    ...[
      "uuid: &a b\n",
      "tags: [a: b]\n",
      "tags: [a,b]\n",
      "uuid: a\n  b\n",
      "- a\n",
      "{uuid: a}\n",
    ],
    ...["uuid: 'a''b'\n", 'uuid: "a\\n"\n', "uuid: é\n", "uuid: a\r\n", "uuid: a \n", "uuid:  a\n"],
    ...["tags:\n- a\n  - b\n", "stats:\n  a: b\n    c: d\n", "uuid: a\n...\n", "---\nuuid: a\n"],
  ];
  for (const text of texts) assertEquals(parsePlainMetadata(text), null, JSON.stringify(text));
});

Deno.test("parsePlainMetadata() agrees with the YAML parser wherever it answers", () => {
  const random = randomFrom(20190111);
  const pieces = [
    ..."a1- :'\"[]{},#\n_.&*!|>%@`~+/\\?=<\t\u00e9",
    ...[
      "x",
      "  ",
      ": ",
      ", ",
      " #",
      "- ",
      "\nkey: ",
      "\nkey:\n",
      "tags: [",
      "stats: {a: 1",
      "uuid: ",
    ],
    ...["null", "<<", "2019-01-11 17:45:25", "---", "...", "'a b'", '"a:b"', "\n- b", "\n  c: d"],
  ];
  const starts = ["key: ", "tags:\n- ", "stats:\n  a: ", "tags: [a, ", "stats: {a: 1, b: ", ""];
  let answered = 0;
  for (let round = 0; round < 100_000; round++) {
    let text = starts[random(starts.length)]!;
    for (let count = 1 + random(7); count > 0; count--) {
      text += pieces[random(pieces.length)]!;
    }
    const fields = parsePlainMetadata(text);
    if (fields === null) continue;
    answered++;
    assertEquals<unknown>(parseByLibrary(text), fields, JSON.stringify(text));
  }
  assert(answered > 1000, `${answered}`);
});
