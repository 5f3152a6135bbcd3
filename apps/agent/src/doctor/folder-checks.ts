// The state folder: whose it is, whether an agent runs on it, who that is to the fleet, and whether what is written is whole.
import { constants } from 'node:fs';
import { access, readdir, readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CLOCK_SKEW_MS_MAX } from '#domain';
import { decodeDocument } from '#files';
import { identityFromSeed } from '#messaging';
import { machineBootId } from '#telemetry';
import { messageOf } from '../errors.ts';
import { isProcessAlive, processStartTicks } from '../state/processes.ts';
import { duration, type Finding } from './finding.ts';
import { jsonOf, type Patient, readDesired, readMembership } from './patient.ts';

/** Below this a version can hardly be fetched, and documents may not be written. */
const DISK_FREE_BYTES_MIN = 268_435_456;
const FILES_FREE_MIN = 1_000;

const lockSchema = z.object({ pid: z.int(), startTicks: z.string(), machineBootId: z.string() });

export async function checkFolder({ stateFolder }: Patient): Promise<Finding> {
  const check = 'folder';
  const found = await stat(stateFolder).catch(() => null);
  if (found === null || !found.isDirectory()) {
    return {
      check,
      verdict: 'failed',
      says: `${stateFolder} is no folder.`,
      advice: 'Give the state folder of an agent (stateDirectory of its configuration).',
    };
  }
  const canWrite = await access(stateFolder, constants.R_OK | constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!canWrite) {
    return {
      check,
      verdict: 'failed',
      says: `${stateFolder} belongs to user ${found.uid} and may not be read and written by this one.`,
      advice: 'Run this, and the agent, as the user who owns it.',
    };
  }
  const others = found.mode & 0o077;
  if (others === 0) return { check, verdict: 'ok', says: `${stateFolder}, for its owner only.` };
  return {
    check,
    verdict: 'warning',
    says: `${stateFolder} is open to others (mode ${(found.mode & 0o777).toString(8)}); it holds the agent's key.`,
    advice: `chmod 700 ${stateFolder}`,
  };
}

export async function checkAgent({ stateFolder }: Patient): Promise<Finding> {
  const check = 'agent';
  const lock = await readFile(join(stateFolder, 'agent.lock'), 'utf8').then(
    (text) => lockSchema.safeParse(jsonOf(text)).data,
    () => undefined,
  );
  if (lock === undefined) return { check, verdict: 'warning', says: 'No agent runs on this folder.' };
  const isSameBoot = lock.machineBootId === (await machineBootId());
  const ticks = await processStartTicks(lock.pid);
  const lives = isSameBoot && isProcessAlive(lock.pid) && (lock.startTicks === '' || lock.startTicks === ticks);
  if (lives) return { check, verdict: 'ok', says: `Runs as process ${lock.pid}.` };
  return {
    check,
    verdict: 'warning',
    says: `The agent with process id ${lock.pid} ended without a word: killed, or the machine was.`,
    advice: 'Start it again; it adopts what it left running.',
  };
}

export async function checkIdentity(patient: Patient): Promise<Finding> {
  const check = 'identity';
  const path = join(patient.stateFolder, 'identity.nk');
  const seed = await readFile(path, 'utf8').catch(() => null);
  if (seed === null) {
    return { check, verdict: 'failed', says: 'There is no key: this agent never started.', advice: 'Start the agent.' };
  }
  let publicKey: string;
  try {
    ({ publicKey } = identityFromSeed(seed.trim()));
  } catch {
    return {
      check,
      verdict: 'failed',
      says: 'The key in identity.nk is damaged; a new one would be a stranger to the fleet.',
      advice: 'Restore identity.nk, or remove the cluster and join again under a new folder.',
    };
  }
  const membership = await readMembership(patient);
  if (membership === null) {
    return { check, verdict: 'warning', says: `Key ${publicKey}; it has not joined a fleet yet.` };
  }
  if (membership.isRemoved === true) {
    return {
      check,
      verdict: 'failed',
      says: `The fleet removed cluster ${membership.clusterName}; nothing of it runs here any more.`,
      advice: 'Join again with a new join token.',
    };
  }
  const { clusterName, clusterId } = membership;
  return { check, verdict: 'ok', says: `Cluster ${clusterName} (${clusterId}), key ${publicKey}.` };
}

