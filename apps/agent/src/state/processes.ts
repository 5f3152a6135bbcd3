// Who a process id belongs to. Ids are used again, so an id alone proves nothing: on Linux /proc tells the start time
// and the environment; elsewhere only whether the id is in use.
import { readdir, readFile } from 'node:fs/promises';

/** Start time in clock ticks since boot: with the id, a name that is never used twice. Null: no such process, or no /proc. */
export async function processStartTicks(pid: number): Promise<string | null> {
  const fields = await statOf(pid);
  return fields === null ? null : (fields[19] ?? null);
}

/** The id of the process group that it is in. Null: no such process, or no /proc. */
export async function processGroupOf(pid: number): Promise<number | null> {
  const fields = await statOf(pid);
  return fields === null ? null : Number(fields[2]);
}

/** Fields of `/proc/<pid>/stat` from the state on; null also of what is dead and not yet waited for. */
async function statOf(pid: number): Promise<string[] | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The command stands in parentheses and may hold anything; the fields begin after the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? null : fields;
  } catch {
    return null;
  }
}

/**
 * Bytes of memory that a process has to itself: what it allocated and what it holds of shared memory. Model files that it
 * maps are not counted, for the system takes them back when it needs to. 0: no such process, or no /proc.
 */
export async function memoryBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kibibytes = [...status.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm)].map(([, count]) => Number(count));
  return kibibytes.reduce((sum, count) => sum + count, 0) * 1_024;
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
