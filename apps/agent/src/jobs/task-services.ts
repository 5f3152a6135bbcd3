// What every task of this machine is given.
import type { Logger } from 'pino';
import type { DesiredTask } from '#domain';
import type { NewEvent } from '../events/outbox.ts';
import type { AgentMetrics } from '../metrics.ts';
import type { BlobSource } from '../sync/blob-download.ts';
import type { OneAtATime } from '../sync/one-at-a-time.ts';
import type { TaskCgroups } from './cgroup.ts';
import type { Contact } from './contact.ts';
import type { TaskExecution } from './task-execution.ts';
import type { TaskFolder } from './task-folder.ts';
import type { TaskRun } from './task-run.ts';

export interface TaskServices {
  readonly jobsFolder: string;
  /** Of this process; commands get only what they need of it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Program and arguments of a runner; the task's folder is appended. */
  readonly runner: readonly string[];
  readonly contact: Pick<Contact, 'silentSeconds' | 'noted'>;
  readonly contactFile: string;
  readonly machineBootId: string;
  /** Seconds of this boot; the same clock in every process. */
  readonly uptime: () => number;
  /** Where blobs are; `isRefused` says that the present token is no good. */
  readonly blobSource: (isRefused: boolean) => Promise<BlobSource>;
  readonly stallTimeoutMs: number;
  /** Disk that must stay free beside what is fetched. */
  readonly headroomBytes: number;
  readonly cgroups: TaskCgroups;
  /** What runs the command of a task; the same one for the same folder. Null: its record is damaged. */
  readonly executionOf: (folder: TaskFolder, task: DesiredTask | null) => TaskExecution;
  /** The folder of a held version. */
  readonly versionPath: (digest: string) => string;
  /** What members of an attempt share is made by one of them at a time; by its path. */
  readonly shared: OneAtATime;
  /** The members of an attempt that are here. */
  readonly membersOf: (attemptId: string) => readonly TaskRun[];
  /** Durable when resolved. */
  readonly emit: (event: NewEvent) => Promise<void>;
  /** Something that the reconciler looks at, or a report shows, has changed. */
  readonly onChange: () => void;
  /** A report would show other progress. */
  readonly onProgress: () => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}