/** Damaged, from another cluster, or from the future: whatever the agent would not use is said. */
export async function checkDocuments(patient: Patient): Promise<Finding> {
  const check = 'documents';
  const folder = join(patient.stateFolder, 'state');
  const names = (await readdir(folder).catch(() => [] as string[])).filter((name) => name.endsWith('.json')).sort();
  const read = await Promise.all(
    names.map(async (name) => [name, await judgeFile(patient, join(folder, name))] as const),
  );
  const damaged = read.filter(([, problem]) => problem === 'damaged').map(([name]) => name);
  const future = read.filter(([, problem]) => problem === 'future').map(([name]) => name);
  const [membership, desired] = await Promise.all([readMembership(patient), readDesired(patient)]);
  if (membership !== null && desired !== null && membership.clusterId !== desired.clusterId) {
    return {
      check,
      verdict: 'failed',
      says: `The desired document is of cluster ${desired.clusterId}, not of this one.`,
      advice: 'It is not used. Was the folder put together from two? Remove state/desired*.json; it is fetched anew.',
    };
  }
  if (damaged.length > 0) {
    const lost = damaged.filter((name) => isBothDamaged(name, damaged, names));
    return {
      check,
      verdict: lost.length > 0 ? 'failed' : 'warning',
      says: `Damaged: ${damaged.join(', ')}.${lost.length > 0 ? '' : ' The generation before is used.'}`,
      advice: 'Look at the disk. What is lost is fetched anew once the centre can be reached.',
    };
  }
  if (future.length > 0) {
    return {
      check,
      verdict: 'warning',
      says: `Written in the future by this clock: ${future.join(', ')}.`,
      advice: 'Set the clock right (NTP).',
    };
  }
  if (desired === null) return { check, verdict: 'warning', says: 'No desired document yet: nothing runs from it.' };
  const { epoch, revision, replicas, tasks, versions } = desired;
  return {
    check,
    verdict: 'ok',
    says: `${names.length} files are whole; revision ${revision} of epoch ${epoch} wants ${replicas.length} replicas, ${tasks.length} tasks, ${versions.length} versions.`,
  };
}

async function judgeFile({ nowMs }: Patient, path: string): Promise<'whole' | 'damaged' | 'future'> {
  const [text, found] = await Promise.all([readFile(path, 'utf8').catch(() => ''), stat(path).catch(() => null)]);
  if (decodeDocument(text) === undefined) return 'damaged';
  return (found?.mtimeMs ?? 0) > nowMs + CLOCK_SKEW_MS_MAX ? 'future' : 'whole';
}

/** Whether no generation of the document is left. */
function isBothDamaged(name: string, damaged: readonly string[], names: readonly string[]): boolean {
  const base = name.replace(/(\.previous)?\.json$/, '');
  const generations = [`${base}.json`, `${base}.previous.json`].filter((each) => names.includes(each));
  return generations.every((each) => damaged.includes(each));
}

export async function checkDisk({ stateFolder }: Patient): Promise<Finding> {
  const check = 'disk';
  try {
    const { bavail, bsize, ffree, files } = await statfs(stateFolder);
    const freeBytes = bavail * bsize;
    const says = `${(freeBytes / 1e9).toFixed(1)} GB free${files > 0 ? `, room for ${ffree} files` : ''}.`;
    const isShort = freeBytes < DISK_FREE_BYTES_MIN || (files > 0 && ffree < FILES_FREE_MIN);
    if (!isShort) return { check, verdict: 'ok', says };
    return { check, verdict: 'failed', says, advice: 'Free some: versions, logs and documents need it to be written.' };
  } catch (cause) {
    return { check, verdict: 'unknown', says: `The disk does not say (${messageOf(cause)}).` };
  }
}

/** How long ago the control plane last answered, by what the agent noted; and what it could not yet tell it. */
export async function checkContact({ stateFolder, nowMs }: Patient): Promise<Finding> {
  const check = 'contact';
  const noted = await stat(join(stateFolder, 'jobs', 'contact.json')).catch(() => null);
  const events = (await readdir(join(stateFolder, 'outbox')).catch(() => [])).length;
  const waiting = events === 0 ? '' : ` ${events} events wait to be told.`;
  if (noted === null) return { check, verdict: 'warning', says: `The control plane has not answered yet.${waiting}` };
  const seconds = (nowMs - noted.mtimeMs) / 1_000;
  const says = `The control plane last answered ${duration(seconds)} ago (${noted.mtime.toISOString()}).${waiting}`;
  return seconds < 120 ? { check, verdict: 'ok', says } : { check, verdict: 'warning', says };
}
