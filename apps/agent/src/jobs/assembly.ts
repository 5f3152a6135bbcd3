// The parts that run tasks of jobs, put together; starts nothing.
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Node } from '#domain';
import type { AgentConfiguration } from '../configuration.ts';
import type { DesiredKeeper } from '../desired/desired-keeper.ts';
import { messageOf } from '../errors.ts';
import type { Outbox } from '../events/outbox.ts';
import { KubernetesApi } from '../kubernetes/api.ts';
import { ConfiguredConnection } from '../kubernetes/connection.ts';
import type { AgentMetrics } from '../metrics.ts';
import { OneAtATime } from '../sync/one-at-a-time.ts';
import { TaskCgroups } from './cgroup.ts';
import { Contact } from './contact.ts';
import type { PodExecutionOptions } from './kubernetes/pod-execution.ts';
import { PodExecutions } from './kubernetes/pod-executions.ts';
import { KubernetesTaskLauncher } from './kubernetes/task-launcher.ts';
import { runnerCommand, TaskProcess } from './task-process.ts';
import { endAllTasks, TaskSupervisor, type TaskSupervisorOptions } from './task-supervisor.ts';

const NO_TASKS =
  'This cluster is one of Kubernetes, and its agent is not told how to run tasks there (jobs.kubernetes).';

export interface JobPartsOptions {
  readonly configuration: Pick<AgentConfiguration, 'sync' | 'jobs' | 'inventory'>;
  /** The agent's public key. */
  readonly agent: string;
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
  /** Ends what watches pods; pods themselves stay. */
  readonly closePods: () => Promise<void>;
}

export function assembleJobs(options: JobPartsOptions): JobParts {
  const { configuration, stateFolder, environment, machineBootId, cgroupParent, desired, outbox, log } = options;
  const jobsFolder = join(stateFolder, 'jobs');
  const contactFile = join(jobsFolder, 'contact.json');
  const contact: Contact = new Contact({
    file: contactFile,
    machineBootId,
    silenceSecondsMin: () => tasks.silenceSecondsMin,
    ask: () => void desired.fetch(),
    log,
  });
  const pods = assemblePods({ ...options, contact, tasksOf: (attemptId) => tasks.tasksOf(attemptId) });
  const tasks: TaskSupervisor = new TaskSupervisor({
    executionOf: (folder, task) => pods?.of(folder, task) ?? new TaskProcess(folder, machineBootId),
    ...(pods === null ? {} : { endOthers: (attemptIds) => void pods.endOthers(attemptIds) }),
    ...refusalOf(configuration),
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
  return { contact, tasks, closePods: async () => pods?.close() };
}

/** Null: tasks are processes of this machine. */
export function assemblePods({
  configuration: { jobs },
  agent,
  contact,
  tasksOf,
  versionPath,
  log,
}: Pick<JobPartsOptions, 'configuration' | 'agent' | 'versionPath' | 'log'> & {
  readonly contact: Pick<Contact, 'silentSeconds'>;
  readonly tasksOf: PodExecutionOptions['membersOf'];
}): PodExecutions | null {
  const { kubernetes: configuration } = jobs;
  if (configuration === undefined) return null;
  const { connection, namespace } = configuration;
  const api = new KubernetesApi({ connection: new ConfiguredConnection(connection), namespace, agent });
  const launcher = new KubernetesTaskLauncher({ configuration, api, log });
  return new PodExecutions({ launcher, agent, contact, uptime, versionPath, membersOf: tasksOf, log });
}

/** Every task of an earlier agent, at once. What cannot be ended is said. */
export async function endEveryTask({
  configuration,
  agent,
  jobsFolder,
  machineBootId,
  log,
}: Pick<JobPartsOptions, 'configuration' | 'agent' | 'machineBootId' | 'log'> & {
  readonly jobsFolder: string;
}): Promise<void> {
  const pods = assemblePods({
    configuration,
    agent,
    contact: { silentSeconds: 0 },
    tasksOf: () => [],
    versionPath: () => '',
    log,
  });
  await endAllTasks(
    jobsFolder,
    (folder, task) => pods?.of(folder, task) ?? new TaskProcess(folder, machineBootId),
  ).catch((cause: unknown) => log.error({ reason: messageOf(cause) }, 'tasks of a removed cluster could not be ended'));
  await pods?.close();
}

/** What is bound to nodes of a cluster cannot run in a process of the agent's own. */
function refusalOf({ inventory, jobs }: JobPartsOptions['configuration']): { refusal?: string } {
  const isElsewhere = inventory.kubernetes !== undefined && inventory.nodes === undefined;
  return isElsewhere && jobs.kubernetes === undefined ? { refusal: NO_TASKS } : {};
}
