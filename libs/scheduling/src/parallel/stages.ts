/**
 * Cuts a line of layers into stages for a line of device groups: every layer in exactly one stage, in order, every stage
 * within its group's memory, and the slowest stage as fast as can be (dynamic programming, exact for this order of
 * groups; O(stages · layers²) steps, each of them O(1) by prefix sums of what adds up).
 */
import { type Costs, USABLE_SHARE } from './costs.ts';
import type { DeviceGroup } from './device-groups.ts';
import type { LayerShape } from './model-shape.ts';

export interface Stage {
  readonly group: DeviceGroup;
  /** Of the layers: from, and up to but not with. */
  readonly from: number;
  readonly to: number;
  /** On each device of the group. */
  readonly memoryBytes: number;
  readonly seconds: number;
}

export interface Misfit {
  /** The stage that is nearest to fitting still needs so much on a device. */
  readonly neededBytes: number;
  readonly usableBytes: number;
}

/** As many stages as groups; a misfit when no cut keeps every stage within its memory. */
export function cutIntoStages(
  layers: readonly LayerShape[],
  groups: readonly DeviceGroup[],
  costs: Costs,
): Stage[] | Misfit {
  const misfit = misfitOf(layers, groups, costs);
  if (misfit.neededBytes > misfit.usableBytes) return misfit;
  const stages = groups.length;
  const count = layers.length;
  const table = tableOf(layers, groups, costs);
  // best[s][l]: the slowest of s stages over the first l layers, as fast as can be.
  const best = Array.from({ length: stages + 1 }, () => new Float64Array(count + 1).fill(Number.POSITIVE_INFINITY));
  const cuts = Array.from({ length: stages + 1 }, () => new Int32Array(count + 1).fill(-1));
  best[0]![0] = 0;
  for (let stage = 1; stage <= stages; stage += 1) {
    for (let to = stage; to <= count - (stages - stage); to += 1) {
      for (let from = to - 1; from >= stage - 1; from -= 1) {
        if (!table.fits(stage - 1, from, to)) break; // more layers need more memory
        const slowest = Math.max(best[stage - 1]![from]!, table.seconds(stage - 1, from, to));
        if (slowest < best[stage]![to]!) {
          best[stage]![to] = slowest;
          cuts[stage]![to] = from;
        }
      }
    }
  }
  if (best[stages]![count] === Number.POSITIVE_INFINITY) {
    return { ...misfit, usableBytes: Math.min(...groups.map(usable)) }; // it fits the large groups, not the small ones
  }
  const found: Stage[] = [];
  for (let stage = stages, to = count; stage > 0; stage -= 1) {
    const from = cuts[stage]![to]!;
    const seconds = table.seconds(stage - 1, from, to);
    found.unshift({ group: groups[stage - 1]!, from, to, memoryBytes: table.memory(from, to), seconds });
    to = from;
  }
  return found;
}

/** Memory and time of every run of layers, from sums over the first 0, 1, 2 … of them. */
function tableOf(layers: readonly LayerShape[], groups: readonly DeviceGroup[], costs: Costs) {
  const fixed = costs.memoryBytes([], groups.length);
  const memory = prefixSums(layers, (layer) => costs.memoryBytes([layer], groups.length) - fixed);
  const kinds = [...new Map(groups.map((group) => [kindOf(group), group])).entries()];
  const times = new Map(
    kinds.map(([kind, group]) => [kind, prefixSums(layers, (layer) => costs.seconds([layer], group))]),
  );
  const memoryOf = (from: number, to: number) => fixed + memory[to]! - memory[from]!;
  return {
    memory: memoryOf,
    fits: (stage: number, from: number, to: number) => memoryOf(from, to) <= usable(groups[stage]!),
    seconds: (stage: number, from: number, to: number) => {
      const group = groups[stage]!;
      const sums = times.get(kindOf(group))!;
      const received = from === 0 ? 0 : costs.handover(layers[from - 1]!, groups[stage - 1] ?? group, group);
      return sums[to]! - sums[from]! + received;
    },
  };
}

function prefixSums(layers: readonly LayerShape[], of: (layer: LayerShape) => number): Float64Array {
  const sums = new Float64Array(layers.length + 1);
  for (const [index, layer] of layers.entries()) sums[index + 1] = sums[index]! + of(layer);
  return sums;
}

/** What decides how fast a group is. */
function kindOf({ devices, isLinked }: DeviceGroup): string {
  const [first] = devices;
  return `${first!.deviceType} ${first!.memoryBytes} ${isLinked}`;
}

export function usable({ memoryBytes }: Pick<DeviceGroup, 'memoryBytes'>): number {
  return memoryBytes * USABLE_SHARE;
}

/** What the fullest device needs when the layers are cut for memory alone; no cut of so many stages needs less. */
function misfitOf(layers: readonly LayerShape[], groups: readonly DeviceGroup[], costs: Costs): Misfit {
  const fixed = costs.memoryBytes([], groups.length);
  const each = layers.map((layer) => costs.memoryBytes([layer], groups.length) - fixed);
  return { neededBytes: fixed + smallestFullest(each, groups.length), usableBytes: Math.max(...groups.map(usable)) };
}

const BISECTIONS = 40;

/** The smallest bound under which the sizes, in order, go into so many runs; by bisection, to a billionth. */
function smallestFullest(sizes: readonly number[], runs: number): number {
  let high = sizes.reduce((sum, size) => sum + size, 0);
  let low = Math.max(high / runs, ...sizes);
  if (goesInto(sizes, runs, low)) return low;
  for (let step = 0; step < BISECTIONS; step += 1) {
    const middle = (low + high) / 2;
    if (goesInto(sizes, runs, middle)) high = middle;
    else low = middle;
  }
  return high;
}

function goesInto(sizes: readonly number[], runs: number, bound: number): boolean {
  let used = 1;
  let filled = 0;
  for (const size of sizes) {
    if (filled + size > bound) {
      used += 1;
      filled = 0;
    }
    filled += size;
  }
  return used <= runs;
}
