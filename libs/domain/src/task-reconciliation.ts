/**
 * The agent's decision about tasks: from what is desired and what is here, what to do next. Pure and level-triggered,
 * like `reconcileCluster`.
 *
 * Invariants: a task runs at most once, ever: one that began is never started again, whatever the document says; a task
 * of an older epoch or attempt than one seen here of the same job never runs; no device has two processes; nothing is
 * started that the centre may have given to another cluster meanwhile (DESIGN §7.4); members of one attempt start
 * together, for a part of a gang only holds devices. What runs is ended only because a document says so, or no longer
 * names it.
 */
import type { DesiredState, DesiredTask } from './desired.ts';
import { bindDevices, deviceKey, deviceKeysOf } from './device-binding.ts';
import type { Node } from './devices.ts';
import { isTaskEnded, type NodeDevices, type TaskPhase } from './jobs.ts';
import type { LocalReplica } from './reconciliation.ts';

/** What is remembered of a task after no document names it any more: its end, and its log. */
export const TASK_KEPT_MS = 3_600_000;
/** Each may leave a log of two parts on the disk. Beyond it the first to be dropped is forgotten first. */
export const TASKS_KEPT_MAX = 1_000;

export interface LocalTask {
  readonly taskId: string;
  readonly attemptId: string;
  readonly jobId: string;
  readonly attempt: number;
  readonly epoch: number;
  readonly phase: TaskPhase;
  /** Pending ones only: its checkpoint to resume from is here, and it may start. */
  readonly isPrepared: boolean;
  /** Monotonic milliseconds before which a preparation that failed is not tried again. */
  readonly retryAtMs?: number;
  /** While it has a process. */
  readonly devices: readonly NodeDevices[];
  /** Monotonic milliseconds since which no document names it. */
  readonly droppedAtMs?: number;
}

export interface LocalTasks {
  readonly tasks: readonly LocalTask[];
  readonly nodes: readonly Node[];
  /** What replicas hold that are here, wanted or not. Absent: only what the document says of them is known. */
  readonly replicas?: readonly Pick<LocalReplica, 'replicaId' | 'devices'>[];
  /** Versions whose every file is here and verified. */
  readonly heldDigests: ReadonlySet<string>;
  /** Since the control plane last answered. */
  readonly silentSeconds: number;
}

export type TaskAction =
  | { readonly action: 'refuse'; readonly task: DesiredTask; readonly reason: string }
  | { readonly action: 'prepare'; readonly task: DesiredTask }
  /** It cannot start yet: what its report says. */
  | {
      readonly action: 'wait';
      readonly task: DesiredTask;
      readonly phase: 'Pending' | 'Fetching';
      readonly reason: string;
    }
  | { readonly action: 'start'; readonly task: DesiredTask; readonly devices: readonly NodeDevices[] }
  | { readonly action: 'stop'; readonly task: DesiredTask; readonly stop: NonNullable<DesiredTask['stop']> }
  /** No document names it: end it, and keep nothing but its end and its log. */
  | { readonly action: 'drop'; readonly taskId: string }
  | { readonly action: 'forget'; readonly taskId: string };

export function reconcileTasks(desired: DesiredState, local: LocalTasks, nowMs: number): TaskAction[] {
  const here = new Map(local.tasks.map((task) => [task.taskId, task]));
  const refused = refuseOlder(desired.tasks, local.tasks);
  const isRefused = new Set(refused.map(({ task }) => task.taskId));
  const wanted = desired.tasks.filter(({ taskId }) => !isRefused.has(taskId));
  return [
    ...dropUnwanted(desired.tasks, local.tasks, nowMs),
    ...refused,
    ...stopAsked(wanted, here),
    ...prepareNew(wanted, here, nowMs),
    ...startReady(desired, wanted, here, local),
  ];
}

