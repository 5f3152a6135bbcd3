/**
 * One seed: a fleet is made, people and faults act on it for some minutes of virtual time, then the faults stop and
 * everything must come to rest as it was asked for. Safety is looked at after every step, liveness at the end.
 */
import { createHash } from 'node:crypto';
import { Logger } from '@nestjs/common';
import {
  type Cluster,
  DEFAULT_MODEL_POLICY,
  DEFAULT_SYNC_POLICIES,
  type ModelVersion,
  manifestText,
  type Node,
} from '#domain';
import { Agent, type AgentRules, Machine, PRODUCTION_AGENT } from './agent.ts';
import { GOOD_COMMANDS } from './commands.ts';
import { ControlPlane } from './control-plane.ts';
import { unsettled } from './convergence.ts';
import { Database, type DatabaseRules } from './database.ts';
import { Faults } from './faults.ts';
import { JobOperator, QUEUES } from './job-operator.ts';
import { JobSafety } from './job-safety.ts';
import { JobTimes } from './job-times.ts';
import { Network } from './network.ts';
import { Operator } from './operator.ts';
import { Registry } from './registry.ts';
import { Safety } from './safety.ts';
import { resetIds } from './seeded-ids.ts';
import { TENANT } from './table-rows.ts';
import { Traffic } from './traffic.ts';
import { inWorldTime, START_MS, World } from './world.ts';

/** Faults have stopped for so long: everything has converged (invariant 11). */
export const CONVERGENCE_SECONDS_MAX = 180;
/** With jobs: what waits has to run as well, long ones that a drain or a failure sent back to the queue one after the other. */
const JOBS_CONVERGENCE_SECONDS_MAX = 900;
const REST_SECONDS = 15;

export interface Rules {
  readonly agent: AgentRules;
  readonly database: DatabaseRules;
  /** Wall clocks of processes and of the database are wrong by up to this. */
  readonly clockSkewMsMax: number;
  /** Whether people submit jobs too. Default: no. */
  readonly hasJobs?: boolean;
  readonly makeLiveness?: (world: World) => ConstructorParameters<typeof ControlPlane>[7];
}

export const PRODUCTION: Rules = {
  agent: PRODUCTION_AGENT,
  database: { checksEpoch: true },
  clockSkewMsMax: 0,
};

export const WITH_JOBS: Rules = { ...PRODUCTION, hasJobs: true };

export interface Outcome {
  readonly seed: number;
  /** Null: nothing was broken and the fleet converged. */
  readonly violation: string | null;
  /** The last forty things that happened. */
  readonly history: readonly string[];
  readonly convergedSeconds: number | null;
  readonly events: number;
  /** What of jobs was reached, and how often. */
  readonly seen: ReadonlyMap<string, number>;
}

export class Fleet {
  readonly world: World;
  readonly database: Database;
  readonly network: Network;
  readonly safety: Safety;
  readonly jobSafety: JobSafety;
  readonly jobTimes: JobTimes;
  readonly registry = new Registry();
  readonly operator: Operator;
  readonly jobOperator: JobOperator;
  readonly traffic: Traffic;
  readonly faults: Faults;
  readonly machines = new Map<string, Machine>();
  readonly agents = new Map<string, Agent>();
  readonly planes = new Map<string, ControlPlane>();
  private boots = 0;

  constructor(
    seed: number,
    readonly rules: Rules,
  ) {
    this.world = new World(seed);
    this.database = new Database(this.world, rules.database);
    this.network = new Network(this.world);
    this.safety = new Safety(this.world, this.database, this.machines);
    this.jobSafety = new JobSafety(this.world, this.database, this.machines, this.registry, this.safety);
    this.jobTimes = new JobTimes(this.world, (what) => this.jobSafety.see(what));
    this.database.onCommit = (commit) => {
      this.safety.onCommit(commit);
      if (rules.hasJobs) this.jobSafety.onCommit(commit);
      if (rules.hasJobs) this.jobTimes.onCommit(commit);
      for (const { id, phase } of commit.after.clusters.values()) {
        if (phase === 'Left' && commit.before.clusters.get(id)?.phase !== 'Left') this.clusterLeft(id);
      }
    };
    this.faults = new Faults(this);
    this.traffic = new Traffic(this.world, this.database, this.machines);
    this.operator = new Operator(
      this.world,
      () => this.anyPlane(),
      () => this.faults.isOn && this.world.chance(this.faults.lostAnswerShare),
      () => this.database.committed,
    );
    this.jobOperator = new JobOperator(this.world, this.operator, () => this.database.committed);
  }

