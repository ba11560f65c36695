/**
 * Keeps a restore from overwriting backups: the one that it reads, which no option overrides, and
 * any other, by mistake, which `--force` overrides. Files of other backups are recognised by the
 * directory they lie in, by their name, and by their content (a hard link or bind mount may have
 * any name).
 *
 * @module
 */

import { basename, dirname } from "node:path";

import { type FileStatus, isFileAt, isSameFile, statOrNull } from "../linux/file_status.ts";
import { pathIn, readBeginning, readTextOrNull } from "../linux/paths.ts";
import {
  CHUNK_BYTES,
  CHUNK_ENCODINGS,
  CHUNK_HEADER_BYTES,
  CHUNKS_DIR,
  isChunkId,
  METADATA_SUFFIX,
  PURGE_LOCK_FILE,
  STORE_TAG_FILE,
} from "../store/layout.ts";
import { quote } from "../wording.ts";
import type { StoreInUse } from "./target.ts";

/** A file that is to be written. */
export interface FileToWrite {
  /** A path to open it by; not needed if it does not exist. */
  readonly path?: string;
  /** Where it is or will be, symbolic links resolved; `null` if it has lost its name. */
  readonly realPath: string | null;
  /** `null` if it does not exist yet. */
  readonly info: FileStatus | null;
}

/** Bytes of a file that are looked at: the metadata of a revision is seldom longer. */
const SAMPLE_BYTES = 4096;

/** Lock file of a running backup, in the backup directory. */
const BACKUP_LOCK_FILE = ".backup";

/** Files of a backup directory that do not belong to a revision. */
const OWN_NAMES: ReadonlySet<string> = new Set([PURGE_LOCK_FILE, BACKUP_LOCK_FILE, "config"]);

/** Longest version tag: "v2" or the like, with some white space. */
const TAG_MAX_CHARS = 16;

/**
 * Says why a restore must not write to a file at all.
 *
 * @param options.stores The backup directories that are read.
 * @returns The reason; `null` if there is none.
 */
export function storeOverlap(
  file: FileToWrite,
  { stores }: { stores: readonly StoreInUse[] },
): string | null {
  for (const store of stores) {
    const overlap = overlapWith(store, file);
    if (overlap !== null) return overlap;
  }
  return null;
}

function overlapWith(store: StoreInUse, { realPath, info }: FileToWrite): string | null {
  const revision = store.revisionPath === undefined ? null : statOrNull(store.revisionPath);
  if (info && revision && isSameFile(info, revision)) return "it is the revision to be restored";
  if (realPath === null) return null;
  // Compared by what they are, because a bind mount may give a folder a second name.
  const folders = foldersAbove(realPath);
  const isAt = (path: string, folder: string) => {
    const wanted = statOrNull(path), found = statOrNull(folder);
    return wanted !== null && found !== null && isSameFile(wanted, found);
  };
  const chunks = pathIn(store.basedir, CHUNKS_DIR);
  if (folders.some((folder) => isAt(chunks, folder))) {
    return "it lies inside the chunks directory of the backup";
  }
  if (!isAt(store.basedir, folders[0]!)) return null;
  const name = basename(realPath);
  const isMap = statOrNull(realPath + METADATA_SUFFIX) !== null;
  return isMap || name.endsWith(METADATA_SUFFIX) || OWN_NAMES.has(name)
    ? "it is one of the backup's own files"
    : null;
}

/**
 * Says why a file should not be written: it belongs to a backup, or has other names.
 *
 * @returns Clauses such as `it lies in the backup directory "/srv/backy/vm1"`; `--force` overrides
 *   each of them.
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

/** Says which backup a path belongs to, by the folders above it and the files beside it. */
function describePlace(realPath: string | null): string | null {
  if (realPath === null) return null;
  const folders = foldersAbove(realPath);
  const basedir = folders.find((folder) => statOrNull(`${folder}/${STORE_TAG_FILE}`) !== null);
  if (basedir !== undefined) return `it lies in the backup directory ${quote(basedir)}`;
  const chunks = folders.find(isChunksFolder);
  if (chunks !== undefined) return `it lies in the chunks directory of a backup, ${quote(chunks)}`;
  return describeName(realPath);
}

/** The folders above a path, nearest first. */
function foldersAbove(path: string): string[] {
  const folders: string[] = [];
  for (let folder = dirname(path);; folder = dirname(folder)) {
    folders.push(folder);
    if (folder === dirname(folder)) return folders;
  }
}

/** Needed because a chunks directory may be mounted alone, under any name. */
function isChunksFolder(folder: string): boolean {
  const tag = `${folder}/${basename(STORE_TAG_FILE)}`;
  const info = statOrNull(tag);
  if (!info?.isFile || info.size > TAG_MAX_CHARS) return false;
  return /^\s*v\d+\s*$/.test(readTextOrNull(tag) ?? "");
}

/** Recognises a file of a backup by its name, wherever it lies. */
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

/** Recognises an existing file of a backup by its content. */
function describeContent({ path, info }: FileToWrite): string | null {
  if (path === undefined || !info?.isFile || info.size === 0) return null;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = readBeginning(path, SAMPLE_BYTES);
  } catch {
    return null; // it may be writable, but not readable
  }
  if (isChunk(bytes, info.size)) return "it holds a chunk of a backup";
  const text = new TextDecoder().decode(bytes);
  if (/^\s*\{\s*"(mapping|size)"\s*:/.test(text)) return "it holds the map of a revision";
  const hasField = (name: string) => new RegExp(`^${name}:`, "m").test(text);
  return hasField("uuid") && hasField("timestamp") && hasField("stats")
    ? "it holds the metadata of a revision"
    : null;
}

/** Whether a file looks like a chunk file: it has such a header, and is not too long. */
function isChunk(beginning: Uint8Array, fileBytes: number): boolean {
  if (beginning.length < CHUNK_HEADER_BYTES) return false;
  const length = new DataView(beginning.buffer, beginning.byteOffset).getUint32(1);
  return length > 0 && length <= CHUNK_BYTES &&
    CHUNK_ENCODINGS.some(({ markers, maxFileBytes }) =>
      markers.includes(beginning[0]!) && fileBytes <= maxFileBytes
    );
}
