/*
 * A plain restore in C, to compare the tools with: threads, liblzo2, the page cache, a flush.
 * `native_restore.ts` compiles and runs it.
 *
 *     native_restore restore|compare PLAN STORE TARGET THREADS
 *
 * restore: writes the image to a new file or to a block device, leaves or punches holes where
 *          there are zeros, and flushes.
 * compare: reads the target, and compares the hash of each chunk with its id.
 *
 * PLAN has a line for each chunk of the image: its id, or "-" for zeros. Each chunk has 4 MiB.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 4 << 20, GRANULE = 64 << 10, LONGEST_FILE = CHUNK + CHUNK / 16 + 72, HEADER = 5 };

/* Declared here, so that only the library has to be installed. Source: lzo/lzo1x.h of 2.10. */
int lzo1x_decompress_safe(const unsigned char *src, size_t src_len, unsigned char *dst,
                          size_t *dst_len, void *wrkmem);

typedef char chunk_id[33];

static chunk_id *ids;
static long seq_count, next_seq;
static const char *store, *target_path;
static int target;
static bool is_compare, is_device;

static void fail(const char *what) {
  fprintf(stderr, "native_restore: %s: %s\n", what, errno ? strerror(errno) : "is not right");
  exit(1);
}

static uint64_t rotl(uint64_t x, int by) { return x << by | x >> (64 - by); }

static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdULL;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ULL;
  return x ^ x >> 33;
}

/* MurmurHash3_x64_128 with seed 0 of one chunk. */
static void hash_chunk(const uint8_t *bytes, uint64_t hash[2]) {
  const uint64_t c1 = 0x87c37b91114253d5ULL, c2 = 0x4cf5ad432745937fULL;
  uint64_t a = 0, b = 0;
  for (size_t at = 0; at < CHUNK; at += 16) {
    uint64_t words[2];
    memcpy(words, bytes + at, 16);
    a ^= rotl(words[0] * c1, 31) * c2;
    a = (rotl(a, 27) + b) * 5 + 0x52dce729;
    b ^= rotl(words[1] * c2, 33) * c1;
    b = (rotl(b, 31) + a) * 5 + 0x38495ab5;
  }
  a ^= CHUNK, b ^= CHUNK;
  a += b, b += a;
  a = mix(a), b = mix(b);
  a += b, b += a;
  hash[0] = a, hash[1] = b;
}

static bool is_zero(const uint8_t *bytes, size_t length) {
  return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void verify(const uint8_t *bytes, const char *id) {
  uint8_t hash[16];
  char text[33];
  hash_chunk(bytes, (uint64_t *)hash);
  for (int i = 0; i < 16; i++) sprintf(text + 2 * i, "%02x", hash[i]);
  errno = 0;
  if (strcmp(text, id) != 0) fail(id);
}

static void decode(const char *id, uint8_t *file, uint8_t *content) {
  char path[4096];
  snprintf(path, sizeof path, "%s/chunks/%.2s/%s.chunk.lzo", store, id, id);
  int fd = open(path, O_RDONLY);
  if (fd < 0) fail(path);
  ssize_t length = read(fd, file, LONGEST_FILE);
  if (length < 0) fail(path);
  close(fd);
  size_t bytes = CHUNK;
  errno = 0;
  int result = lzo1x_decompress_safe(file + HEADER, length - HEADER, content, &bytes, NULL);
  if (result != 0 || bytes != CHUNK) fail(path);
}

/* A new file has holes there already. */
static void punch(off_t offset, off_t length) {
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (is_device && fallocate(target, mode, offset, length) != 0) fail(target_path);
}

static void write_chunk(const uint8_t *content, off_t offset) {
  for (size_t start = 0, end; start < CHUNK; start = end) {
    bool zero = is_zero(content + start, GRANULE);
    end = start + GRANULE;
    while (end < CHUNK && is_zero(content + end, GRANULE) == zero) end += GRANULE;
    if (zero) {
      punch(offset + start, end - start);
      continue;
    }
    for (size_t at = start; at < end;) {
      ssize_t written = pwrite(target, content + at, end - at, offset + at);
      if (written < 0) fail(target_path);
      at += written;
    }
  }
}

static void read_chunk(uint8_t *content, off_t offset) {
  for (size_t at = 0; at < CHUNK;) {
    ssize_t count = pread(target, content + at, CHUNK - at, offset + at);
    if (count <= 0) fail(target_path);
    at += count;
  }
}

static void restore_chunk(long seq, uint8_t *file, uint8_t *content) {
  off_t offset = (off_t)seq * CHUNK;
  if (ids[seq][0] == '-') {
    punch(offset, CHUNK);
    return;
  }
  decode(ids[seq], file, content);
  verify(content, ids[seq]);
  write_chunk(content, offset);
}

static void compare_chunk(long seq, uint8_t *content) {
  read_chunk(content, (off_t)seq * CHUNK);
  errno = 0;
  if (ids[seq][0] != '-') verify(content, ids[seq]);
  else if (!is_zero(content, CHUNK)) fail(target_path);
}

static void *work(void *unused) {
  uint8_t *file = malloc(LONGEST_FILE), *content = malloc(CHUNK);
  for (;;) {
    long seq = __atomic_fetch_add(&next_seq, 1, __ATOMIC_RELAXED);
    if (seq >= seq_count) return unused;
    if (is_compare) compare_chunk(seq, content);
    else restore_chunk(seq, file, content);
  }
}

static void read_plan(const char *path) {
  FILE *plan = fopen(path, "r");
  if (plan == NULL) fail(path);
  chunk_id id;
  while (fscanf(plan, "%32s", id) == 1) {
    ids = realloc(ids, (seq_count + 1) * sizeof *ids);
    memcpy(ids[seq_count++], id, sizeof id);
  }
  fclose(plan);
}

static void open_target(void) {
  struct stat info;
  is_device = stat(target_path, &info) == 0 && S_ISBLK(info.st_mode);
  int flags = is_compare ? O_RDONLY : is_device ? O_WRONLY : O_WRONLY | O_CREAT | O_TRUNC;
  target = open(target_path, flags, 0644);
  if (target < 0) fail(target_path);
  if (is_compare || is_device) return;
  if (ftruncate(target, (off_t)seq_count * CHUNK) != 0) fail(target_path);
}

int main(int count, char **arguments) {
  if (count != 6) fail("arguments");
  is_compare = strcmp(arguments[1], "compare") == 0;
  read_plan(arguments[2]);
  store = arguments[3];
  target_path = arguments[4];
  open_target();
  int threads = atoi(arguments[5]);
  pthread_t started[threads];
  for (int i = 0; i < threads; i++) pthread_create(&started[i], NULL, work, NULL);
  for (int i = 0; i < threads; i++) pthread_join(started[i], NULL);
  if (!is_compare && fsync(target) != 0) fail(target_path);
  return close(target) == 0 ? 0 : 1;
}
