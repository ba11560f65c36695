/**
 * Keeps tests of different processes from each other where they share the machine's mounts: a mount
 * namespace that one makes keeps alive what another unmounts meanwhile.
 *
 * @module
 */

/** A file that is there wherever FUSE is; only its lock matters. */
const LOCK_FILE = "/dev/fuse";

/**
 * Locked while waiting for the other: flock(2) is not fair, so whoever wants to be alone would wait
 * until nobody happens to share the lock.
 */
const QUEUE_FILE = new URL(import.meta.url);

let held: { readonly isAlone: boolean; readonly file: Deno.FsFile; users: number } | null = null;

/**
 * Waits until this process may mount file systems ("shared") or make mount namespaces ("alone"),
 * and holds that right until what is returned is disposed of. Whoever is alone may mount as well.
 */
export function lockMounts(mode: "shared" | "alone"): Disposable {
  const isAlone = mode === "alone";
  if (held === null) {
    let file: Deno.FsFile;
    try {
      file = Deno.openSync(LOCK_FILE, { read: true });
    } catch {
      return { [Symbol.dispose]() {} };
    }
    using queue = Deno.openSync(QUEUE_FILE, { read: true });
    queue.lockSync(true);
    file.lockSync(isAlone);
    held = { isAlone, file, users: 0 };
  }
  if (isAlone && !held.isAlone) throw new Error("This test has mounted something already");
  held.users++;
  return {
    [Symbol.dispose]() {
      if (held === null || --held.users > 0) return;
      held.file.close();
      held = null;
    },
  };
}
