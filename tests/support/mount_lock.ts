/**
 * Keeps tests of different processes from each other where they share the machine's mounts: a mount
 * namespace that one makes keeps alive what another unmounts meanwhile.
 *
 * @module
 */

/** A file that is there wherever FUSE is; only its lock matters. */
const LOCK_FILE = "/dev/fuse";

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
