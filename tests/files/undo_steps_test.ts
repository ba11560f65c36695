import { assertEquals } from "../assert.ts";
import { Mount, mountProblem, testUnless } from "../support/machine.ts";
import { lockMounts } from "../support/mount_lock.ts";
import { scriptCommand, tryRun } from "../support/programs.ts";

/** Runs a shell command line in user and mount namespaces of its own. */
function inNamespaces(commandLine: string) {
  return tryRun("unshare", "--user", "--map-root-user", "--mount", "bash", "-c", commandLine);
}

async function problem(): Promise<string | null> {
  using _lock = lockMounts("alone");
  const { code, stderr } = await inNamespaces("true");
  return code === 0 ? null : `no user namespaces: ${stderr.trim()}`;
}

testUnless(
  mountProblem() ?? await problem(),
  "A ServerStep does not try for ever to remove a mount that it may not remove",
  async () => {
    using _lock = lockMounts("alone");
    using mount = new Mount("-t", "tmpfs", "tmpfs");
    const code = scriptCommand(`
      import { ServerStep } from lib("files/undo_steps.ts");
      const step = new ServerStep({ image: ${JSON.stringify(mount.path)} }, null);
      try {
        await step.force();
      } catch (error) {
        console.log(error.message);
      }
    `);
    assertEquals(await inNamespaces(`timeout 60 ${code}`), {
      code: 0,
      stdout: `Cannot unmount "${mount.path}": another user namespace has mounted it\n`,
      stderr: "",
    });
  },
);
