/**
 * What must hold of jobs at every commit and at every step of an agent, looked at from outside with the true state of
 * machines (DESIGN §7.1–4, 7). A machine whose disk fell back to an older document, and a cluster that was removed while
 * its agent did not know, are judged by what they know.
 */
import {
  type Attempt,
  deviceCountOf,
  deviceKeysOf,
  isFinal,
  isMassUnknown,
  isTaskEnded,
  type Job,
  type NodeDevices,
  type StopRequest,
  type TaskBinding,
  taskIdOf,
} from '#domain';
import type { Agent, Machine } from './agent.ts';
import type { Command } from './commands.ts';
import type { Commit, Database } from './database.ts';
import type { Registry } from './registry.ts';
import { type Safety, short } from './safety.ts';
import type { Tables } from './tables.ts';
import type { TaskRun } from './task-run.ts';
import type { World } from './world.ts';

const SERVING_PRIORITY = 9;
/** A decision is at most so old when it is committed. */
const FORGIVEN_MS = 6_000;
const ROUNDING = 1e-3;

export class JobSafety {
  /** What was reached, and how often: a check of what never happens proves nothing. */
  readonly seen = new Map<string, number>();
  /** Every task that ever had a command. */
  private readonly started = new Set<string>();
  private massSinceMs = Number.POSITIVE_INFINITY;

  constructor(
    private readonly world: World,
    private readonly database: Database,
    private readonly machines: ReadonlyMap<string, Machine>,
    private readonly registry: Registry,
    private readonly fleet: Pick<Safety, 'isFallenBack'>,
  ) {}

  onCommit(commit: Commit): void {
    this.noteMass(commit.after);
    this.sayPhases(commit);
    this.checkLoss(commit);
    this.checkAttempts(commit.after);
    this.checkHolds(commit.after);
    for (const attempt of commit.after.attempts.values()) this.checkAttempt(commit, attempt);
    for (const job of commit.after.jobs.values()) this.checkJob(commit, job);
    this.checkVictims(commit);
    this.checkUsage(commit);
  }

  /** Invariants 2 and 4: once ever, in one place, on devices that nobody has. */
  onTaskStarting({ machine, name }: Agent, { task, folder }: TaskRun): void {
    const { taskId, attemptId, jobId } = task;
    this.world.say(`${name} runs ${this.nameOf(jobId)} #${task.attempt}.${task.rank} (${short(attemptId)})`);
    if (this.started.has(taskId)) this.world.broken(`invariant 4: ${this.nameOf(jobId)} ${short(taskId)} runs again`);
    this.started.add(taskId);
    if (this.isExcused(machine)) return;
    if (this.database.committed.attempts.get(attemptId)?.phase === 'Ended')
      this.world.broken(`invariant 4: an attempt at ${this.nameOf(jobId)} begins that has ended already`);
    for (const { command, other } of this.running()) {
      if (command.task.jobId !== jobId || command.task.attemptId === attemptId || this.isExcused(other)) continue;
      this.world.broken(
        `invariant 4: ${this.nameOf(jobId)} #${task.attempt} begins in ${machine.clusterName} while #${command.task.attempt} runs in ${other.clusterName}`,
      );
    }
    this.checkDevices(machine, folder.state.devices);
    const { resumeFrom } = task;
    if (resumeFrom !== null) this.see('resumed');
    if (task.worldSize > 1) this.see('gang');
    if (resumeFrom !== null && this.registry.workOf(resumeFrom.manifestDigest)?.jobId !== jobId)
      this.world.broken(`${this.nameOf(jobId)} resumes from what is not its own`);
  }

  /** Invariant 7: what runs is ended because a document says so, or names it no more. */
  onTaskEnding({ keeper, name }: Agent, { task }: TaskRun, how: string): void {
    this.see(how);
    this.world.say(`${name} ends ${this.nameOf(task.jobId)} #${task.attempt}.${task.rank}: ${how}`);
    const wanted = keeper.state?.tasks.find(({ taskId }) => taskId === task.taskId);
    if (keeper.state === null || wanted?.stop === null)
      this.world.broken(`invariant 7: ${name} ends a task of ${this.nameOf(task.jobId)} that its document wants`);
  }

