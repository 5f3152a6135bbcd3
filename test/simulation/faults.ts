/**
 * The faults, as knobs. Each seed turns some of them on (a swarm: a run with few kinds of faults reaches states that one
 * with all of them never does), draws their times, and at the end everything is repaired except clocks, which stay wrong.
 */
import { DRAIN_MODES } from '#domain';
import { type CommandFaults, GOOD_COMMANDS } from './commands.ts';
import type { Fleet } from './fleet.ts';
import { CALM_NETWORK } from './network.ts';

/** Knob → what it does once. Seconds are virtual. */
const KNOBS = {
  /** The agent dies and is back after 1–60 s without memory; engines and disk stay. */
  'agent-kill': (fleet: Fleet) => killAgent(fleet, false),
  /** The same, and the newest state file is damaged: the one before it counts. */
  'disk-falls-back': (fleet: Fleet) => killAgent(fleet, true),
  'engine-crash': crashEngine,
  /** Nothing passes between one cluster and NATS for 1–150 s; half of the time nobody is told at once. */
  'cluster-cut': (fleet: Fleet) => cutAgents(fleet, 1, 1, 150),
  /** Most clusters are cut at once, for 45–200 s. */
  'mass-cut': (fleet: Fleet) => cutAgents(fleet, Math.ceil(fleet.machines.size * 0.6), 45, 200),
  'control-plane-kill': killPlane,
  /** Stopped and continued after 1–100 s, with what it believed before. */
  'control-plane-pause': pausePlane,
  'control-plane-cut': cutPlane,
  /** Gone with everything it held, back after 1–90 s. */
  'nats-restart': restartNats,
  cordon: cordonCluster,
  /** Emptied, by any mode and with a short deadline; undone when it is drawn again. */
  drain: drainCluster,
  'cluster-removed': removeCluster,
} as const;
/** Only where there are jobs. */
const JOB_KNOBS = {
  /** A command is gone, and nobody learns of an exit code. */
  'command-vanishes': vanishCommand,
  /** An event that was sent long ago comes once more. */
  'event-comes-late': repeatEvent,
} as const;
type Knob = keyof typeof KNOBS | keyof typeof JOB_KNOBS;

/** Worlds in which one cluster is cut off for longer than its attempts are waited for. */
const LONG_CUT_SHARE = 0.25;
const LONG_CUT_WORLD_MS = 270_000;
/** What neither ends such a cut nor makes a new leader count from its own first look. */
const QUIET_KNOBS: ReadonlySet<Knob> = new Set([
  'engine-crash',
  'cordon',
  'drain',
  'command-vanishes',
  'event-comes-late',
]);

export class Faults {
  isOn = true;
  durationMs = 0;
  lostAnswerShare = 0;
  transferFailureShare = 0;
  commandFaults: CommandFaults = GOOD_COMMANDS;
  private knobs: Knob[] = [];
  private stoppedAtMs = Number.POSITIVE_INFINITY;

  constructor(private readonly fleet: Fleet) {}

  /** Long enough without faults for heartbeats to be judged by their absence. */
  get isCalm(): boolean {
    return this.fleet.world.nowMs - this.stoppedAtMs > 5_000;
  }

  choose(): void {
    const { world, network } = this.fleet;
    this.durationMs = world.between(60, 280) * 1_000;
    const { hasJobs } = this.fleet.rules;
    const knobs = { ...KNOBS, ...(hasJobs ? JOB_KNOBS : {}) };
    this.knobs = (Object.keys(knobs) as Knob[]).filter(() => world.chance(0.4));
    if (world.chance(0.6)) {
      network.faults = {
        dropShare: world.pick([0, 0.02, 0.2]),
        repeatShare: world.pick([0, 0.1, 0.3]),
        delayMsMax: world.pick([30, 300, 2_500]),
      };
      this.lostAnswerShare = 0.3;
    }
    if (world.chance(0.5)) this.transferFailureShare = 0.3;
    const { dropShare, repeatShare, delayMsMax } = network.faults;
    world.say(
      `knobs: ${this.knobs.join(', ')}; network ${dropShare}/${repeatShare}/${delayMsMax} ms; clocks ± ${this.fleet.rules.clockSkewMsMax} ms`,
    );
    this.schedule(2, 15, () => this.strike());
    this.schedule(1, 20, () => this.fleet.operator.act());
    // One that is right for itself alone is right enough: what matters is that they differ, and jump.
    if (this.fleet.rules.clockSkewMsMax > 0) this.schedule(10, 90, () => this.fleet.jumpClock());
    if (hasJobs) this.chooseJobs();
  }

