/**
 * What is measured. A scenario makes a world with its work waiting; `flood` cycles decide all of it, and small cycles
 * after that decide what came in between, with everything that runs and waits in every snapshot.
 */
import { DryRun } from '#scheduling';
import { clusterOf, on, PLAIN_SHAPE, World } from './world.ts';

export interface Scenario {
  readonly meaning: string;
  readonly make: (nodes: number, jobs: number) => World;
  /** Of a small cycle: what ends and what comes before it. */
  readonly turn: (world: World) => void;
  /** Where nothing is carried out: gives milliseconds of one question about the same fleet. */
  readonly ask?: (world: World) => () => number;
  /** Nodes × jobs that a run without options measures; the whole table is SIZES. */
  readonly sizes: readonly (readonly [nodes: number, jobs: number])[];
  /** True: SIZES mean nothing to it, its own are all there are. */
  readonly isFixed?: true;
}

const SMALL_BATCH = 32;
export const NODE_COUNTS = [100, 1_000, 5_000, 10_000] as const;
export const JOB_COUNTS = [1_000, 10_000, 50_000] as const;

const worldOf = (nodes: number) => new World([clusterOf({ nodes, ...PLAIN_SHAPE })]);

/** As much ends as comes. */
const replace = (world: World) => {
  world.finish(SMALL_BATCH);
  world.submit(SMALL_BATCH);
};

export const SCENARIOS = {
  basic: {
    meaning: 'jobs of one device on an empty fleet',
    make: (nodes, jobs) => {
      const world = worldOf(nodes);
      world.submit(jobs);
      return world;
    },
    turn: replace,
    sizes: [
      [100, 1_000],
      [1_000, 10_000],
      [5_000, 10_000],
      [5_000, 50_000],
      [10_000, 10_000],
    ],
  },
  churn: {
    meaning: 'jobs of 1, 2, 4 and 8 devices in four classes and two queues, on a fleet that is half full',
    make: (nodes, jobs) => {
      const world = worldOf(nodes);
      for (let node = 0; node < nodes; node += 2) world.occupy({ devices: 8, priority: 8 }, [on(node, 8)]);
      mixed(world, jobs);
      return world;
    },
    turn: (world) => {
      world.finish(SMALL_BATCH);
      mixed(world, SMALL_BATCH);
    },
    sizes: [
      [1_000, 1_000],
      [5_000, 10_000],
    ],
  },
  'unschedulable-flood': {
    meaning: 'jobs that no node can ever hold, and one in a hundred that one can',
    make: (nodes, jobs) => {
      const world = worldOf(nodes);
      world.submit(Math.floor(jobs / 2), { devices: 16 });
      world.submit(Math.ceil(jobs / 2) - Math.floor(jobs / 100), { deviceType: 'huawei.com/ascend-npu' });
      world.submit(Math.floor(jobs / 100));
      return world;
    },
    turn: replace,
    sizes: [
      [1_000, 10_000],
      [5_000, 10_000],
    ],
  },
  preemption: {
    meaning: 'four low jobs of two devices on each node; each high one needs three',
    make: (nodes, jobs) => {
      const world = fullOfLow(nodes);
      world.submit(jobs, { devices: 3, priority: 8 });
      return world;
    },
    turn: (world) => world.submit(1, { devices: 3, priority: 9 }),
    sizes: [
      [100, 100],
      [1_000, 1_000],
      [5_000, 1_000],
    ],
    isFixed: true,
  },
  'gangs-20x500': {
    meaning: '20 gangs of 500 members of one device',
    make: (nodes) => {
      const world = worldOf(nodes);
      world.submit(20, { members: 500 });
      return world;
    },
    turn: (world) => {
      world.finish(1);
      world.submit(1, { members: 500 });
    },
    sizes: [
      [1_000, 20],
      [5_000, 20],
    ],
    isFixed: true,
  },
  'gangs-500x20': {
    meaning: '500 gangs of 20 members of one device',
    make: (nodes) => {
      const world = worldOf(nodes);
      world.submit(500, { members: 20 });
      return world;
    },
    turn: (world) => {
      world.finish(1);
      world.submit(1, { members: 20 });
    },
    sizes: [
      [1_000, 500],
      [5_000, 500],
    ],
    isFixed: true,
  },
  'topology-640': {
    meaning: 'gangs of 8 × 8 devices that must be in one rack of 16 nodes',
    make: (nodes, jobs) => {
      const world = worldOf(nodes);
      world.submit(jobs, { members: 8, devices: 8, topology: { scope: 'rack', required: true } });
      return world;
    },
    turn: (world) => {
      world.finish(1);
      world.submit(1, { members: 8, devices: 8, topology: { scope: 'rack', required: true } });
    },
    sizes: [[640, 80]],
    isFixed: true,
  },
  'preemption-dry-run': {
    meaning: 'who would have to go for one more high job, asked again and again of one snapshot full of low ones',
    make: fullOfLow,
    turn: () => undefined,
    ask: (world) => {
      const dryRun = new DryRun(world.snapshot());
      // No two alike: what was found for one would answer the next.
      let memoryBytes = 0;
      return () => world.ask(dryRun, { devices: 3, priority: 8, memoryBytes: ++memoryBytes });
    },
    sizes: [[1_000, 1]],
    isFixed: true,
  },
  'preemption-foresight': {
    meaning: 'the same, of a new snapshot each time: the whole cycle that a dry run over REST plans',
    make: fullOfLow,
    turn: (world) => {
      world.pending.clear();
      world.submit(1, { devices: 3, priority: 8 });
    },
    ask: (world) => () => world.foresee(),
    sizes: [[1_000, 1]],
    isFixed: true,
  },
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof SCENARIOS;
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as ScenarioName[];
function mixed(world: World, jobs: number): void {
  for (let index = 0; index < jobs; index++) {
    world.submit(1, { devices: [1, 1, 2, 1, 4, 1, 8, 1][index % 8]!, priority: [2, 5, 5, 8][index % 4]! });
  }
}

function fullOfLow(nodes: number): World {
  const world = worldOf(nodes);
  for (let node = 0; node < nodes; node++) {
    for (let place = 0; place < 4; place++) world.occupy({ devices: 2, priority: 2 }, [on(node, 2, 2 * place)]);
  }
  return world;
}
