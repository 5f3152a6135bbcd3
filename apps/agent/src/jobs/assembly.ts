// The parts that run tasks of jobs, put together; starts nothing.
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Node } from '#domain';
import type { AgentConfiguration } from '../configuration.ts';
import type { DesiredKeeper } from '../desired/desired-keeper.ts';
import type { Outbox } from '../events/outbox.ts';
import type { AgentMetrics } from '../metrics.ts';
import { OneAtATime } from '../sync/one-at-a-time.ts';
import { TaskCgroups } from './cgroup.ts';
import { Contact } from './contact.ts';
import { runnerCommand } from './task-process.ts';
import { TaskSupervisor, type TaskSupervisorOptions } from './task-supervisor.ts';

export interface JobPartsOptions {
  readonly configuration: Pick<AgentConfiguration, 'sync'>;
  readonly stateFolder: string;
  /** Of this process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly machineBootId: string;
  /** A cgroup v2 folder for tasks; null: none. */
  readonly cgroupParent: string | null;
  readonly nodes: () => readonly Node[];
  readonly replicas: TaskSupervisorOptions['replicas'];
  readonly versionPath: (digest: string) => string;
  readonly desired: Pick<DesiredKeeper, 'blobSource' | 'fetch'>;
  readonly outbox: Pick<Outbox, 'add'>;
  /** Something that the reconciler looks at, or a report shows, has changed. */
  readonly onChange: () => void;
  readonly onProgress: () => void;
  readonly log: Logger;
  readonly metrics: AgentMetrics;
}

export interface JobParts {
  readonly contact: Contact;
  readonly tasks: TaskSupervisor;
}

export function assembleJobs(options: JobPartsOptions): JobParts {
  const { configuration, stateFolder, environment, machineBootId, cgroupParent, desired, outbox, log } = options;
  const jobsFolder = join(stateFolder, 'jobs');
  const contactFile = join(jobsFolder, 'contact.json');
  const contact: Contact = new Contact({
    file: contactFile,
    machineBootId,
    isNeeded: () => tasks.isBusy,
    ask: () => void desired.fetch(),
    log,
  });
  const tasks: TaskSupervisor = new TaskSupervisor({
    jobsFolder,
    contactFile,
    contact,
    environment,
    machineBootId,
    uptime,
    runner: runnerCommand(),
    cgroups: new TaskCgroups(cgroupParent),
    blobSource: (isRefused) => desired.blobSource(isRefused),
    stallTimeoutMs: configuration.sync.stallTimeoutSeconds * 1000,
    headroomBytes: configuration.sync.headroomBytes,
    shared: new OneAtATime(),
    emit: (event) => outbox.add(event),
    nodes: options.nodes,
    replicas: options.replicas,
    versionPath: options.versionPath,
    onChange: options.onChange,
    onProgress: options.onProgress,
    log,
    metrics: options.metrics,
  });
  return { contact, tasks };
}