  private chooseJobs(): void {
    const { world, jobOperator } = this.fleet;
    if (world.chance(0.7)) {
      this.commandFaults = {
        failureShare: world.pick([0, 0.2, 0.5]),
        lateShare: world.pick([0, 0.4]),
        muteShare: world.pick([0, 0.4]),
        stubbornShare: world.pick([0, 0.4]),
      };
    }
    this.schedule(1, 8, () => jobOperator.act());
    if (!world.chance(LONG_CUT_SHARE)) return;
    this.durationMs = Math.max(this.durationMs, LONG_CUT_WORLD_MS);
    jobOperator.longShare = 0.35;
    this.knobs = this.knobs.filter((knob) => QUIET_KNOBS.has(knob));
    world.after(world.between(20_000, 50_000), null, () => cutBusiest(this.fleet));
  }

  /** Everything is repaired; clocks stay as wrong as they are. */
  stop(): void {
    const { world, network, planes, agents, machines, database, operator } = this.fleet;
    world.say('the faults stop');
    this.isOn = false;
    this.stoppedAtMs = world.nowMs;
    network.faults = { ...CALM_NETWORK };
    for (const [name, plane] of planes) {
      if (plane.state === 'dead') this.fleet.startPlane(name);
      else plane.resume();
    }
    for (const clusterId of machines.keys()) {
      if (agents.get(clusterId)?.state === 'dead') this.fleet.startAgent(clusterId);
    }
    network.healAll();
    for (const { name, cordoned, drain, phase } of database.committed.clusters.values()) {
      if (cordoned && phase !== 'Left') operator.cordon(name, false);
      if (drain !== null && phase !== 'Left') operator.drain(name, null);
    }
  }

  private strike(): void {
    if (this.knobs.length === 0) return;
    ({ ...KNOBS, ...JOB_KNOBS })[this.fleet.world.pick(this.knobs)](this.fleet);
  }

  private schedule(leastSeconds: number, mostSeconds: number, run: () => void): void {
    const { world } = this.fleet;
    world.after(world.between(leastSeconds * 1_000, mostSeconds * 1_000), null, () => {
      if (!this.isOn) return;
      run();
      this.schedule(leastSeconds, mostSeconds, run);
    });
  }
}

/** Undoes a fault later, unless all faults have stopped by then. */
function later(fleet: Fleet, leastSeconds: number, mostSeconds: number, undo: () => void): void {
  const { world, faults } = fleet;
  world.after(world.between(leastSeconds * 1_000, mostSeconds * 1_000), null, () => {
    if (faults.isOn) undo();
  });
}

function killAgent(fleet: Fleet, isDamaged: boolean): void {
  const { world, agents, machines } = fleet;
  const alive = [...agents].filter(([, { state }]) => state === 'running');
  if (alive.length === 0) return;
  const [clusterId, agent] = world.pick(alive);
  world.say(`${agent.name} is killed${isDamaged ? ', its newest state file damaged' : ''}`);
  agent.kill();
  const { disk } = machines.get(clusterId)!;
  if (isDamaged) {
    disk.current = disk.previous;
    fleet.safety.fellBack.add(clusterId);
  }
  later(fleet, 1, 60, () => fleet.startAgent(clusterId));
}

