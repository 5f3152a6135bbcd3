// One agent a state folder. The lock is a file that names its holder by process id and start time, so that a reused id
// does not count as the holder, and a dead holder's lock is taken over at once.
//
// Two agents that find the same dead lock race for a `takeover` folder; making a folder is atomic, and only its maker
// may replace the lock. It names its maker too: one left by a crash is removed at once, or, where the crash came before the
// name, after 30 s.
import { link, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { hasCode, StateFolderInUseError } from '../errors.ts';
import { writeDraft, writeDurably } from './durable-file.ts';
import { isProcessAlive, machineBootId, processStartTicks } from './processes.ts';

const TAKEOVER_STALE_MS = 30_000;
const MAKER = 'maker';
const holderSchema = z.object({ pid: z.int(), startTicks: z.string(), machineBootId: z.string() });
type Holder = z.infer<typeof holderSchema>;

export interface FolderLock {
  /** Idempotent; leaves a lock that is no longer ours alone. */
  release(): Promise<void>;
}

/** @throws StateFolderInUseError when a living agent holds the folder */
export async function lockFolder(folder: string): Promise<FolderLock> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'agent.lock');
  const mine: Holder = {
    pid: process.pid,
    startTicks: (await processStartTicks(process.pid)) ?? '',
    machineBootId: await machineBootId(),
  };
  if (!(await tryCreate(path, mine))) await takeOver(folder, path, mine);
  return {
    release: async () => {
      const holder = await readHolder(path);
      if (holder !== null && isSame(holder, mine)) await rm(path, { force: true });
    },
  };
}

/** The lock appears with its holder's name in it: an empty one would look like nobody's to whoever comes at that moment. */
async function tryCreate(path: string, mine: Holder): Promise<boolean> {
  const draft = await writeDraft(path, JSON.stringify(mine));
  try {
    await link(draft, path);
    return true;
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return false;
    // Filesystems without hard links give the lock in two steps.
    if (hasCode(cause, 'EPERM', 'ENOTSUP')) return tryCreateInTwoSteps(path, mine);
    throw cause;
  } finally {
    await rm(draft, { force: true });
  }
}

async function tryCreateInTwoSteps(path: string, mine: Holder): Promise<boolean> {
  try {
    await writeFile(path, JSON.stringify(mine), { flag: 'wx', mode: 0o600 });
    return true;
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return false;
    throw cause;
  }
}

async function takeOver(folder: string, path: string, mine: Holder): Promise<void> {
  await refuseLivingHolder(folder, path);
  const takeover = join(folder, 'agent.lock.takeover');
  if (await isAbandoned(takeover)) await rm(takeover, { recursive: true, force: true });
  try {
    await mkdir(takeover);
  } catch (cause) {
    if (!hasCode(cause, 'EEXIST')) throw cause;
    throw new StateFolderInUseError(`Another agent is just taking over ${folder}; start again in a moment.`);
  }
  try {
    await writeFile(join(takeover, MAKER), JSON.stringify(mine), { mode: 0o600 });
    await refuseLivingHolder(folder, path);
    await writeDurably(path, JSON.stringify(mine));
    // Two that both found it abandoned may both get here; the lock is whose name is in it.
    const holder = await readHolder(path);
    if (holder === null || !isSame(holder, mine)) await refuseLivingHolder(folder, path);
  } finally {
    await rm(takeover, { recursive: true, force: true });
  }
}

/** False when there is none. */
async function isAbandoned(takeover: string): Promise<boolean> {
  const maker = await readHolder(join(takeover, MAKER));
  if (maker !== null) return !(await isLiving(maker));
  const age = await stat(takeover).then(
    ({ mtimeMs }) => Math.abs(Date.now() - mtimeMs),
    () => 0,
  );
  return age > TAKEOVER_STALE_MS;
}

async function refuseLivingHolder(folder: string, path: string): Promise<void> {
  const holder = await readHolder(path);
  if (holder === null || !(await isLiving(holder))) return;
  throw new StateFolderInUseError(
    `${folder} is in use by the agent with process id ${holder.pid}. Stop it, or give this agent a folder of its own.`,
  );
}

async function isLiving(holder: Holder): Promise<boolean> {
  if (holder.machineBootId !== (await machineBootId()) || !isProcessAlive(holder.pid)) return false;
  return holder.startTicks === '' || holder.startTicks === (await processStartTicks(holder.pid));
}

/** A lock that cannot be read was cut off while its holder wrote it: nobody's. */
async function readHolder(path: string): Promise<Holder | null> {
  try {
    return holderSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}

function isSame(left: Holder, right: Holder): boolean {
  return left.pid === right.pid && left.startTicks === right.startTicks && left.machineBootId === right.machineBootId;
}
