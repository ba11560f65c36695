/** A cluster that fails at the very end, played by libraries made for that. */

import { radosFunctions, rbdFunctions } from "../../lib/linux/librbd.ts";
import { assertEquals } from "../assert.ts";
import { compilerProblem } from "../linux/c_program.ts";
import { Scratch, testUnless } from "../support/machine.ts";
import { runSync, scriptCommand, shell } from "../support/programs.ts";

/** What the functions do that have more to do than to succeed. All else would end the process. */
const FUNCTIONS = `
  #include <stdlib.h>
  #include <unistd.h>
  struct completion { int result, is_released; };
  static struct completion *usable(struct completion *c) { return c->is_released ? abort(), c : c; }
  int rados_create2(void **out) { *out = malloc(1); return 0; }
  int rados_ioctx_create(void *client, void *name, void **out) { *out = malloc(1); return 0; }
  void rados_shutdown(void *client) { write(1, "disconnected\\n", 13); }
  int rbd_open(void *pool, void *name, void **out) { *out = malloc(1); return 0; }
  int rbd_get_size(void *image, unsigned long *bytes) { *bytes = 1 << 30; return 0; }
  int rbd_watchers_list(void *image, void *list, size_t *count) { *count = 0; return 0; }
  int rbd_aio_create_completion(void *argument, void *callback, void **out) {
    *out = calloc(1, sizeof(struct completion));
    return 0;
  }
  int rbd_aio_close(void *image, struct completion *c) {
    static int calls;
    if (calls++ > 0) abort();
    c->result = -110;
    return 0;
  }
  int rbd_aio_is_complete(struct completion *c) { return usable(c) != NULL; }
  long rbd_aio_get_return_value(struct completion *c) { return usable(c)->result; }
  void rbd_aio_release(struct completion *c) { usable(c)->is_released = 1; }
`;

/** Makes the two libraries. @returns The folder that they are in. */
function makeLibraries(scratch: Scratch): string {
  const others = Object.keys({ ...radosFunctions, ...rbdFunctions })
    .filter((name) => !FUNCTIONS.includes(` ${name}(`) && !FUNCTIONS.includes(`*${name}(`))
    .map((name) => `long ${name}(void) { return 0; }`);
  const source = scratch.file("functions.c", FUNCTIONS + others.join("\n"));
  for (const name of ["librados.so.2", "librbd.so.1"]) {
    runSync("cc", "-shared", "-fPIC", "-w", "-o", scratch.file(name), source);
  }
  return scratch.path;
}

testUnless(
  compilerProblem,
  "An image that cannot be closed is let go of once, and said",
  async () => {
    using scratch = new Scratch();
    const script = scriptCommand(`
    import { checkRbdImage } from lib("target/rbd_image.ts");
    using checked = await checkRbdImage("rbd:pool/vm0", {
      extent: { start: 0, end: 4096 },
      sparse: "auto",
      force: false,
      stores: [],
      oldContent: "updated",
    });
    const target = await checked.open();
    await target.finish({ sync: true }).catch(({ message }) => console.log(message));
    target.close();
  `);
    const { code, stdout, stderr } = await shell(
      `CEPH_CONF=/dev/null LD_LIBRARY_PATH='${
        makeLibraries(scratch)
      }' timeout -s KILL 60 ${script}`,
    );
    assertEquals([code, stderr], [0, ""]);
    assertEquals(
      new TextDecoder().decode(stdout),
      'disconnected\nCannot flush "rbd:pool/vm0": Connection timed out (ETIMEDOUT)\n',
    );
  },
);
