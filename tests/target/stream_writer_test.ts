import { OsError, TargetError } from "../../lib/errors.ts";
import { Errno } from "../../lib/linux/errno.ts";
import { StreamWriter } from "../../lib/target/stream_writer.ts";
import { assertEquals, assertThrows } from "../assert.ts";
import { FakeTarget } from "./fake_target.ts";
import { assertBytes } from "./machine.ts";

const MIB = 1_048_576;

Deno.test("StreamWriter writes data and zeros in order, past short writes", () => {
  const target = new FakeTarget(60);
  target.transferBytes = 7;
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.write(new Uint8Array(20).fill(1));
  writer.writeZeros(30);
  writer.write(new Uint8Array(10).fill(2));
  assertEquals(writer.position, 60);
  assertBytes(target.content, new Uint8Array(60).fill(1, 0, 20).fill(2, 50));
});

Deno.test("StreamWriter waits for room in a nonblocking pipe", () => {
  const target = new FakeTarget(10);
  target.writeErrnos = [Errno.EAGAIN, Errno.EAGAIN];
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.write(new Uint8Array(10).fill(1));
  assertEquals(target.calls, ["poll", "poll", "pwrite 0+10"]);
});

Deno.test("StreamWriter gives a wait up when it should stop", () => {
  const target = new FakeTarget(10);
  target.writeErrnos = [Errno.EAGAIN];
  const writer = new StreamWriter(target.stream(), { calls: target, shouldStop: () => true });
  writer.write(new Uint8Array(10));
  writer.writeZeros(10);
  assertEquals([target.calls, writer.position], [[], 0]);
});

Deno.test("StreamWriter names standard output and the image's byte in a failure", () => {
  const target = new FakeTarget(100);
  target.failAt = 30;
  target.failErrno = Errno.EPIPE;
  const handle = { ...target.stream(), fd: 1, path: "standard output" };
  const writer = new StreamWriter(handle, { calls: target });
  writer.write(new Uint8Array(25));
  const error = assertThrows(() => writer.writeZeros(25), TargetError);
  assertEquals(error.message, "Cannot write standard output at byte 30: Broken pipe (EPIPE)");
  assertEquals([error.path, error.offset], ["standard output", 30]);
});

Deno.test("StreamWriter takes its position from whoever had the turn before", () => {
  const target = new FakeTarget(100);
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.position = 4 * MIB;
  writer.write(new Uint8Array(8));
  assertEquals(writer.position, 4 * MIB + 8);
});

Deno.test("StreamWriter.writeZeros() gives zeros to a pipe by reference, and waits for room", () => {
  const target = new FakeTarget(100);
  target.isPipe = true;
  target.transferBytes = 40;
  target.writeErrnos = [Errno.EAGAIN];
  const writer = new StreamWriter(target.stream(), { calls: target });
  writer.writeZeros(50);
  writer.write(new Uint8Array(10).fill(1));
  assertEquals(target.calls, ["poll", "splice 0+40", "splice 40+10", "pwrite 50+10"]);
  assertEquals(writer.position, 60);
});

Deno.test("StreamWriter.writeZeros() to a closed pipe fails with the image's byte", () => {
  const target = new FakeTarget(100);
  target.isPipe = true;
  target.writeErrnos = [Errno.EPIPE];
  const writer = new StreamWriter(target.stream(), { calls: target });
  const error = assertThrows(() => writer.writeZeros(25), TargetError);
  assertEquals([error.offset, error.cause instanceof OsError], [0, true]);
});
