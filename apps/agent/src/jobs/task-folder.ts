// What is on disk of tasks: `jobs/<attempt id>/<rank>/` is one task's own, beside it what the members of an attempt share.
//
//   task.json      the task as it was desired when it was first seen; without it the folder is nothing
//   state.json     what the agent remembers of it: checkpoints, end
//   run.json …     what is between the agent and the runner (runner/runner-contract.ts)
//   work/ mounts/ control/ log/
//   ../checkpoint/ ../output/ ../resume/ ../saved/<sequence>/ ../rendezvous.json
//
// Invariant: a task whose `run.json` was taken by a runner has run; the agent never writes a second one.
import { access, mkdir, readdir, readFile, rm, symlink, unlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import { desiredTaskSchema, digestSchema, nodeDevicesSchema, taskCheckpointSchema } from '#contracts';
import { type DesiredTask, STOP_CAUSES } from '#domain';
import { writeDurably } from '#files';
import { hasCode } from '../errors.ts';
import { type ExitRecord, type ProcessRecord, type RunOrder, runnerFiles } from './runner/runner-contract.ts';

const endSchema = z.object({
  phase: z.enum(['Succeeded', 'Failed', 'Stopped', 'Refused']),
  reason: z.string(),
  exitCode: z.int().min(0).max(255).optional(),
  outputDigest: digestSchema.optional(),
});
export type TaskEnd = z.infer<typeof endSchema>;

const stateSchema = z.object({
  devices: z.array(nodeDevicesSchema).default([]),
  /** Highest number that a checkpoint has, whatever became of it. */
  sequence: z.int().min(0).default(0),
  checkpoint: taskCheckpointSchema.optional(),
  /** `atSeconds`: by `os.uptime()` of `machineBootId`, when it was first told to stop. */
  stop: z
    .object({
      cause: z.enum(STOP_CAUSES),
      reason: z.string(),
      wantsCheckpoint: z.boolean(),
      atSeconds: z.number(),
      machineBootId: z.string(),
      /** It was told to end: a code of 0 after that is no success, whoever sees it. */
      isTold: z.boolean().default(false),
      isAnswered: z.boolean().default(false),
    })
    .optional(),
  /** Seconds that it ran, as last seen. */
  ranSeconds: z.number().min(0).default(0),
  end: endSchema.optional(),
});
export type TaskState = z.infer<typeof stateSchema>;

const exitSchema = z.object({
  exitCode: z.int().min(0).max(255),
  signal: z.string().nullable(),
  cause: z.enum(['exit', 'silence', 'not-started']),
  reason: z.string(),
  ranSeconds: z.number().min(0),
}) satisfies z.ZodType<ExitRecord>;

const processSchema = z.object({
  runnerProcessId: z.int().min(1),
  commandProcessId: z.int().min(1),
  commandStartTicks: z.string().default(''),
  startedAtSeconds: z.number(),
  machineBootId: z.string(),
}) satisfies z.ZodType<ProcessRecord>;

const rendezvousSchema = z.object({ port: z.int().min(1).max(65_535) });

export const NEW_STATE: TaskState = { devices: [], sequence: 0, ranSeconds: 0 };

/** Folders that members of an attempt share. */
export function attemptFolders(jobsFolder: string, attemptId: string) {
  const folder = join(jobsFolder, attemptId);
  return {
    folder,
    checkpoint: join(folder, 'checkpoint'),
    output: join(folder, 'output'),
    resume: join(folder, 'resume'),
    saved: join(folder, 'saved'),
    rendezvous: join(folder, 'rendezvous.json'),
  };
}

export class TaskFolder {
  readonly jobsFolder: string;
  readonly attemptId: string;
  readonly rank: number;
  readonly path: string;
  readonly attempt: ReturnType<typeof attemptFolders>;
  readonly files: ReturnType<typeof runnerFiles>;
  #writing: Promise<void> = Promise.resolve();

  constructor(jobsFolder: string, attemptId: string, rank: number) {
    this.jobsFolder = jobsFolder;
    this.attemptId = attemptId;
    this.rank = rank;
    this.attempt = attemptFolders(jobsFolder, attemptId);
    this.path = join(this.attempt.folder, String(rank));
    this.files = runnerFiles(this.path);
  }

  get work(): string {
    return join(this.path, 'work');
  }

  get mounts(): string {
    return join(this.path, 'mounts');
  }

  /** Makes all folders; the task's own record comes last. */
  async create(task: DesiredTask): Promise<void> {
    const { checkpoint, output, saved } = this.attempt;
    for (const folder of [this.work, this.mounts, this.files.control, this.files.logs, checkpoint, output, saved]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
    await writeDurably(join(this.path, 'task.json'), JSON.stringify(task));
  }

  /** Null: there is none that is whole. */
  readTask(): Promise<DesiredTask | null> {
    return readJson(join(this.path, 'task.json'), desiredTaskSchema);
  }

  async readState(): Promise<TaskState> {
    return (await readJson(join(this.path, 'state.json'), stateSchema)) ?? NEW_STATE;
  }

  /** Durable when resolved. Writes are applied in the order of the calls. */
  writeState(state: TaskState): Promise<void> {
    const text = JSON.stringify(state);
    const next = this.#writing.then(() => writeDurably(join(this.path, 'state.json'), text));
    this.#writing = next.catch(() => undefined);
    return next;
  }

  /** Lays a held version in, by a link: its files are read-only already. */
  async mount(name: string, versionFolder: string): Promise<void> {
    const path = join(this.mounts, name);
    await unlink(path).catch(unlessMissing);
    await symlink(versionFolder, path);
  }

  async writeOrder(order: RunOrder): Promise<void> {
    await writeDurably(this.files.order, JSON.stringify(order));
  }

  /** True: it was not taken, and now never will be. */
  async revokeOrder(): Promise<boolean> {
    return unlink(this.files.order).then(
      () => true,
      (cause: unknown) => {
        unlessMissing(cause);
        return false;
      },
    );
  }

  /** Whether a runner took the order: the task has run, or runs. */
  isTaken(): Promise<boolean> {
    return isThere(this.files.taken);
  }

  /** The same, but when none has, none will. */
  async isTakenForGood(): Promise<boolean> {
    return (await this.isTaken()) || (!(await this.revokeOrder()) && (await this.isTaken()));
  }

  readProcess(): Promise<ProcessRecord | null> {
    return readJson(this.files.process, processSchema);
  }

  readExit(): Promise<ExitRecord | null> {
    return readJson(this.files.exit, exitSchema);
  }

  /** The same for all members here; free at the moment when the first of them asks. */
  async rendezvousPort(): Promise<number> {
    const known = await readJson(this.attempt.rendezvous, rendezvousSchema);
    if (known !== null) return known.port;
    const port = await freePort();
    await writeDurably(this.attempt.rendezvous, JSON.stringify({ port }));
    return port;
  }

  /** Everything but its record and its log. */
  async removeContent(): Promise<void> {
    for (const folder of [this.work, this.mounts, this.files.control]) await removeFolder(folder);
  }

  async remove(): Promise<void> {
    await removeFolder(this.path);
  }
}

/** What members share goes with the last of them; `isKept` says whether their records stay. */
export async function removeShared(jobsFolder: string, attemptId: string, isKept: boolean): Promise<void> {
  const { folder, checkpoint, output, resume, saved } = attemptFolders(jobsFolder, attemptId);
  if (!isKept) return removeFolder(folder);
  for (const each of [checkpoint, output, resume, saved]) await removeFolder(each);
}

/** Attempt and rank of every folder here, whole or not. */
export async function listTaskFolders(jobsFolder: string): Promise<{ attemptId: string; rank: number }[]> {
  const attempts = await readdir(jobsFolder, { withFileTypes: true }).catch(() => []);
  const found = await Promise.all(
    attempts
      .filter((entry) => entry.isDirectory() && /^[0-9a-f-]{36}$/.test(entry.name))
      .map(async ({ name: attemptId }) => {
        const names = await readdir(join(jobsFolder, attemptId)).catch(() => []);
        return names.filter((name) => /^\d{1,4}$/.test(name)).map((name) => ({ attemptId, rank: Number(name) }));
      }),
  );
  return found.flat();
}

export async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

function unlessMissing(cause: unknown): void {
  if (!hasCode(cause, 'ENOENT')) throw cause;
}

async function readJson<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema> | null> {
  try {
    return schema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return null;
  }
}
