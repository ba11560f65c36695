"""Writes through one file of a mount and reads through others that show the same bytes.

Arguments: the image, a partition of it, the partition's offset in bytes. The last MiB of the
partition is written to.
"""

import mmap
import os
import random
import sys
import threading

image_path, part_path, offset = sys.argv[1], sys.argv[2], int(sys.argv[3])
size = os.stat(part_path).st_size
base = size - (1 << 20)
rng = random.Random(13)


def read_by(fd, view, at, length, way):
    if way == "mmap":
        return view[at : at + length]
    return os.pread(fd, length, at)


def write_by(fd, view, at, data, way):
    if way == "mmap":
        view[at : at + len(data)] = data
        start = at // mmap.PAGESIZE * mmap.PAGESIZE
        view.flush(start, at + len(data) - start)
    else:
        assert os.pwrite(fd, data, at) == len(data)


image = os.open(image_path, os.O_RDWR)
part = os.open(part_path, os.O_RDWR)
image_view = mmap.mmap(image, 0)
part_view = mmap.mmap(part, 0)

# Each way to write, seen by each way to read, with the pages cached before.
for round in range(400):
    at = base + rng.randrange((1 << 20) - 9000)
    length = rng.randrange(1, 9000)
    data = rng.randbytes(length)
    files = [(image, image_view, offset), (part, part_view, 0)]
    if round % 2:
        files.reverse()
    (out_fd, out_view, out_start), (in_fd, in_view, in_start) = files
    for way in "read", "mmap":
        read_by(in_fd, in_view, in_start + at, length, way)
    write_by(out_fd, out_view, out_start + at, data, ["read", "mmap"][round // 2 % 2])
    for way in "read", "mmap":
        for fd, view, start in files:
            assert read_by(fd, view, start + at, length, way) == data, (round, way, at, length)

# Pages that were cached by an open file that is closed now.
os.close(part)
part_view.close()
os.pwrite(image, b"written while closed", offset + base + 5)
again = os.open(part_path, os.O_RDONLY)
assert os.pread(again, 20, base + 5) == b"written while closed"

# Two writers through different files, page by page in turn, beside readers: nobody hangs, and what
# was written last is there.
part = os.open(part_path, os.O_RDWR)
part_view = mmap.mmap(part, 0)
done = threading.Event()


def keep_reading(fd, view, start):
    while not done.is_set():
        for at in range(base, base + (1 << 20), 65536):
            os.pread(fd, 65536, start + at)
            view[start + at]


def keep_writing(fd, view, start, pages, letter, by_mmap):
    for _ in range(8):
        for page in pages:
            at = start + base + page * 4096
            if by_mmap:
                view[at : at + 4096] = letter * 4096
                view.flush(at, 4096)
            else:
                os.pwrite(fd, letter * 4096, at)


threads = [
    threading.Thread(target=keep_writing, args=(image, image_view, offset, range(0, 256, 2), b"a", False)),
    threading.Thread(target=keep_writing, args=(part, part_view, 0, range(1, 256, 2), b"b", True)),
]
readers = [
    threading.Thread(target=keep_reading, args=(image, image_view, offset)),
    threading.Thread(target=keep_reading, args=(part, part_view, 0)),
]
for thread in threads + readers:
    thread.start()
for thread in threads:
    thread.join()
done.set()
for thread in readers:
    thread.join()
expected = (b"a" * 4096 + b"b" * 4096) * 128
for fd, start in (image, offset), (part, 0):
    assert os.pread(fd, 1 << 20, start + base) == expected, "different at the end"

# The same pages through both: either wins, but both files agree in the end.
threads = [
    threading.Thread(target=keep_writing, args=(image, image_view, offset, range(64), b"c", True)),
    threading.Thread(target=keep_writing, args=(part, part_view, 0, range(64), b"d", False)),
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert os.pread(image, 64 * 4096, offset + base) == os.pread(part, 64 * 4096, base)
print("coherent")
