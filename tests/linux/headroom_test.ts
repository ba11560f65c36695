import {
  hasAddressSpace,
  raiseDescriptorLimit,
  spareDescriptors,
  spareThreads,
  ThreadLayout,
} from "../../lib/linux/headroom.ts";
import { assert, assertEquals } from "../assert.ts";
import { programProblem, runSync, scriptCommand } from "../support/programs.ts";
import { testUnless } from "../support/machine.ts";
import { compilerProblem, runC } from "./c_program.ts";

const GIB = 2 ** 30;

/**
 * Runs code in a process of its own under limits that prlimit(1) sets. @returns What it printed.
 */
function underLimits(limits: string, code: string): string {
  return runSync("sh", "-c", `exec prlimit ${limits} -- ${scriptCommand(code)}`);
}

const prlimit = programProblem("prlimit");

Deno.test("What fits is found in full, and given back", () => {
  const before = [...Deno.readDirSync("/proc/self/fd")].length;
  for (let round = 0; round < 3; round++) {
    assertEquals(spareDescriptors(100), 100);
    assertEquals(spareThreads(20), 20);
    assert(hasAddressSpace(10 * GIB));
  }
  assertEquals(spareDescriptors(0), 0);
  assertEquals(spareThreads(0), 0);
  assertEquals([...Deno.readDirSync("/proc/self/fd")].length, before);
});

testUnless(
  prlimit,
  "raiseDescriptorLimit() raises the soft limit to the hard one, within reason",
  () => {
    const code = `
    const { raiseDescriptorLimit } = await import(lib("linux/headroom.ts"));
    raiseDescriptorLimit();
    const [, soft] = Deno.readTextFileSync("/proc/self/limits").match(/open files +([0-9]+)/);
    console.log(soft);
  `;
    assertEquals(underLimits("--nofile=100:1000", code), "1000");
    assertEquals(underLimits("--nofile=1000:1000", code), "1000");
  },
);

testUnless(prlimit, "spareDescriptors() counts those below the limit", () => {
  const code = `
    const { spareDescriptors } = await import(lib("linux/headroom.ts"));
    console.log(spareDescriptors(1000));
  `;
  const spare = Number(underLimits("--nofile=100:100", code));
  assert(spare > 50 && spare < 100, `${spare}`);
  assertEquals(underLimits("--nofile=120:120", code), String(spare + 20));
});

testUnless(prlimit, "hasAddressSpace() knows its limit", () => {
  const code = `
    const { hasAddressSpace } = await import(lib("linux/headroom.ts"));
    console.log([1, 1000].map((gib) => hasAddressSpace(gib * 2 ** 30)).join());
  `;
  assertEquals(underLimits(`--as=${200 * GIB}`, code), "true,false");
});

testUnless(compilerProblem, "Sizes of C types are no less than the compiler's", () => {
  const output = runC(`
    #include <pthread.h>
    #include <semaphore.h>
    #include <limits.h>
    #include <stdio.h>
    int main(void) {
      printf("%zu %zu %ld", sizeof(pthread_attr_t), sizeof(sem_t), (long)PTHREAD_STACK_MIN);
    }
  `);
  const [attributes = NaN, semaphore = NaN, stack = NaN] = output.split(" ").map(Number);
  assert(attributes <= ThreadLayout.pthread_attr_t && semaphore <= ThreadLayout.sem_t);
  assert(stack <= 262_144);
});

Deno.test("raiseDescriptorLimit() can be called again", () => {
  raiseDescriptorLimit();
  raiseDescriptorLimit();
});
