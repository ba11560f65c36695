import { dateNames } from "../../lib/fuse/date_links.ts";
import { assertEquals } from "../assert.ts";
import { inZone } from "../support/zone.ts";
import { fakeEntry } from "./fake_entry.ts";

/** Names revisions that began at these times, each revision being called by its time. */
function names(...times: string[]): Record<string, string> {
  const entries = times.map((time) => fakeEntry(time, 1, { time: new Date(time) }));
  return Object.fromEntries(dateNames(entries));
}

Deno.test("dateNames() takes as much of the time as is needed", () => {
  inZone("UTC", () => {
    assertEquals(
      names(
        "2026-11-27T03:00:00Z",
        "2026-11-27T03:00:31Z",
        "2026-11-27T03:00:31.5Z",
        "2026-11-27T03:00:31.500Z",
        "2026-11-27T03:00:31.500+00:00",
        "2026-11-27T03:01:00Z",
      ),
      {
        "2026-11-27T03:00": "2026-11-27T03:00:00Z",
        "2026-11-27T03:00:31": "2026-11-27T03:00:31Z",
        "2026-11-27T03:00:31.500": "2026-11-27T03:00:31.5Z",
        "2026-11-27T03:00:31.500~2": "2026-11-27T03:00:31.500Z",
        "2026-11-27T03:00:31.500~3": "2026-11-27T03:00:31.500+00:00",
        "2026-11-27T03:01": "2026-11-27T03:01:00Z",
      },
    );
  });
});

Deno.test("dateNames() has both revisions of an hour that the clock shows twice", () => {
  inZone("Europe/Berlin", () => {
    assertEquals(names("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"), {
      "2026-10-25T02:30": "2026-10-25T00:30:00Z",
      "2026-10-25T02:30:00": "2026-10-25T01:30:00Z",
    });
  });
});

Deno.test("dateNames() leaves out what is unfinished or has no time", () => {
  const unfinished = fakeEntry("unfinished", 1, {}, false);
  const undated = fakeEntry("undated", 1, { time: null });
  assertEquals(dateNames([undated, unfinished]).size, 0);
});