  see(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }

  private noteMass({ clusters }: Tables): void {
    const isMass = isMassUnknown([...clusters.values()].map(({ phase }) => phase));
    this.massSinceMs = isMass ? Math.min(this.massSinceMs, this.world.nowMs) : Number.POSITIVE_INFINITY;
  }

  private nameOf(jobId: string): string {
    return this.database.committed.jobs.get(jobId)?.name ?? short(jobId);
  }

  private sayPhases({ before, after }: Commit): void {
    for (const { id, name, phase, reason, attempts } of after.jobs.values()) {
      const old = before.jobs.get(id);
      if (old?.phase === phase) continue;
      this.see(`job ${phase}`);
      this.world.say(`${name} ${old?.phase ?? 'new'} → ${phase} (#${attempts}): ${reason}`);
    }
  }

  private isExcused({ clusterId }: Machine): boolean {
    return this.database.committed.clusters.get(clusterId)?.phase === 'Left' || this.fleet.isFallenBack(clusterId);
  }

  private running(): { readonly command: Command; readonly other: Machine }[] {
    return [...this.machines.values()].flatMap((other) => other.commands.map((command) => ({ command, other })));
  }

  private checkDevices(machine: Machine, devices: readonly NodeDevices[]): void {
    const wanted = new Set(deviceKeysOf(devices));
    const others = [...machine.taskFolders.values()]
      .filter(({ command }) => command?.isAlive === true)
      .flatMap(({ state }) => deviceKeysOf(state.devices));
    const { placements } = this.database.committed;
    const engines = [...machine.engines.keys()].flatMap((id) => deviceKeysOf(placements.get(id)?.devices ?? []));
    const twice = [...others, ...engines].find((key) => wanted.has(key));
    if (twice !== undefined)
      this.world.broken(`invariant 2: device ${twice} of ${machine.clusterName} is used by two at once`);
    const unbound = [...machine.engines.keys()].reduce((sum, id) => {
      const placement = placements.get(id);
      return sum + (placement === undefined || placement.devices !== null ? 0 : placement.claim.count);
    }, 0);
    const all = machine.nodes.flatMap((node) => node.devices).length;
    const used = wanted.size + others.length + engines.length + unbound;
    if (used > all) this.world.broken(`invariant 2: ${used} of ${all} devices of ${machine.clusterName} are used`);
  }

  /** Invariant 1: a job goes only by somebody's word, or by its time to live. */
  private checkLoss({ before, after }: Commit): void {
    for (const { id, name } of before.jobs.values())
      if (!after.jobs.has(id)) this.world.broken(`invariant 1: job ${name} is gone`);
  }

  /** Invariant 4, by the books: one live attempt for a job that has one, none for all others. */
  private checkAttempts({ jobs, attempts }: Tables): void {
    const live = Map.groupBy(
      [...attempts.values()].filter(({ phase }) => phase !== 'Ended'),
      ({ jobId }) => jobId,
    );
    for (const { id, name, phase, nomination, attempts: number } of jobs.values()) {
      const own = live.get(id) ?? [];
      const isAssigned = phase === 'Starting' || phase === 'Running' || phase === 'Stopping';
      if (own.length !== Number(isAssigned))
        this.world.broken(`invariant 4: ${name} is ${phase} and has ${own.length} live attempts`);
      if (own.some((attempt) => attempt.number !== number))
        this.world.broken(`invariant 4: an older attempt at ${name} is live`);
      if (isFinal(phase) && nomination !== null) this.world.broken(`${name} has ended and still has room nominated`);
    }
  }

