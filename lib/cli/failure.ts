/**
 * What a person is told of an error.
 *
 * @module
 */

import { BackyError } from "../errors.ts";

/** Says in one line what went wrong; an error that is not ours is a bug, and said to be one. */
export function describeFailure(error: unknown): string {
  if (error instanceof BackyError && error.code !== "worker") return error.message;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return `Cannot go on: internal error, please report it: ${text}`;
}
