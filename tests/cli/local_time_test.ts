import { formatLocalMinute } from "../../lib/cli/format.ts";
import { formatLocalIso, localZone } from "../../lib/store/dates.ts";
import { assertEquals } from "../assert.ts";
import { inZone } from "../support/zone.ts";

const WINTER = new Date("2026-01-11T23:45:25.066Z");
const SUMMER = new Date("2026-07-01T00:05:00Z");

Deno.test("Local times have the host's date, clock and offset of that time", () => {
  const cases = [
    ["UTC", "2026-01-11 23:45", "2026-01-11T23:45:25.066+00:00", "2026-07-01T00:05:00.000+00:00"],
    [
      "Europe/Berlin",
      "2026-01-12 00:45",
      "2026-01-12T00:45:25.066+01:00",
      "2026-07-01T02:05:00.000+02:00",
    ],
    [
      "America/St_Johns",
      "2026-01-11 20:15",
      "2026-01-11T20:15:25.066-03:30",
      "2026-06-30T21:35:00.000-02:30",
    ],
  ] as const;
  for (const [zone, minute, winter, summer] of cases) {
    inZone(zone, () => {
      assertEquals(localZone(), zone);
      assertEquals(formatLocalMinute(WINTER), minute);
      assertEquals([WINTER, SUMMER].map(formatLocalIso), [winter, summer]);
    });
  }
});

Deno.test("formatLocalIso() is read back as the same point in time", () => {
  for (const zone of ["UTC", "Asia/Kathmandu", "America/Los_Angeles"]) {
    inZone(zone, () => {
      for (const ms of [0, 1, 1_768_153_525_666, Date.UTC(2026, 2, 29, 1), Date.UTC(9999, 0)]) {
        assertEquals(Date.parse(formatLocalIso(new Date(ms))), ms);
      }
    });
  }
});

Deno.test("localZone() names any host's zone", () => {
  inZone("Etc/UTC", () => assertEquals(localZone(), "UTC"));
  inZone("No/Such_Zone", () => assertEquals(localZone(), "UTC"));
});
