/**
 * Names of images in a Ceph cluster, as OUTPUT takes them. Pure.
 *
 * @module
 */

/** A file of such a name is reached as "./rbd:...". */
const PREFIX = "rbd:";

/** Whether an output names an image in a Ceph cluster, rather than a path. */
export function isRbdName(output: string): boolean {
  return output.startsWith(PREFIX);
}

/** An image in a Ceph cluster. */
export interface RbdName {
  readonly pool: string;
  /** "" for the default one. */
  readonly namespace: string;
  readonly image: string;
}

/**
 * Parses `rbd:POOL/IMAGE` or `rbd:POOL/NAMESPACE/IMAGE`.
 *
 * @returns `null` if it is malformed. Names have neither "/" nor "@", which begins a snapshot.
 */
export function parseRbdName(output: string): RbdName | null {
  const names = output.slice(PREFIX.length).split("/");
  const isValid = (names.length === 2 || names.length === 3) &&
    names.every((name) => name !== "" && !/[@\0]/.test(name));
  if (!isRbdName(output) || !isValid) return null;
  const image = names.pop()!;
  const [pool, namespace = ""] = names;
  return { pool: pool!, namespace, image };
}

/** How the `rbd` program calls an image. */
export function rbdSpecOf({ pool, namespace, image }: RbdName): string {
  return [pool, namespace, image].filter((name) => name !== "").join("/");
}
