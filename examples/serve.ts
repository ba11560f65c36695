// deno-lint-ignore-file no-console -- an example prints
/**
 * Serves an image over HTTP on this machine, with ranges, so that a program which reads images from
 * a URL can have parts of it:
 *
 *     deno run -A examples/serve.ts /srv/backy/vm0 last 8080
 *     curl -r 0-511 http://127.0.0.1:8080/ | xxd
 *     qemu-img info json:'{"driver": "raw", "file": {"driver": "http",
 *       "url": "http://127.0.0.1:8080/"}}'
 *
 * @module
 */

import { openImage } from "../lib/mod.ts";

const [directory, spec, port] = Deno.args;
if (port === undefined) {
  console.error("usage: serve.ts DIRECTORY SPEC PORT");
  Deno.exit(2);
}

using image = await openImage(directory!, spec);
// Whoever reaches the port reads the whole disk: keep it to this machine.
const server = Deno.serve({ hostname: "127.0.0.1", port: Number(port) }, answer);
Deno.addSignalListener("SIGINT", () => void server.shutdown());
await server.finished;

function answer(request: Request): Response {
  const headers = new Headers({
    "accept-ranges": "bytes",
    "content-type": "application/octet-stream",
  });
  const wanted = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
  const first = Number(wanted?.[1] ?? 0);
  const last = Math.min(Number(wanted?.[2] || image.size - 1), image.size - 1);
  if (wanted && first > last) {
    headers.set("content-range", `bytes */${image.size}`);
    return new Response(null, { status: 416, headers });
  }
  const length = last - first + 1;
  headers.set("content-length", String(length));
  if (wanted) headers.set("content-range", `bytes ${first}-${last}/${image.size}`);
  const isHead = request.method === "HEAD";
  const body = isHead ? null : image.readableRange({ offset: first, length });
  return new Response(body, { status: wanted ? 206 : 200, headers });
}
