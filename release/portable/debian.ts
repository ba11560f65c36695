/**
 * Downloads packages of Debian 12 and their sources, whatever the host and its machine are: all it
 * takes is apt-get and Debian's keys. apt checks the signatures; nothing of the host's own lists
 * and packages is used or changed.
 *
 * @module
 */

import { statOrNull } from "../../lib/linux/file_status.ts";
import { runProgram } from "../program.ts";

const RELEASE = "bookworm";
const ARCHIVES = [
  ["http://deb.debian.org/debian", RELEASE],
  ["http://deb.debian.org/debian-security", `${RELEASE}-security`],
] as const;
/** In the package debian-archive-keyring, which Ubuntu has too. */
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** A version of a package. */
export interface PackageVersion {
  readonly name: string;
  readonly version: string;
}

/** Downloads `.deb` files. @param architecture Debian's name for it, such as "arm64". */
export function downloadPackages(
  names: readonly string[],
  { architecture, folder }: { architecture: string; folder: string },
): void {
  withApt({ kind: "deb", architecture }, (apt) => apt(["download", ...names], folder));
}

/** Downloads all files of source packages. */
export function downloadSources(packages: readonly PackageVersion[], folder: string): void {
  const names = packages.map(({ name, version }) => `${name}=${version}`);
  withApt(
    { kind: "deb-src", architecture: "amd64" },
    (apt) => apt(["source", "--download-only", ...names], folder),
  );
}

/** Runs apt-get with lists and a configuration of its own; the host's proxies stay in force. */
function withApt(
  { kind, architecture }: { kind: "deb" | "deb-src"; architecture: string },
  use: (apt: (args: readonly string[], cwd: string) => void) => void,
): void {
  if (statOrNull(KEYS) === null) {
    throw new Error(`there is no ${KEYS} (package debian-archive-keyring)`);
  }
  const scratch = Deno.makeTempDirSync({ prefix: "backy_extract_apt_" });
  try {
    Deno.mkdirSync(`${scratch}/lists/partial`, { recursive: true });
    Deno.mkdirSync(`${scratch}/cache/archives/partial`, { recursive: true });
    Deno.writeTextFileSync(
      `${scratch}/sources.list`,
      ARCHIVES.map(([url, suite]) => `${kind} [signed-by=${KEYS}] ${url} ${suite} main\n`).join(""),
    );
    Deno.writeTextFileSync(`${scratch}/apt.conf`, configuration(scratch, architecture));
    const env = { APT_CONFIG: `${scratch}/apt.conf`, LC_ALL: "C" };
    const apt = (args: readonly string[], cwd: string) =>
      void runProgram("apt-get", [...args, "--quiet", "--quiet"], { cwd, env });
    apt(["update"], scratch);
    use(apt);
  } finally {
    Deno.removeSync(scratch, { recursive: true });
  }
}

/** Source: apt.conf(5). */
function configuration(scratch: string, architecture: string): string {
  return `
    APT::Architecture "${architecture}";
    APT::Architectures { "${architecture}"; };
    APT::Sandbox::User "root"; // nobody else can write to the scratch folder
    APT::Update::Error-Mode "any"; // else it succeeds without a network
    Acquire::Languages "none";
    Acquire::Retries "1"; // with the defaults, a mirror that does not answer takes eight minutes
    Acquire::http::Timeout "15";
    Dir::Cache "${scratch}/cache";
    Dir::Etc::sourcelist "${scratch}/sources.list";
    Dir::Etc::sourceparts "/dev/null";
    Dir::Etc::preferences "/dev/null";
    Dir::Etc::preferencesparts "/dev/null";
    Dir::State::Lists "${scratch}/lists";
    Dir::State::status "/dev/null";
    #clear APT::Update::Pre-Invoke;
    #clear APT::Update::Post-Invoke;
    #clear APT::Update::Post-Invoke-Success;
  `;
}