function dropUnwanted(wanted: readonly DesiredTask[], tasks: readonly LocalTask[], nowMs: number): TaskAction[] {
  const named = new Set(wanted.map(({ taskId }) => taskId));
  const unwanted = tasks.filter(({ taskId }) => !named.has(taskId));
  const kept = unwanted.flatMap(({ taskId, phase, droppedAtMs }) => {
    return droppedAtMs === undefined || !isTaskEnded(phase) ? [] : [{ taskId, droppedAtMs }];
  });
  const forgotten = kept
    .sort((left, right) => right.droppedAtMs - left.droppedAtMs)
    .filter(({ droppedAtMs }, newer) => newer >= TASKS_KEPT_MAX || nowMs - droppedAtMs >= TASK_KEPT_MS);
  return [
    ...unwanted.filter(({ droppedAtMs }) => droppedAtMs === undefined).map(({ taskId }) => action('drop', taskId)),
    ...forgotten.map(({ taskId }) => action('forget', taskId)),
  ];
}

function action(what: 'drop' | 'forget', taskId: string): TaskAction {
  return { action: what, taskId };
}

/** Of those that are not here: what is here is judged already. */
function refuseOlder(wanted: readonly DesiredTask[], tasks: readonly LocalTask[]) {
  const here = new Set(tasks.map(({ taskId }) => taskId));
  const newest = new Map<string, { epoch: number; attempt: number }>();
  for (const { jobId, epoch, attempt } of [...tasks, ...wanted]) {
    const seen = newest.get(jobId) ?? { epoch, attempt };
    newest.set(jobId, { epoch: Math.max(seen.epoch, epoch), attempt: Math.max(seen.attempt, attempt) });
  }
  return wanted
    .filter(({ taskId }) => !here.has(taskId))
    .flatMap((task) => {
      const reason = whyOlder(task, newest.get(task.jobId)!);
      return reason === null ? [] : [{ action: 'refuse' as const, task, reason }];
    });
}

function whyOlder(task: DesiredTask, seen: { readonly epoch: number; readonly attempt: number }): string | null {
  if (task.epoch < seen.epoch)
    return `it is of epoch ${task.epoch}, and one of epoch ${seen.epoch} of this job was seen here`;
  if (task.attempt < seen.attempt)
    return `it is attempt ${task.attempt}, and attempt ${seen.attempt} of this job was seen here`;
  return null;
}

function stopAsked(wanted: readonly DesiredTask[], here: ReadonlyMap<string, LocalTask>): TaskAction[] {
  return wanted.flatMap((task): TaskAction[] => {
    const isOver = isTaskEnded(here.get(task.taskId)?.phase ?? 'Pending');
    return task.stop === null || isOver ? [] : [{ action: 'stop', task, stop: task.stop }];
  });
}

function prepareNew(wanted: readonly DesiredTask[], here: ReadonlyMap<string, LocalTask>, nowMs: number): TaskAction[] {
  return wanted
    .filter(({ taskId, stop }) => {
      const task = here.get(taskId);
      if (stop !== null) return false;
      if (task === undefined) return true;
      return task.phase === 'Pending' && !task.isPrepared && (task.retryAtMs ?? 0) <= nowMs;
    })
    .map((task) => ({ action: 'prepare', task }));
}

/** Attempt by attempt: all members that are wanted here, or none. */
function startReady(
  desired: DesiredState,
  wanted: readonly DesiredTask[],
  here: ReadonlyMap<string, LocalTask>,
  local: LocalTasks,
): TaskAction[] {
  const taken = takenDevices(desired, [...here.values()], local);
  const isNew = ({ taskId, stop }: DesiredTask) => stop === null && here.get(taskId)?.phase === 'Pending';
  return [...byAttempt(wanted).values()].flatMap((members): TaskAction[] => {
    const starting = members.filter(isNew).filter(({ taskId }) => here.get(taskId)!.isPrepared);
    if (starting.length === 0) return [];
    const wait = whyWaiting(members, here, local);
    if (wait !== null) return starting.map((task) => ({ action: 'wait', task, ...wait }));
    return bindAll(starting, local.nodes, taken);
  });
}

