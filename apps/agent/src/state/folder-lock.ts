// One agent a state folder. The lock is a file that names its holder by process id and start time, so that a reused id
// does not count as the holder, and a dead holder's lock is taken over at once.
//
// Two agents that find the same dead lock race for a `takeover` folder; giving a folder its name is atomic, and only whoever
// did may replace the lock. It appears with its maker's name in it, so that one left by a kill is removed at once. Where the
// name cannot be read all the same (the power went before it was on disk), it goes after 30 s.
import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { isStale, sweepDrafts, writeDraft, writeDurably } from '#files';
import { machineBootId } from '#telemetry';
import { hasCode, StateFolderInUseError } from '../errors.ts';
import { isProcessAlive, processStartTicks } from './processes.ts';

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
  await sweepDrafts(folder, `.${basename(path)}.`);
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
  if (await isAbandoned(takeover)) await takeAway(folder, takeover, isAbandoned);
  if (!(await tryBegin(folder, takeover, mine))) {
    throw new StateFolderInUseError(`Another agent is just taking over ${folder}; start again in a moment.`);
  }
  try {
    await refuseLivingHolder(folder, path);
    await writeDurably(path, JSON.stringify(mine));
    // Two that both found it abandoned may both get here; the lock is whose name is in it.
    const holder = await readHolder(path);
    if (holder === null || !isSame(holder, mine)) await refuseLivingHolder(folder, path);
  } finally {
    await takeAway(folder, takeover, async (found) => {
      const maker = await readHolder(join(found, MAKER));
      return maker !== null && isSame(maker, mine);
    });
  }
}

/** Looked at once it is out of everybody's way: between a look and a removal it may have become another's. */
async function takeAway(folder: string, takeover: string, mayGo: (found: string) => Promise<boolean>): Promise<void> {
  const aside = join(folder, `.${basename(takeover)}.${randomUUID()}`);
  try {
    await rename(takeover, aside);
  } catch (cause) {
    if (hasCode(cause, 'ENOENT')) return;
    throw cause;
  }
  if (!(await mayGo(aside))) await rename(aside, takeover).catch(() => undefined);
  await rm(aside, { recursive: true, force: true });
}

/** False when another one is there. An empty folder is nobody's: a rename takes its place. */
async function tryBegin(folder: string, takeover: string, mine: Holder): Promise<boolean> {
  const draft = join(folder, `.${basename(takeover)}.${randomUUID()}`);
  await mkdir(draft, { mode: 0o700 });
  try {
    await writeFile(join(draft, MAKER), JSON.stringify(mine), { mode: 0o600 });
    await rename(draft, takeover);
    return true;
  } catch (cause) {
    if (hasCode(cause, 'EEXIST', 'ENOTEMPTY')) return false;
    throw cause;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** False when there is none. */
async function isAbandoned(takeover: string): Promise<boolean> {
  const maker = await readHolder(join(takeover, MAKER));
  return maker === null ? isStale(takeover) : !(await isLiving(maker));
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
