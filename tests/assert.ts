/**
 * The assertions that tests use, with types: the npm build of @std/assert comes without.
 *
 * @module
 */

import * as std from "@std/assert";
import "./support/libraries.ts";

// deno-lint-ignore no-explicit-any
type Constructor<T> = abstract new (...args: any[]) => T;

/** Asserts that an expression is truthy. */
export const assert: (expression: unknown, message?: string) => asserts expression = std.assert;

/** Asserts that two values are deeply equal. */
export const assertEquals: <T>(actual: T, expected: T, message?: string) => void = std.assertEquals;

/** Asserts that two values are not deeply equal. */
export const assertNotEquals: <T>(actual: T, expected: T, message?: string) => void =
  std.assertNotEquals;

/** Asserts that a text contains another. */
export const assertStringIncludes: (actual: string, expected: string, message?: string) => void =
  std.assertStringIncludes;

/** Asserts that a text matches. */
export const assertMatch: (actual: string, expected: RegExp, message?: string) => void =
  std.assertMatch;

/** Asserts that a value is an instance of a class. */
export const assertInstanceOf: <T>(
  actual: unknown,
  expectedType: Constructor<T>,
  message?: string,
) => asserts actual is T = std.assertInstanceOf;

/**
 * Asserts that a function throws an error of a class, with a text in its message; returns the
 * error.
 */
export const assertThrows: <T extends Error = Error>(
  run: () => unknown,
  errorClass?: Constructor<T>,
  messageIncludes?: string,
) => T = std.assertThrows;

/**
 * Asserts that a promise is rejected with an error of a class, with a text in its message; returns
 * the error.
 */
export const assertRejects: <T extends Error = Error>(
  run: () => PromiseLike<unknown>,
  errorClass?: Constructor<T>,
  messageIncludes?: string,
) => Promise<T> = std.assertRejects;