  build(): void {
    const { world, rules } = this;
    this.faults.choose();
    this.database.skewMs = this.skewMs();
    this.seedRows();
    for (const name of world.chance(0.3) ? ['cp-1', 'cp-2', 'cp-3'] : ['cp-1', 'cp-2']) this.startPlane(name);
    for (const clusterId of this.machines.keys()) this.startAgent(clusterId);
    const second = () => {
      this.safety.noteTime();
      this.traffic.flow();
      if (!this.faults.isOn) this.operator.conclude();
      if (rules.hasJobs) this.secondOfJobs();
      this.safety.checkStuck(this.leader(), this.faults.isCalm);
      world.after(1_000, null, second);
    };
    second();
  }

  /** The runners look at their commands; people let go on what they held. */
  private secondOfJobs(): void {
    const { world, machines, jobOperator, rules } = this;
    for (const machine of machines.values()) {
      for (const command of machine.commands) {
        const step = command.watch(machine.silentSeconds(world.nowMs), rules.agent.silenceStep);
        if (step === 'go-on') continue;
        this.jobSafety.see(`silence: ${step}`);
        world.say(`silence in ${machine.clusterName}: ${step} ${command.task.jobName}`);
      }
    }
    if (!this.faults.isOn) jobOperator.conclude();
  }

  leader(): ControlPlane | undefined {
    return [...this.planes.values()].find((plane) => plane.epoch !== null && this.database.leader === plane);
  }

  startPlane(name: string): void {
    const skewMs = this.skewMs();
    const liveness = this.rules.makeLiveness?.(this.world);
    const { world, database, network, traffic, registry, rules } = this;
    this.planes.set(
      name,
      new ControlPlane(name, world, database, network, traffic, registry, skewMs, liveness, rules.hasJobs),
    );
  }

  startAgent(clusterId: string): void {
    if (this.database.committed.clusters.get(clusterId)?.phase === 'Left') return;
    this.boots += 1;
    const bootId = `00000000-0000-7000-9000-${String(this.boots).padStart(12, '0')}`;
    const around = {
      onApplied: (agent: Agent, ...rest: [Parameters<Safety['onApplied']>[1], boolean]) =>
        this.safety.onApplied(agent, ...rest),
      onStarting: (...given: Parameters<Safety['onStarting']>) => this.safety.onStarting(...given),
      onStopping: (...given: Parameters<Safety['onStopping']>) => this.safety.onStopping(...given),
      onTaskStarting: (...given: Parameters<JobSafety['onTaskStarting']>) => this.jobSafety.onTaskStarting(...given),
      onTaskEnding: (...given: Parameters<JobSafety['onTaskEnding']>) => this.jobSafety.onTaskEnding(...given),
      transferFailureShare: () => (this.faults.isOn ? this.faults.transferFailureShare : 0),
      commandFaults: () => (this.faults.isOn ? this.faults.commandFaults : GOOD_COMMANDS),
      registry: this.registry,
    };
    const machine = this.machines.get(clusterId)!;
    const skewMs = this.skewMs();
    this.agents.set(clusterId, new Agent(bootId, machine, this.world, this.network, around, this.rules.agent, skewMs));
  }

  /** Somebody puts a clock right, or wrong: the database's, or that of a process of the control plane. */
  jumpClock(): void {
    const { world, database } = this;
    const whose = world.pick([database, database, ...this.planes.values()]);
    const beforeMs = whose.skewMs;
    whose.skewMs = this.skewMs();
    const byMs = whose.skewMs - beforeMs;
    if (whose === database) this.jobTimes.databaseJumped(byMs);
    world.say(`the clock of ${whose instanceof ControlPlane ? whose.name : 'the database'} jumps by ${byMs} ms`);
  }

  private skewMs(): number {
    return this.world.between(-this.rules.clockSkewMsMax, this.rules.clockSkewMsMax);
  }

  private anyPlane(): ControlPlane | undefined {
    const there = [...this.planes.values()].filter(({ state }) => state !== 'dead');
    return there.length === 0 ? undefined : this.world.pick(there);
  }

  /** Its credentials end with the commit, and its agent finds out. */
  private clusterLeft(clusterId: string): void {
    this.world.after(this.world.between(10, 1_000), null, () => {
      this.network.refuse(clusterId);
      this.world.after(this.world.between(1_000, 10_000), null, () => this.agents.get(clusterId)?.removed());
    });
  }

