/** `./atoll down`: stops every quickstart of this checkout, also one whose own process is gone. */
import { setTimeout as delay } from 'node:timers/promises';
import { Instance } from './instance.ts';

const WAIT_MS = 60_000;

async function main(): Promise<void> {
  let stopped = 0;
  for (const instance of await Instance.all()) {
    const holder = await instance.holder();
    if (holder !== null) {
      process.kill(holder.pid, 'SIGTERM');
      const deadlineMs = performance.now() + WAIT_MS;
      while ((await instance.holder()) !== null && performance.now() < deadlineMs) await delay(100);
    }
    const ended = await instance.endLeftovers();
    if (holder !== null || ended.length > 0) {
      stopped += 1;
      process.stdout.write(
        `stopped ${instance.directory}${ended.length > 0 ? ` (left over: ${ended.join(', ')})` : ''}\n`,
      );
    }
  }
  if (stopped === 0) process.stdout.write('nothing runs.\n');
}

main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).stack}\n`);
  process.exit(1);
});
