/**
 * Requests about names and inodes: each entry is a member of `struct fuse_lowlevel_ops`
 * (fuse_lowlevel.h).
 *
 * @module
 */

import { Errno } from "../linux/errno.ts";
import { forgetEntry, type Operation, operation, replyDone } from "./operation.ts";
import { readBytes, readChanges, readFile, readText } from "./request.ts";

export const INODE_OPERATIONS: readonly Operation[] = [
  operation("lookup", {
    parameters: [
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
    ],
    read: (parent, name) => ({ parent: Number(parent), name: readText(name) }),
    reply: (replier, req, entry) => replier.entry(req, entry),
    undo: (handlers, entry) => entry && forgetEntry(handlers, entry.attributes.ino),
  }),
  operation("getattr", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // struct fuse_file_info *fi, or NULL
    ],
    read: (ino, fi) => ({ ino: Number(ino), handle: fi ? readFile(fi).handle : null }),
    reply: (replier, req, attributes) => replier.attributes(req, attributes),
  }),
  operation("setattr", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // struct stat *attr
      "i32", // int to_set
      "pointer", // struct fuse_file_info *fi, or NULL
    ],
    read: (ino, attr, toSet, fi) => ({
      ino: Number(ino),
      handle: fi ? readFile(fi).handle : null,
      changes: readChanges(attr, toSet),
    }),
    reply: (replier, req, attributes) => replier.attributes(req, attributes),
    absent: "read-only",
  }),
  operation("readlink", {
    parameters: [
      "u64", // fuse_ino_t ino
    ],
    read: (ino) => ({ ino: Number(ino) }),
    reply: (replier, req, target) => replier.link(req, target),
    absent: Errno.EINVAL,
  }),
  operation("mknod", {
    parameters: [
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
      "u32", // mode_t mode
      "u64", // dev_t rdev
    ],
    read: (parent, name, mode, rdev) => ({
      parent: Number(parent),
      name: readText(name),
      mode,
      rdev: Number(rdev),
    }),
    reply: (replier, req, entry) => replier.entry(req, entry),
    undo: (handlers, entry) => forgetEntry(handlers, entry.attributes.ino),
    absent: "read-only",
  }),
  operation("mkdir", {
    parameters: [
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
      "u32", // mode_t mode
    ],
    read: (parent, name, mode) => ({ parent: Number(parent), name: readText(name), mode }),
    reply: (replier, req, entry) => replier.entry(req, entry),
    undo: (handlers, entry) => forgetEntry(handlers, entry.attributes.ino),
    absent: "read-only",
  }),
  operation("unlink", {
    parameters: [
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
    ],
    read: (parent, name) => ({ parent: Number(parent), name: readText(name) }),
    reply: replyDone,
    absent: "read-only",
  }),
  operation("rmdir", {
    parameters: [
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
    ],
    read: (parent, name) => ({ parent: Number(parent), name: readText(name) }),
    reply: replyDone,
    absent: "read-only",
  }),
  operation("symlink", {
    parameters: [
      "pointer", // const char *link
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
    ],
    read: (link, parent, name) => ({
      parent: Number(parent),
      name: readText(name),
      target: readText(link),
    }),
    reply: (replier, req, entry) => replier.entry(req, entry),
    undo: (handlers, entry) => forgetEntry(handlers, entry.attributes.ino),
    absent: "read-only",
  }),
  operation("rename", {
    parameters: [
      "u64", // fuse_ino_t parent
      "pointer", // const char *name
      "u64", // fuse_ino_t newparent
      "pointer", // const char *newname
      "u32", // unsigned int flags
    ],
    read: (parent, name, newParent, newName, flags) => ({
      parent: Number(parent),
      name: readText(name),
      newParent: Number(newParent),
      newName: readText(newName),
      flags,
    }),
    reply: replyDone,
    absent: "read-only",
  }),
  operation("link", {
    parameters: [
      "u64", // fuse_ino_t ino
      "u64", // fuse_ino_t newparent
      "pointer", // const char *newname
    ],
    read: (ino, newParent, newName) => ({
      ino: Number(ino),
      newParent: Number(newParent),
      newName: readText(newName),
    }),
    reply: (replier, req, entry) => replier.entry(req, entry),
    undo: (handlers, entry) => forgetEntry(handlers, entry.attributes.ino),
    absent: "read-only",
  }),
  operation("statfs", {
    parameters: [
      "u64", // fuse_ino_t ino
    ],
    read: (ino) => ({ ino: Number(ino) }),
    reply: (replier, req, space) => replier.space(req, space),
  }),
  operation("setxattr", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // const char *name
      "pointer", // const char *value
      "usize", // size_t size
      "i32", // int flags
    ],
    read: (ino, name, value, size, flags) => ({
      ino: Number(ino),
      name: readText(name),
      value: readBytes(value, size),
      flags,
    }),
    reply: replyDone,
  }),
  operation("getxattr", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // const char *name
      "usize", // size_t size
    ],
    read: (ino, name, size) => ({ ino: Number(ino), name: readText(name), size: Number(size) }),
    reply: (replier, req, value, { size }) => replier.extendedAttribute(req, value, size),
  }),
  operation("listxattr", {
    parameters: [
      "u64", // fuse_ino_t ino
      "usize", // size_t size
    ],
    read: (ino, size) => ({ ino: Number(ino), size: Number(size) }),
    reply: (replier, req, names, { size }) => replier.extendedNames(req, names, size),
  }),
  operation("removexattr", {
    parameters: [
      "u64", // fuse_ino_t ino
      "pointer", // const char *name
    ],
    read: (ino, name) => ({ ino: Number(ino), name: readText(name) }),
    reply: replyDone,
  }),
  operation("access", {
    parameters: [
      "u64", // fuse_ino_t ino
      "i32", // int mask
    ],
    read: (ino, mask) => ({ ino: Number(ino), mask }),
    reply: replyDone,
  }),
];
