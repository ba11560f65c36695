/**
 * Control groups, which limit what processes together may take.
 *
 * @module
 */

/** Where control groups of a kind can be made, as root in a container that may; or why not. */
export function groupFolder(controller: string): { folder: string } | { problem: string } {
  // Version 1 has a hierarchy for each kind, version 2 one for those that are handed down.
  const folders = [`/sys/fs/cgroup/${controller}`, "/sys/fs/cgroup"];
  for (const folder of folders) {
    const group = `${folder}/backy_limits_test`;
    try {
      Deno.mkdirSync(group);
    } catch {
      continue;
    }
    const isControlled = [...Deno.readDirSync(group)].some(({ name }) =>
      name.startsWith(`${controller}.`)
    );
    Deno.removeSync(group);
    if (isControlled) return { folder };
  }
  return { problem: `no control group for ${controller} can be made` };
}

let count = 0;

/** A control group that is removed in the end; its processes must have ended by then. */
export class ControlGroup implements Disposable {
  /** For a shell: takes it, and what it starts, into the group. */
  readonly enter: string;
  readonly #path: string;

  /**
   * @param folder From {@linkcode groupFolder}.
   * @param limits Values by file names; names of another version are left out.
   */
  constructor(folder: string, limits: Readonly<Record<string, number>>) {
    this.#path = `${folder}/backy_limits_test_${Deno.pid}_${++count}`;
    this.enter = `echo $$ >"${this.#path}/cgroup.procs"`;
    Deno.mkdirSync(this.#path);
    for (const [name, value] of Object.entries(limits)) {
      if (exists(`${this.#path}/${name}`)) {
        Deno.writeTextFileSync(`${this.#path}/${name}`, String(value));
      }
    }
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#path);
  }
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path) !== null;
  } catch {
    return false;
  }
}