  /** Invariant 2, by the books: who is bound holds, who holds is live, and no cluster is overfull. */
  private checkHolds({ attempts, placements, deviceHolds, clusters }: Tables): void {
    const holders = [
      ...[...attempts.values()].filter(({ phase }) => phase !== 'Ended').flatMap(memberHolds),
      ...[...placements.values()].filter(({ phase }) => phase !== 'Removed'),
    ];
    const live = new Set(holders.map(({ id }) => id));
    for (const [key, { holderId }] of deviceHolds)
      if (!live.has(holderId)) this.world.broken(`invariant 2: ${key} is held by ${short(holderId)}, who is not live`);
    for (const { id, clusterId, devices } of holders) {
      for (const key of deviceKeysOf(devices ?? [])) {
        const holderId = deviceHolds.get(`${clusterId}/${key}`)?.holderId;
        if (holderId !== id) this.world.broken(`invariant 2: ${key} is bound to ${short(id)}, who does not hold it`);
      }
    }
    for (const { id, name, phase } of clusters.values()) {
      const taken = holders.filter(({ clusterId }) => clusterId === id);
      const count = taken.reduce((sum, { claim }) => sum + claim.count, 0);
      const all = this.machines.get(id)!.nodes.flatMap((node) => node.devices).length;
      if (phase !== 'Left' && count > all) this.world.broken(`invariant 2: ${count} of ${all} devices of ${name}`);
    }
  }

  private checkAttempt({ before, after }: Commit, attempt: Attempt): void {
    const old = before.attempts.get(attempt.id);
    if (attempt.phase !== 'Ended' || old?.phase === 'Ended') return;
    const name = this.nameOf(attempt.jobId);
    this.see(`attempt ${attempt.outcome}`);
    for (const { command, other } of this.running()) {
      if (command.task.attemptId !== attempt.id || this.isExcused(other)) continue;
      if (after.clusters.get(other.clusterId)?.phase === 'Left') continue;
      this.world.broken(`invariant 4: an attempt at ${name} counts as ended and runs in ${other.clusterName}`);
    }
    const isMass = this.world.nowMs - this.massSinceMs > FORGIVEN_MS;
    const isUnsaid = attempt.tasks.some((task) => isGivenUp(before, attempt, task));
    if (isUnsaid) this.see('given up');
    if (isMass && isUnsaid)
      this.world.broken(`invariant 7: an attempt at ${name} counts as lost while most clusters are Unknown`);
  }

  private checkJob({ before, after }: Commit, job: Job): void {
    const old = before.jobs.get(job.id);
    if (old === job || old === undefined) return;
    if (isFinal(old.phase) && job.phase !== old.phase && job.phase !== 'Queued' && job.phase !== 'Waiting')
      this.world.broken(`${job.name} was ${old.phase} and is ${job.phase}`);
    this.checkCheckpoint(after, old, job);
    if (job.outputDigest === null || job.outputDigest === old.outputDigest) return;
    const work = this.registry.workOf(job.outputDigest);
    const newest = [...after.attempts.values()].find(
      ({ jobId, number }) => jobId === job.id && number === job.attempts,
    );
    if (work === undefined || work.attemptId !== newest?.id)
      this.world.broken(`invariant 4: ${job.name} has the output of another attempt than its newest`);
  }

  /** What is saved never becomes less, is here whole, and is kept from collection. */
  private checkCheckpoint({ attempts, jobBlobs }: Tables, before: Job, { id, name, checkpoint, phase }: Job): void {
    const old = before.checkpoint;
    if (checkpoint === null) {
      if (old !== null) this.world.broken(`the checkpoint of ${name} is gone`);
      return;
    }
    if (!isFinal(phase) && jobBlobs.get(id)?.has(checkpoint.manifestDigest) !== true)
      this.world.broken(`the checkpoint of ${name} is not kept from collection`);
    if (checkpoint.manifestDigest === old?.manifestDigest) return;
    const work = this.registry.workOf(checkpoint.manifestDigest);
    const before_ = old === null ? undefined : this.registry.workOf(old.manifestDigest);
    if (work?.jobId !== id) this.world.broken(`the checkpoint of ${name} is not in the registry, or another job's`);
    if (old === null || work === undefined) return;
    const numberOf = (attemptId: string) => attempts.get(attemptId)?.number ?? 0;
    const isOlder =
      numberOf(checkpoint.attemptId) < numberOf(old.attemptId) ||
      (checkpoint.attemptId === old.attemptId && checkpoint.sequence <= old.sequence);
    if (isOlder || work.workSeconds < (before_?.workSeconds ?? 0))
      this.world.broken(
        `the checkpoint of ${name} goes back from ${before_?.workSeconds} s to ${work.workSeconds} s of its work`,
      );
  }

