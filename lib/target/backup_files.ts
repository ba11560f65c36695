/**
 * Keeps files of backup directories, whoever reads them, from becoming targets by a slip: what lies
 * in one, what is named as their files are, and what holds what theirs hold (a hard link or bind
 * mount may have any name).
 *
 * The directories that are being read are `store_overlap.ts`'s matter: those are never written.
 *
 * @module
 */

import { basename, dirname } from "node:path";

import { type FileStatus, isFileAt, statOrNull } from "../linux/file_status.ts";
import { readBeginning, readTextOrNull } from "../linux/paths.ts";
import {
  CHUNK_BYTES,
  CHUNK_ENCODINGS,
  CHUNK_HEADER_BYTES,
  isChunkId,
  METADATA_SUFFIX,
  PURGE_LOCK_FILE,
  STORE_TAG_FILE,
} from "../store/layout.ts";
import { quote } from "../wording.ts";

/** A file that is to be written. */
export interface FileToWrite {
  /** By which it can be opened; not needed where it does not exist. */
  readonly path?: string;
  /** Where it is or will be, symbolic links resolved; `null` if it has no name any more. */
  readonly realPath: string | null;
  /** `null` if it does not exist yet. */
  readonly info: FileStatus | null;
}

/** As much of a file is looked at: the metadata of a revision is seldom longer. */
const SAMPLE_BYTES = 4096;

/** Lock of a backup that is running, inside the backup directory. */
const BACKUP_LOCK_FILE = ".backup";

/** Length of a version tag such as "v2", with some white space. */
const TAG_MAX_CHARS = 16;

/**
 * Says what speaks against writing a file: that it belongs to a backup, or that it has other names.
 *
 * @returns Clauses such as `it lies in the backup directory "/srv/backy/vm1"`, each of which
 *   `--force` overrides.
 */
export function describeHarm(file: FileToWrite): string[] {
  const reasons: string[] = [];
  const belonging = describePlace(file.realPath) ?? describeContent(file);
  if (belonging !== null) reasons.push(belonging);
  const names = file.info?.isFile ? file.info.nlink ?? 1 : 1;
  if (names > 1) {
    reasons.push(`it has ${names} names (hard links), and would change under all of them`);
  }
  return reasons;
}

/** Says which backup a path belongs to, by what lies above and beside it. */
function describePlace(realPath: string | null): string | null {
  if (realPath === null) return null;
  const folders = foldersAbove(realPath);
  const basedir = folders.find((folder) => statOrNull(`${folder}/${STORE_TAG_FILE}`) !== null);
  if (basedir !== undefined) return `it lies in the backup directory ${quote(basedir)}`;
  const chunks = folders.find(isChunksFolder);
  if (chunks !== undefined) return `it lies in the chunks directory of a backup, ${quote(chunks)}`;
  return describeName(realPath);
}

/** The folders above a path, the nearest first. */
function foldersAbove(path: string): string[] {
  const folders: string[] = [];
  for (let folder = dirname(path);; folder = dirname(folder)) {
    folders.push(folder);
    if (folder === dirname(folder)) return folders;
  }
}

/** A chunks directory may be mounted under any name, without the backup directory above it. */
function isChunksFolder(folder: string): boolean {
  const tag = `${folder}/${basename(STORE_TAG_FILE)}`;
  const info = statOrNull(tag);
  if (!info?.isFile || info.size > TAG_MAX_CHARS) return false;
  return /^\s*v\d+\s*$/.test(readTextOrNull(tag) ?? "");
}

/** Says whether a file is one of a backup by its name, wherever it lies. */
function describeName(realPath: string): string | null {
  const name = basename(realPath);
  if (name === PURGE_LOCK_FILE || name === BACKUP_LOCK_FILE) {
    return "it is named as the lock file of a backup";
  }
  if (
    CHUNK_ENCODINGS.some(({ suffix }) =>
      name.endsWith(suffix) && isChunkId(name.slice(0, -suffix.length))
    )
  ) {
    return "it is named as a chunk of a backup";
  }
  const metadata = realPath + METADATA_SUFFIX;
  if (isFileAt(metadata)) return `it is a revision of a backup, which ${quote(metadata)} describes`;
  if (!name.endsWith(METADATA_SUFFIX)) return null;
  const map = realPath.slice(0, -METADATA_SUFFIX.length);
  return isFileAt(map) ? `it describes ${quote(map)}, a revision of a backup` : null;
}

/** Says whether an existing file holds what only a backup's files hold. */
function describeContent({ path, info }: FileToWrite): string | null {
  if (path === undefined || !info?.isFile || info.size === 0) return null;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = readBeginning(path, SAMPLE_BYTES);
  } catch {
    return null; // it may be written, but not read
  }
  if (isChunk(bytes, info.size)) return "it holds a chunk of a backup";
  const text = new TextDecoder().decode(bytes);
  if (/^\s*\{\s*"(mapping|size)"\s*:/.test(text)) return "it holds the map of a revision";
  const hasField = (name: string) => new RegExp(`^${name}:`, "m").test(text);
  return hasField("uuid") && hasField("timestamp") && hasField("stats")
    ? "it holds the metadata of a revision"
    : null;
}

/** Whether a file looks like a chunk's: its header is in order, and it is not too long. */
function isChunk(beginning: Uint8Array, fileBytes: number): boolean {
  if (beginning.length < CHUNK_HEADER_BYTES) return false;
  const length = new DataView(beginning.buffer, beginning.byteOffset).getUint32(1);
  return length > 0 && length <= CHUNK_BYTES &&
    CHUNK_ENCODINGS.some(({ markers, maxFileBytes }) =>
      markers.includes(beginning[0]!) && fileBytes <= maxFileBytes
    );
}