  private seedRows(): void {
    const { clusters, models, versions } = this.database.committed;
    const createdAt = new Date(START_MS);
    models.set(id(1), {
      id: id(1),
      tenantId: TENANT,
      name: 'chat',
      policy: DEFAULT_MODEL_POLICY,
      createdAt,
      revision: 1,
    });
    for (const number of [1, 2, 3]) versions.set(id(10 + number), makeVersion(number, createdAt));
    const count = this.world.between(3, 6);
    for (let index = 1; index <= count; index += 1) {
      const isLarge = this.rules.hasJobs === true && index <= 2;
      const cluster: Cluster = { ...makeCluster(index, createdAt), ...(isLarge ? { kind: 'central' } : {}) };
      clusters.set(cluster.id, cluster);
      const nodes = isLarge ? [makeNode(4, 'n1'), makeNode(4, 'n2')] : [makeNode(this.world.between(1, 5))];
      this.machines.set(cluster.id, new Machine(cluster.id, cluster.name, nodes));
    }
    if (this.rules.hasJobs) this.seedQueues(createdAt);
  }

  private seedQueues(createdAt: Date): void {
    const { queues } = this.database.committed;
    const [base] = queues.values();
    for (const [index, name] of QUEUES.slice(1).entries()) {
      const of = { id: id(200 + index), name, createdAt };
      queues.set(of.id, { ...base!, ...of, weight: index + 1, quota: { cpu: 4 * (index + 1) } });
    }
  }
}

export async function simulate(seed: number, rules: Rules = PRODUCTION): Promise<Outcome> {
  Logger.overrideLogger(false);
  resetIds(seed);
  const fleet = new Fleet(seed, rules);
  const { world } = fleet;
  const convergedSeconds = await inWorldTime(world, async () => {
    fleet.build();
    await world.run(START_MS + fleet.faults.durationMs);
    fleet.faults.stop();
    return world.violation === null ? converge(fleet) : null;
  });
  const { violation, history, events } = world;
  return { seed, violation, history, convergedSeconds, events, seen: fleet.jobSafety.seen };
}

async function converge(fleet: Fleet): Promise<number | null> {
  const { world } = fleet;
  const most = fleet.rules.hasJobs ? JOBS_CONVERGENCE_SECONDS_MAX : CONVERGENCE_SECONDS_MAX;
  for (let second = 1; second <= most; second += 1) {
    await world.run(world.nowMs + 1_000);
    if (world.violation !== null) return null;
    if (unsettled(fleet).length > 0) continue;
    await rest(fleet);
    return second;
  }
  world.broken(`invariant 11: ${most} s after the faults: ${unsettled(fleet).join('; ')}`);
  return null;
}

/** What has come to rest stays so. */
async function rest(fleet: Fleet): Promise<void> {
  const { world, machines, database } = fleet;
  const picture = () =>
    JSON.stringify([
      [...machines.values()]
        .filter(({ clusterId }) => database.committed.clusters.get(clusterId)?.phase !== 'Left')
        .map(({ engines }) => [...engines.values()].map(({ processId }) => processId)),
      [...database.committed.desired.values()].map(({ epoch, revision }) => [epoch, revision]),
    ]);
  const before = picture();
  await world.run(world.nowMs + REST_SECONDS * 1_000);
  if (world.violation === null && picture() !== before) world.broken('R5, invariant 11: what had come to rest moved');
}

function id(number: number): string {
  return `00000000-0000-7000-8000-${String(number).padStart(12, '0')}`;
}

function makeVersion(number: number, createdAt: Date): ModelVersion {
  const digest = createHash('sha256').update(`content ${number}`).digest('hex');
  const files = [{ path: 'model.gguf', digest, sizeBytes: 100 }];
  return {
    id: id(10 + number),
    tenantId: TENANT,
    modelId: id(1),
    number,
    phase: 'Published',
    digest: createHash('sha256').update(manifestText(files)).digest('hex'),
    sizeBytes: 100,
    files,
    notes: '',
    parentId: null,
    metadata: {},
    signature: null,
    createdAt,
    publishedAt: createdAt,
  };
}

function makeCluster(index: number, createdAt: Date): Cluster {
  return {
    id: id(100 + index),
    tenantId: TENANT,
    name: `c${index}`,
    kind: index === 1 ? 'central' : 'edge',
    region: 'cn',
    zone: '',
    labels: { ring: index % 2 === 0 ? 'early' : 'late' },
    sync: DEFAULT_SYNC_POLICIES.edge,
    publicKey: `U${index}`,
    phase: 'Ready',
    cordoned: false,
    drain: null,
    ahead: null,
    phaseSince: createdAt,
    createdAt,
    revision: 1,
  };
}

function makeNode(devices: number, name = 'node'): Node {
  return {
    name,
    devices: Array.from({ length: devices }, (_, index) => ({
      id: `cpu${index}`,
      deviceType: 'cpu',
      memoryBytes: 1e9,
    })),
  };
}