function byAttempt(tasks: readonly DesiredTask[]): Map<string, DesiredTask[]> {
  const attempts = new Map<string, DesiredTask[]>();
  for (const task of tasks) attempts.set(task.attemptId, [...(attempts.get(task.attemptId) ?? []), task]);
  return attempts;
}

/** Why no member of an attempt may start now, devices apart. */
function whyWaiting(
  members: readonly DesiredTask[],
  here: ReadonlyMap<string, LocalTask>,
  { heldDigests, silentSeconds }: LocalTasks,
): { phase: 'Pending' | 'Fetching'; reason: string } | null {
  const mounts = members.flatMap((task) => task.mounts);
  const missing = mounts.find(({ versionDigest }) => !heldDigests.has(versionDigest));
  if (missing !== undefined)
    return { phase: 'Fetching', reason: `its mount ${missing.name} is being fetched and verified` };
  const isUnprepared = members.some(({ taskId }) => {
    const task = here.get(taskId);
    return task === undefined || task.phase === 'Fetching' || (task.phase === 'Pending' && !task.isPrepared);
  });
  if (isUnprepared) return { phase: 'Pending', reason: 'it starts together with the other members of its attempt' };
  if (members.some(({ stopAfterSilentSeconds }) => silentSeconds >= stopAfterSilentSeconds)) {
    return { phase: 'Pending', reason: 'the control plane may have placed it elsewhere; waiting for its word' };
  }
  return null;
}

/** Adds to `taken` what it gives away. */
function bindAll(starting: readonly DesiredTask[], nodes: readonly Node[], taken: Set<string>): TaskAction[] {
  const trial = new Set(taken);
  const bound: TaskAction[] = [];
  for (const task of starting) {
    const devices = devicesFor(task, nodes, trial);
    if (typeof devices === 'string') {
      return starting.map((each) => ({ action: 'wait', task: each, phase: 'Pending', reason: devices }));
    }
    for (const key of deviceKeysOf(devices)) trial.add(key);
    bound.push({ action: 'start', task, devices });
  }
  for (const key of trial) taken.add(key);
  return bound;
}

/** A sentence when it has to wait. */
function devicesFor(
  { devices, claim }: DesiredTask,
  nodes: readonly Node[],
  taken: ReadonlySet<string>,
): readonly NodeDevices[] | string {
  if (devices !== null) {
    const busy = deviceKeysOf(devices).find((key) => taken.has(key));
    return busy === undefined ? devices : `device ${busy} is not free yet`;
  }
  const { deviceType, count, schedulingPolicy } = claim;
  return (
    bindDevices(nodes, claim, taken) ??
    `waits for ${count} free ${deviceType} within one ${schedulingPolicy.topologyScope}`
  );
}

/** What was bound to one before its agent died, and that has not begun, keeps nobody off: not others, and not itself. */
function hasBegun({ phase }: LocalTask): boolean {
  return phase !== 'Pending' && phase !== 'Fetching';
}

/** Of processes here and of replicas; replicas that hold none by name count by their number, from the front. */
function takenDevices(
  desired: DesiredState,
  tasks: readonly LocalTask[],
  { nodes, replicas = [] }: LocalTasks,
): Set<string> {
  const bound = [...desired.replicas, ...replicas].filter(({ devices }) => devices !== undefined);
  const taken = new Set([...tasks.filter(hasBegun), ...bound].flatMap(({ devices }) => deviceKeysOf(devices ?? [])));
  const isBound = new Set(bound.map(({ replicaId }) => replicaId));
  for (const { replicaId, claim } of desired.replicas) {
    if (isBound.has(replicaId)) continue;
    const free = nodes
      .flatMap((node) => node.devices.map(({ id, deviceType }) => ({ key: deviceKey(node.name, id), deviceType })))
      .filter(({ key, deviceType }) => deviceType === claim.deviceType && !taken.has(key));
    for (const { key } of free.slice(0, claim.count)) taken.add(key);
  }
  return taken;
}
