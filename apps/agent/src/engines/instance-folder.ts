// The folder that an engine child is given: who it is (`spec.json`), its secret (`token`), and what it says of itself
// (`pid.json`, `ready.json`). A child whose spec.json is gone ends by itself: that is how a late one is stopped.
import { createHash, randomBytes } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { DeepReadonly } from '#configuration';
import { nodeDevicesSchema } from '#contracts';
import { machineBootId } from '#telemetry';
import { processStartTicks } from '../state/processes.ts';
import type { EngineSpec } from './engine-adapter.ts';

const specSchema = z.object({
  instanceId: z.string(),
  replicaId: z.string(),
  generation: z.int(),
  modelPath: z.string(),
  servedModel: z.string(),
  versionDigest: z.string(),
  contextSize: z.int().optional(),
  maxConcurrent: z.int(),
  maxQueue: z.int(),
  engine: z.string().optional(),
  devices: z.array(nodeDevicesSchema).optional(),
});
export type InstanceSpec = DeepReadonly<z.infer<typeof specSchema>>;

const ownerSchema = z.object({ deploymentId: z.string() });
/** Start and boot make the id a name that is never used twice; what an earlier release noted has neither. */
const processSchema = z.object({
  pid: z.int().min(1),
  startTicks: z.string().optional(),
  machineBootId: z.string().optional(),
});
const readySchema = z.object({ pid: z.int().min(1), port: z.int().min(1).max(65535), instanceId: z.string() });

/** Over everything that an engine would have to be restarted for. */
export function specHashOf(spec: Omit<EngineSpec, 'deploymentId'>): string {
  const { replicaId, versionDigest, servedModel, modelPath, contextSize, maxConcurrent, maxQueue } = spec;
  const parts: unknown[] = [
    replicaId,
    versionDigest,
    servedModel,
    modelPath,
    contextSize ?? null,
    maxConcurrent,
    maxQueue,
  ];
  // What an earlier release did not know counts only where it is used: an update restarts no engine (R5, R21).
  if (spec.engine !== undefined) parts.push({ engine: spec.engine });
  if (spec.devices !== undefined) parts.push({ devices: spec.devices });
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** Makes the folder whole before the spawn: spec.json comes last, for its presence is the child's right to live. */
export async function createInstanceFolder(folder: string, spec: InstanceSpec, deploymentId: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, 'owner.json'), JSON.stringify({ deploymentId }), { mode: 0o600 });
  await writeFile(join(folder, 'token'), randomBytes(32).toString('base64url'), { mode: 0o600 });
  await writeFile(join(folder, 'spec.json'), JSON.stringify(spec), { mode: 0o600 });
}

export const readSpec = (folder: string) => readJson(folder, 'spec.json', specSchema);
export const readOwner = (folder: string) => readJson(folder, 'owner.json', ownerSchema);
export const readReady = (folder: string) => readJson(folder, 'ready.json', readySchema);

/** The child's process id: as the agent noted it, or as the child did when the agent was killed in between. */
export async function readProcessId(folder: string): Promise<number | null> {
  const noted =
    (await readJson(folder, 'process.json', processSchema)) ?? (await readJson(folder, 'pid.json', processSchema));
  return noted?.pid ?? null;
}

export async function noteProcessId(folder: string, pid: number): Promise<void> {
  const [startTicks, bootId] = await Promise.all([processStartTicks(pid), machineBootId()]);
  const noted = { pid, ...(startTicks === null ? {} : { startTicks, machineBootId: bootId }) };
  await writeFile(join(folder, 'process.json'), JSON.stringify(noted), { mode: 0o600 });
}

/** Whether the living process of that id is the one that was noted here. */
export async function isNotedProcess(folder: string, pid: number): Promise<boolean> {
  const noted = await readJson(folder, 'process.json', processSchema);
  if (noted?.pid !== pid || noted.startTicks === undefined) return false;
  return noted.startTicks === (await processStartTicks(pid)) && noted.machineBootId === (await machineBootId());
}

/** Noted once it has generated a token. */
export async function noteProven(folder: string): Promise<void> {
  await writeFile(join(folder, 'proven'), '', { mode: 0o600 });
}

export async function isProven(folder: string): Promise<boolean> {
  return access(join(folder, 'proven')).then(
    () => true,
    () => false,
  );
}

export async function readToken(folder: string): Promise<string | null> {
  return readFile(join(folder, 'token'), 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
}

/** Takes the child's right to live. */
export async function revokeSpec(folder: string): Promise<void> {
  await rm(join(folder, 'spec.json'), { force: true });
}

export async function removeInstanceFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

export async function listInstanceFolders(enginesFolder: string): Promise<string[]> {
  const names = await readdir(enginesFolder).catch(() => []);
  return names.map((name) => join(enginesFolder, name));
}

async function readJson<Schema extends z.ZodType>(
  folder: string,
  name: string,
  schema: Schema,
): Promise<z.output<Schema> | null> {
  try {
    return schema.parse(JSON.parse(await readFile(join(folder, name), 'utf8')));
  } catch {
    return null;
  }
}
