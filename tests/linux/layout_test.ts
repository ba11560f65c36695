import { assertEquals } from "../assert.ts";
import { testUnless } from "../support/machine.ts";
import { compilerProblem, runC } from "./c_program.ts";
import { AIOCB_LAYOUT } from "../../lib/linux/aio.ts";
import { LOOP_CONFIG } from "../../lib/linux/loop_attach.ts";
import { LOOP_INFO64 } from "../../lib/linux/loop_devices.ts";
import { FLOCK } from "../../lib/linux/locks.ts";
import { STATX } from "../../lib/linux/file_status.ts";
import { STATFS } from "../../lib/linux/file_space.ts";
import { POLLFD } from "../../lib/linux/descriptors.ts";
import { EPOLL_EVENT } from "../../lib/linux/readiness.ts";
import {
  ADDRINFO,
  SOCKADDR_IN,
  SOCKADDR_IN6,
  SOCKADDR_UN,
} from "../../lib/linux/socket_address.ts";
import { IOVEC, MSGHDR, TIMEVAL } from "../../lib/linux/stream_socket.ts";
import { RUSAGE } from "../../lib/linux/storage_wait.ts";
import { SIGACTION_LAYOUT } from "../../lib/linux/signals.ts";

testUnless(compilerProblem, "Struct layouts are the C compiler's", () => {
  const structs = [
    { type: "struct statfs", layout: STATFS },
    { type: "struct statx", layout: STATX },
    { type: "struct flock", layout: FLOCK },
    { type: "struct loop_info64", layout: LOOP_INFO64 },
    { type: "struct loop_config", layout: LOOP_CONFIG },
    { type: "struct pollfd", layout: POLLFD },
    { type: "struct sigaction", layout: SIGACTION_LAYOUT },
    { type: "struct aiocb", layout: AIOCB_LAYOUT },
    { type: "struct sockaddr_un", layout: SOCKADDR_UN },
    { type: "struct sockaddr_in", layout: SOCKADDR_IN },
    { type: "struct sockaddr_in6", layout: SOCKADDR_IN6 },
    { type: "struct addrinfo", layout: ADDRINFO },
    { type: "struct msghdr", layout: MSGHDR },
    { type: "struct iovec", layout: IOVEC },
    { type: "struct timeval", layout: TIMEVAL },
    { type: "struct epoll_event", layout: EPOLL_EVENT },
    { type: "struct rusage", layout: RUSAGE },
  ];
  const expected: string[] = [];
  const lines: string[] = [];
  for (const { type, layout } of structs) {
    for (const [name, value] of Object.entries(layout)) {
      // The signal event is a member of the control block.
      const member = name === "sigev_notify" ? "aio_sigevent.sigev_notify" : name;
      const formula = name === "bytes" ? `sizeof(${type})` : `offsetof(${type}, ${member})`;
      lines.push(`printf("${type}.${name} %zu\\n", ${formula});`);
      expected.push(`${type}.${name} ${value}`);
    }
  }
  const text = runC(`
      #define _GNU_SOURCE
      #include <aio.h>
      #include <fcntl.h>
      #include <linux/loop.h>
      #include <netdb.h>
      #include <netinet/in.h>
      #include <poll.h>
      #include <signal.h>
      #include <stddef.h>
      #include <stdio.h>
      #include <sys/epoll.h>
      #include <sys/socket.h>
      #include <sys/resource.h>
      #include <sys/stat.h>
      #include <sys/time.h>
      #include <sys/un.h>
      #include <sys/vfs.h>
      int main(void) { ${lines.join("\n")} return 0; }
    `);
  assertEquals(text.split("\n"), expected);
});
