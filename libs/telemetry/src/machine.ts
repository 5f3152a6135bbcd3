// The machine's own time, which needs no clock to be right and is the same for every process of a boot.
import { readFile } from 'node:fs/promises';
import { uptime } from 'node:os';

/** Identifies this boot of the machine; empty where the kernel does not say. */
export async function machineBootId(): Promise<string> {
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
}

/** `elapsedMs` only goes forward, sleep of the machine included; its zero is the boot. `wallMs`: Unix milliseconds. */
export const machineClock = {
  elapsedMs: () => uptime() * 1_000,
  wallMs: () => Date.now(),
};
