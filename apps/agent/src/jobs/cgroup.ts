// Limits of tasks by cgroup v2, where this agent may make groups: in the folder that the configuration names (delegated to
// it, with `cpu` and `memory`), or below its own group when that can be done. Elsewhere tasks run without limits, at a
// lower priority, and what leaves their process group is found by its environment.
//
// Only what was claimed can be limited: cores, and memory where the claim is of `cpu` devices with a memory size.
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResourceClaim } from '#domain';

const MOUNT = '/sys/fs/cgroup';
const PERIOD_MICROSECONDS = 100_000;

/** File of a group → what is written to it. */
export function cgroupLimits(claim: ResourceClaim): Readonly<Record<string, string>> {
  if (claim.deviceType !== 'cpu') return {};
  const memoryBytes = (claim.memoryBytesPerDevice ?? 0) * claim.count;
  return {
    'cpu.max': `${claim.count * PERIOD_MICROSECONDS} ${PERIOD_MICROSECONDS}`,
    ...(memoryBytes > 0 ? { 'memory.max': String(memoryBytes), 'memory.oom.group': '1' } : {}),
  };
}

export class TaskCgroups {
  readonly #parent: string | null;

  /** Null: this machine has none for us. */
  constructor(parent: string | null) {
    this.#parent = parent;
  }

  get isAvailable(): boolean {
    return this.#parent !== null;
  }

  /** The task's group, with its limits; null when there is none. */
  async create(taskId: string, claim: ResourceClaim): Promise<string | null> {
    if (this.#parent === null) return null;
    const folder = join(this.#parent, taskId);
    try {
      await mkdir(folder, { recursive: true });
      for (const [name, value] of Object.entries(cgroupLimits(claim))) await writeFile(join(folder, name), value);
      return folder;
    } catch {
      await rmdir(folder).catch(() => undefined);
      return null;
    }
  }

  /** Everything in it, at once; then the group goes. Quietly nothing when there is none. */
  async end(taskId: string): Promise<void> {
    if (this.#parent === null) return;
    const folder = join(this.#parent, taskId);
    await writeFile(join(folder, 'cgroup.kill'), '1', { flag: 'r+' }).catch(() => undefined);
    await rmdir(folder).catch(() => undefined);
  }
}

/** `configured`: the delegated folder of the configuration. */
export async function findCgroupParent(configured: string | undefined, mount = MOUNT): Promise<string | null> {
  const own = configured ?? (await ownCgroup(mount));
  if (own === null) return null;
  const parent = configured ?? join(own, 'atoll-tasks');
  try {
    await enable(own);
    await mkdir(parent, { recursive: true });
    await enable(parent);
    const controllers = await readFile(join(parent, 'cgroup.subtree_control'), 'utf8');
    return /\bcpu\b/.test(controllers) && /\bmemory\b/.test(controllers) ? parent : null;
  } catch {
    return null;
  }
}

async function enable(folder: string): Promise<void> {
  await writeFile(join(folder, 'cgroup.subtree_control'), '+cpu +memory', { flag: 'r+' });
}

async function ownCgroup(mount: string): Promise<string | null> {
  const text = await readFile('/proc/self/cgroup', 'utf8').catch(() => '');
  const path = /^0::(\/.*)$/m.exec(text)?.[1];
  return path === undefined ? null : join(mount, path);
}