  /** Invariant 3: never equal or higher priority but by reclaim, never what is not preemptible, in one cluster (P21). */
  private checkVictims({ before, after }: Commit): void {
    const victims = [...after.attempts.values()].flatMap((attempt) => {
      const old = before.attempts.get(attempt.id);
      return attempt.stop?.cause === 'preempted' && old?.stop?.cause !== 'preempted' ? [attempt] : [];
    });
    for (const { jobId, stop } of victims) this.checkVictim(before, before.jobs.get(jobId)!, stop!);
    for (const [by, own] of Map.groupBy(victims, ({ stop }) => stop!.byJobId)) {
      const clusters = new Set(own.flatMap(({ tasks }) => tasks.map(({ clusterId }) => clusterId)));
      if (by !== null && clusters.size > 1)
        this.world.broken(`invariant 3: ${this.nameOf(by)} makes jobs stop in ${clusters.size} clusters`);
    }
  }

  private checkVictim({ jobs }: Tables, victim: Job, { byJobId, reason }: StopRequest): void {
    this.world.say(`${victim.name} is stopped: ${reason}`);
    this.see(reason.split(' ')[0]!);
    const by = byJobId === null ? null : jobs.get(byJobId)!;
    if (!victim.preemptible) this.world.broken(`invariant 3: ${victim.name} is not preemptible and is stopped`);
    if (by?.preemption === 'never') this.world.broken(`invariant 3: ${by.name} preempts nobody, and did`);
    if (reason.startsWith('reclaimed')) {
      if (by?.queueId === victim.queueId) this.world.broken(`invariant 3: ${by.name} reclaims from its own queue`);
    } else if (victim.priority >= (by?.priority ?? SERVING_PRIORITY))
      this.world.broken(
        `invariant 3: ${victim.name} is preempted by ${by?.name ?? 'a replica'}, which is not above it`,
      );
  }

  /** F12: what an attempt held is charged once, when it ends. */
  private checkUsage({ before, after }: Commit): void {
    const total = ({ usage }: Tables) => [...usage.values()].reduce((sum, each) => sum + each.jobDeviceSeconds, 0);
    const ended = [...after.attempts.values()].filter(
      ({ id, phase }) => phase === 'Ended' && before.attempts.get(id)?.phase !== 'Ended',
    );
    const held = ended.reduce((sum, attempt) => {
      const heldMs = Math.max(0, attempt.endedAt!.getTime() - attempt.createdAt.getTime());
      return sum + (deviceCountOf(attempt) * heldMs) / 1_000;
    }, 0);
    const charged = total(after) - total(before);
    if (Math.abs(charged - held) > ROUNDING)
      this.world.broken(`F12: ${charged} device-seconds are charged for ${held} that were held`);
  }
}

/** Its cluster is silent, and nothing that it said tells that this member has ended. */
function isGivenUp({ clusters, observations }: Tables, { id }: Attempt, { clusterId, rank }: TaskBinding): boolean {
  const reports = observations.get(clusterId)?.report.tasks ?? [];
  const report = reports.find(({ taskId }) => taskId === taskIdOf(id, rank));
  return clusters.get(clusterId)?.phase === 'Unknown' && !isTaskEnded(report?.phase ?? 'Pending');
}

function memberHolds({ id, claim, tasks }: Attempt) {
  return tasks.map(({ clusterId, devices }) => ({ id, claim, clusterId, devices }));
}
