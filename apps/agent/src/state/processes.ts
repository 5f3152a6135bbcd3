// Who a process id belongs to. Ids are used again, so an id alone proves nothing: on Linux /proc tells the start time
// and the environment; elsewhere only whether the id is in use.
import { readdir, readFile } from 'node:fs/promises';

/** Start time in clock ticks since boot: with the id, a name that is never used twice. Null: no such process, or no /proc. */
export async function processStartTicks(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command stands in parentheses and may hold anything; the fields begin after the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** Identifies this boot of the machine; empty where the kernel does not say. */
export async function machineBootId(): Promise<string> {
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
}

export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The value of a variable in a living process' environment; null when there is none, or it may not be read. */
export async function environmentOf(pid: number, variable: string): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${pid}/environ`, 'utf8');
    const entry = text.split('\0').find((line) => line.startsWith(`${variable}=`));
    return entry === undefined ? null : entry.slice(variable.length + 1);
  } catch {
    return null;
  }
}

/** Every process of this user whose environment has the variable. Null where there is no /proc. */
export async function processesWith(variable: string): Promise<{ pid: number; value: string }[] | null> {
  const names = await readdir('/proc').catch(() => null);
  if (names === null || !names.includes('self')) return null;
  const found = await Promise.all(
    names
      .filter((name) => /^\d+$/.test(name))
      .map(async (name) => ({ pid: Number(name), value: await environmentOf(Number(name), variable) })),
  );
  return found.filter((entry): entry is { pid: number; value: string } => entry.value !== null);
}
