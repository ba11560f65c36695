/**
 * A service that takes datagrams at a socket of its own, such as a system log.
 *
 * @module
 */

import { until } from "./wait.ts";

/** In Python, as the runtime binds such sockets only with an unstable option. */
const RECEIVER = `
import json, socket, sys
address = sys.argv[1]
service = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
service.bind("\\0" + address[1:] if address.startswith("@") else address)
print(json.dumps(None), flush=True)
while True:
    print(json.dumps(service.recv(65536).decode()), flush=True)
`;

/** Takes datagrams, until it is disposed of. */
export class DatagramReceiver implements AsyncDisposable {
  /** The datagrams so far. */
  readonly received: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #listening: Promise<void>;
  #isBound = false;

  private constructor(address: string) {
    this.#child = new Deno.Command("python3", {
      args: ["-c", RECEIVER, address],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    this.#listening = this.#listen();
  }

  /** Binds a socket. @param address Path; with "@" in front, an abstract name. */
  static async at(address: string): Promise<DatagramReceiver> {
    const receiver = new DatagramReceiver(address);
    await until(() => receiver.#isBound, "a socket");
    return receiver;
  }

  /** Waits for a datagram with a text in it. */
  async untilReceived(text: string): Promise<void> {
    await until(() => this.received.some((datagram) => datagram.includes(text)), `"${text}"`);
  }

  async #listen(): Promise<void> {
    let text = "";
    for await (const piece of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = `${text}${piece}`.split("\n");
      text = lines.pop()!;
      for (const datagram of lines.map((line): string | null => JSON.parse(line))) {
        if (datagram === null) this.#isBound = true;
        else this.received.push(datagram);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#listening;
  }
}