function crashEngine(fleet: Fleet): void {
  const { world, machines, agents } = fleet;
  const running = [...machines.values()].flatMap(({ clusterId, engines }) =>
    [...engines.values()].map((engine) => ({ clusterId, engine })),
  );
  if (running.length === 0) return;
  const { clusterId, engine } = world.pick(running);
  world.say(`an engine of ${machines.get(clusterId)!.clusterName} crashes`);
  machines.get(clusterId)!.engines.delete(engine.replicaId);
  const agent = agents.get(clusterId)!;
  world.after(world.between(10, 1_000), agent, () => agent.engineCrashed(engine.replicaId, engine.processId));
}

function vanishCommand({ world, machines }: Fleet): void {
  const running = [...machines.values()].flatMap(({ commands }) => commands);
  if (running.length === 0) return;
  const command = world.pick(running);
  world.say(`the command of ${command.task.jobName} #${command.task.attempt}.${command.task.rank} vanishes`);
  command.vanish();
}

function repeatEvent({ world, agents }: Fleet): void {
  const running = [...agents.values()].filter(({ state }) => state === 'running');
  if (running.length > 0) world.pick(running).repeatEvent();
}

function cutAgents(fleet: Fleet, count: number, leastSeconds: number, mostSeconds: number): void {
  const { world, agents } = fleet;
  const left = [...agents.values()].filter(({ state }) => state !== 'dead');
  for (let each = 0; each < count && left.length > 0; each += 1) {
    const [agent] = left.splice(world.between(0, left.length - 1), 1);
    world.say(`${agent!.name} is cut off`);
    agent!.cut();
    later(fleet, leastSeconds, mostSeconds, () => agent!.heal());
  }
}

/** The one with the most to lose. */
function cutBusiest(fleet: Fleet): void {
  const { world, agents, machines } = fleet;
  const busy = [...machines.values()].sort((left, right) => right.commands.length - left.commands.length);
  const agent = agents.get(busy[0]!.clusterId)!;
  world.say(`${agent.name} is cut off for long`);
  agent.cut();
  later(fleet, 150, 220, () => agent.heal());
}

function killPlane(fleet: Fleet): void {
  const { world, planes } = fleet;
  const alive = [...planes.values()].filter(({ state }) => state !== 'dead');
  if (alive.length === 0) return;
  const plane = world.pick(alive);
  world.say(`${plane.name} is killed`);
  plane.kill();
  later(fleet, 1, 30, () => fleet.startPlane(plane.name));
}

function pausePlane(fleet: Fleet): void {
  const { world, planes } = fleet;
  const running = [...planes.values()].filter(({ state }) => state === 'running');
  if (running.length === 0) return;
  const plane = world.pick(running);
  world.say(`${plane.name} is paused`);
  plane.pause();
  later(fleet, 1, 100, () => {
    if (plane.state === 'paused') world.say(`${plane.name} goes on`);
    plane.resume();
  });
}

function cutPlane(fleet: Fleet): void {
  const { world, planes } = fleet;
  const plane = world.pick([...planes.values()]);
  if (plane.state === 'dead') return;
  world.say(`${plane.name} is cut off from NATS`);
  plane.cut();
  later(fleet, 1, 60, () => plane.heal());
}

function restartNats(fleet: Fleet): void {
  const { world, network } = fleet;
  if (!network.isUp) return;
  world.say('NATS stops and forgets');
  network.stop();
  later(fleet, 1, 90, () => {
    if (!network.isUp) network.start();
  });
}

function cordonCluster({ world, database, operator }: Fleet): void {
  const { name, cordoned, phase } = world.pick([...database.committed.clusters.values()]);
  if (phase !== 'Left') operator.cordon(name, !cordoned);
}

function drainCluster({ world, database, operator }: Fleet): void {
  const { name, drain, phase } = world.pick([...database.committed.clusters.values()]);
  if (phase === 'Left') return;
  const wanted = { mode: world.pick(DRAIN_MODES), deadlineSeconds: world.pick([0, 10, 40]) };
  operator.drain(name, drain === null ? wanted : null);
}

function removeCluster({ world, database, operator }: Fleet): void {
  const { clusters } = database.committed;
  const isOneGone = [...clusters.values()].some(({ phase }) => phase === 'Left');
  if (!isOneGone && world.chance(0.2)) operator.removeCluster(world.pick([...clusters.values()]).name);
}
