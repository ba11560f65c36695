/**
 * Requests about open files and directories: each entry is a member of `struct fuse_lowlevel_ops`
 * (fuse_lowlevel.h).
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { forgetEntry, type Operation, operation, replyDone } from "./operation.ts";
import { lendBytes, readFile, readIsWriteback, readText } from "./request.ts";

export const FILE_OPERATIONS: readonly Operation[] = [
  operation("open", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, fi) => ({ ino: Number(ino), flags: readFile(fi).flags }),
    reply: (replier, req, opened) => replier.opened(req, opened),
    undo: (handlers, { handle = 0 }, op) => handlers.release?.({ ...op, handle }, null),
  }),
  operation("read", {
    parameters: [
      "u64", // fuse_ino_t ino
      "usize", // size_t size
      "i64", // off_t off
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, size, off, fi) => ({
      ino: Number(ino),
      size: Number(size),
      offset: Number(off),
      ...readFile(fi),
    }),
    reply: (replier, req, data, { size }) => replier.data(req, data, size),
    absent: Errno.EINVAL,
  }),
  operation("write", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // const char *buf
      "usize", // size_t size
      "i64", // off_t off
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, buf, size, off, fi) => ({
      ino: Number(ino),
      data: lendBytes(buf, size),
      offset: Number(off),
      handle: readFile(fi).handle,
      isWriteback: readIsWriteback(fi),
    }),
    reply: (replier, req, count, { data }) =>
      replier.written(req, count ?? data.length, data.length),
    absent: Errno.EROFS,
    isLending: true,
  }),
  operation("flush", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, fi) => ({ ino: Number(ino), ...readFile(fi) }),
    reply: replyDone,
  }),
  operation("release", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, fi) => ({ ino: Number(ino), ...readFile(fi) }),
    reply: replyDone,
  }),
  operation("fsync", {
    parameters: [
      "u64", // fuse_ino_t ino
      "i32", // int datasync
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, datasync, fi) => ({ ino: Number(ino), dataOnly: datasync !== 0, ...readFile(fi) }),
    reply: replyDone,
  }),
  operation("create", {
    parameters: [
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
      "u32", // mode_t mode
      "pointer", // struct fuse_file_info *fi
    ],
    read: (parent, name, mode, fi) => ({
      parent: Number(parent),
      name: readText(name),
      mode,
      flags: readFile(fi).flags,
    }),
    reply: (replier, req, created) => replier.created(req, created),
    undo: (handlers, { entry: { attributes: { ino } }, file: { handle = 0 } }, { flags }) => {
      forgetEntry(handlers, ino);
      return handlers.release?.({ ino, handle, flags }, null);
    },
    absent: "read-only",
  }),
  operation("fallocate", {
    parameters: [
      "u64", // fuse_ino_t ino
      "i32", // int mode
      "i64", // off_t offset
      "i64", // off_t length
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, mode, offset, length, fi) => ({
      ino: Number(ino),
      mode,
      offset: Number(offset),
      length: Number(length),
      ...readFile(fi),
    }),
    reply: replyDone,
  }),
  operation("lseek", {
    parameters: [
      "u64", // fuse_ino_t ino
      "i64", // off_t off
      "i32", // int whence
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, off, whence, fi) => ({
      ino: Number(ino),
      offset: Number(off),
      whence,
      ...readFile(fi),
    }),
    reply: (replier, req, offset) => replier.offset(req, offset),
  }),
  operation("opendir", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, fi) => ({ ino: Number(ino), ...readFile(fi) }),
    reply: (replier, req, opened) => replier.opened(req, opened),
    undo: (handlers, { handle = 0 }, op) => handlers.releasedir?.({ ...op, handle }, null),
  }),
  operation("readdir", {
    parameters: [
      "u64", // fuse_ino_t ino
      "usize", // size_t size
      "i64", // off_t off
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, size, off, fi) => ({
      ino: Number(ino),
      size: Number(size),
      offset: Number(off),
      ...readFile(fi),
    }),
    reply: (replier, req, entries, { size }) => replier.entries(req, entries, size),
  }),
  operation("readdirplus", {
    parameters: [
      "u64", // fuse_ino_t ino
      "usize", // size_t size
      "i64", // off_t off
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, size, off, fi) => ({
      ino: Number(ino),
      size: Number(size),
      offset: Number(off),
      ...readFile(fi),
    }),
    reply: (replier, req, entries, { size }) => replier.entriesPlus(req, entries, size),
  }),
  operation("releasedir", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, fi) => ({ ino: Number(ino), ...readFile(fi) }),
    reply: replyDone,
  }),
  operation("fsyncdir", {
    parameters: [
      "u64", // fuse_ino_t ino
      "i32", // int datasync
      "pointer", // struct fuse_file_info *fi
    ],
    read: (ino, datasync, fi) => ({ ino: Number(ino), dataOnly: datasync !== 0, ...readFile(fi) }),
    reply: replyDone,
  }),
];
