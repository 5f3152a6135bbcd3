/**
 * How to run a model on several devices: t-way tensor parallelism inside p pipeline stages.
 *
 * Every t that divides the attention heads (and divides, or is a multiple of, the key-value heads) and fits in a node is
 * tried, with the shortest p that fits and two longer ones. Memory is the hard limit. Of what fits, the split with the fewest
 * device-seconds wins: devices × seconds a token when serving (the stages one after the other), devices × seconds a step
 * when fine-tuning (the slowest stage, with the pipeline's bubble (p − 1) / m; Huang et al., GPipe, 2019). So devices are
 * added where they pay, and not beyond. Ties go to fewer devices, then to fewer stages.
 */
import type { DeviceType, GangPolicy, Node, ResourceClaim } from '#domain';
import { costsOf, MICRO_BATCHES, type Purpose, USABLE_SHARE } from './costs.ts';
import { type DeviceGroup, groupsOf, largestGroup } from './device-groups.ts';
import { type ModelShape, weightBytesOf } from './model-shape.ts';
import { cutIntoStages, type Misfit, type Stage } from './stages.ts';

export interface Split {
  readonly tensor: number;
  readonly pipeline: number;
}

export interface PlannedStage {
  /** Names of the first and the last layer. */
  readonly layers: readonly [string, string];
  readonly layerCount: number;
  readonly node: string;
  readonly deviceIds: readonly string[];
  /** On each device. */
  readonly memoryBytes: number;
  readonly seconds: number;
}

export interface ParallelPlan extends Split {
  readonly devices: number;
  readonly stages: readonly PlannedStage[];
  readonly claim: ResourceClaim;
  readonly gang: GangPolicy;
  /** Device-seconds a token, or a micro-batch. */
  readonly cost: number;
  /** One sentence: what it is, and why nothing smaller. */
  readonly reason: string;
  /** The others, fewest devices first, with why not. */
  readonly rejected: readonly (Split & { readonly because: string })[];
}

export interface NoParallelPlan {
  readonly impossible: string;
  readonly rejected: ParallelPlan['rejected'];
}

interface Tried extends Split {
  readonly stages: readonly Stage[];
  readonly cost: number;
}

interface TriedMisfit extends Split {
  readonly misfit: Misfit;
}

const FITTING_LENGTHS_TRIED = 3;
/** A pipeline longer than this waits more than it computes. */
const PIPELINE_MAX = 64;
const GB = 1e9;

export function planParallel(
  shape: ModelShape,
  purpose: Purpose,
  nodes: readonly Node[],
  deviceType: DeviceType,
): ParallelPlan | NoParallelPlan {
  const degrees = tensorDegrees(shape, largestGroup(nodes, deviceType));
  const tried = degrees.map((tensor) => trySplits(shape, purpose, groupsOf(nodes, deviceType, tensor), tensor));
  const misfits = tried.flatMap((each) => each.misfits);
  const rejected = misfits.map(({ tensor, pipeline, misfit }) => ({
    tensor,
    pipeline,
    because: describeMisfit(misfit),
  }));
  const [best, ...others] = tried.flatMap((each) => each.fitting).sort(compare);
  if (best === undefined) return { impossible: describeNone(shape, nodes, deviceType, misfits), rejected };
  const costlier = others.map(({ tensor, pipeline, cost }) => ({
    tensor,
    pipeline,
    because: `it fits, and costs ${(cost / best.cost).toFixed(2)} times the device-seconds`,
  }));
  return toPlan(shape, best, deviceType, [...rejected, ...costlier].sort(bySize));
}

/**
 * Longer and longer pipelines of one tensor degree, until some fit: a longer one hands over more often and waits longer,
 * and only a more even cut can make up for that.
 */
function trySplits(shape: ModelShape, purpose: Purpose, groups: readonly DeviceGroup[], tensor: number) {
  const costs = costsOf(shape, purpose, tensor);
  const fitting: Tried[] = [];
  const misfits: TriedMisfit[] = [];
  const longest = Math.min(groups.length, shape.layers.length, PIPELINE_MAX);
  for (let pipeline = 1; pipeline <= longest && fitting.length < FITTING_LENGTHS_TRIED; pipeline += 1) {
    const stages = cutIntoStages(shape.layers, groups.slice(0, pipeline), costs);
    if ('neededBytes' in stages) misfits.push({ tensor, pipeline, misfit: stages });
    else fitting.push({ tensor, pipeline, stages, cost: costOf({ tensor, pipeline }, stages, purpose) });
  }
  return { fitting, misfits };
}

/** Powers of two come first by nature; others appear where the heads allow them. */
function tensorDegrees({ attentionHeads, keyValueHeads, isCacheReplicated }: ModelShape, most: number): number[] {
  const all = Array.from({ length: Math.min(most, attentionHeads) }, (_, index) => index + 1);
  return all.filter((degree) => {
    if (attentionHeads % degree !== 0) return false;
    return isCacheReplicated || keyValueHeads % degree === 0 || degree % keyValueHeads === 0;
  });
}

function costOf({ tensor, pipeline }: Split, stages: readonly Stage[], purpose: Purpose): number {
  const seconds = stages.map((stage) => stage.seconds);
  const devices = tensor * pipeline;
  if (purpose.kind === 'serving') return devices * seconds.reduce((sum, each) => sum + each, 0);
  return devices * Math.max(...seconds) * (1 + (pipeline - 1) / MICRO_BATCHES);
}

function compare(left: Tried, right: Tried): number {
  return left.cost - right.cost || bySize(left, right);
}

function bySize(left: Split, right: Split): number {
  return left.tensor * left.pipeline - right.tensor * right.pipeline || left.pipeline - right.pipeline;
}

function toPlan(
  shape: ModelShape,
  { tensor, pipeline, stages, cost }: Tried,
  deviceType: DeviceType,
  rejected: ParallelPlan['rejected'],
): ParallelPlan {
  const devices = tensor * pipeline;
  const planned = stages.map(
    ({ group, from, to, memoryBytes, seconds }): PlannedStage => ({
      layers: [shape.layers[from]!.name, shape.layers[to - 1]!.name],
      layerCount: to - from,
      node: group.node,
      deviceIds: group.devices.map(({ id }) => id),
      memoryBytes,
      seconds,
    }),
  );
  const smaller = rejected.filter((each) => each.tensor * each.pipeline < devices);
  const largestSmaller = smaller.filter(({ because }) => because.startsWith('needs')).at(-1);
  const why =
    largestSmaller === undefined
      ? 'nothing smaller exists'
      : `${wordsOf(largestSmaller)} does not fit: ${largestSmaller.because}`;
  return {
    tensor,
    pipeline,
    devices,
    stages: planned,
    ...claimFor(stages, tensor, deviceType),
    cost,
    reason: `${wordsOf({ tensor, pipeline })}: ${gigabytes(Math.max(...planned.map((stage) => stage.memoryBytes)))} a device; ${why}`,
    rejected,
  };
}

/** A member a node where every node takes as many stages, else a member a stage. */
function claimFor(
  stages: readonly Stage[],
  tensor: number,
  deviceType: DeviceType,
): { claim: ResourceClaim; gang: GangPolicy } {
  const perNode = [...Map.groupBy(stages, ({ group }) => group.node).values()].map((each) => each.length);
  const isEven = perNode.every((count) => count === perNode[0]);
  const stagesPerMember = isEven ? perNode[0]! : 1;
  const count = tensor * stagesPerMember;
  const needed = Math.max(...stages.map(({ memoryBytes }) => memoryBytes));
  const groups = stages.map(({ group }) => group);
  const isOneLink = stagesPerMember === 1 && groups.every(({ isLinked }) => isLinked) && tensor > 1;
  const size = stages.length / stagesPerMember;
  return {
    claim: {
      deviceType,
      count,
      memoryBytesPerDevice: Math.ceil(needed / USABLE_SHARE),
      schedulingPolicy: { topologyScope: isOneLink ? 'link' : 'node' },
    },
    gang: {
      size,
      minimum: size,
      topology: size > 1 ? { scope: 'rack', required: false } : null,
      spansClusters: false,
    },
  };
}

function describeMisfit({ neededBytes, usableBytes }: Misfit): string {
  return `needs ${gigabytes(neededBytes)} a device, and ${gigabytes(usableBytes)} are usable`;
}

function describeNone(
  shape: ModelShape,
  nodes: readonly Node[],
  deviceType: DeviceType,
  misfits: readonly TriedMisfit[],
): string {
  const total = nodes.flatMap(({ devices }) => devices).filter((device) => device.deviceType === deviceType);
  if (total.length === 0) return `there is no ${deviceType}`;
  const memory = total.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const [best] = [...misfits].sort((left, right) => left.misfit.neededBytes - right.misfit.neededBytes);
  const nearest = best === undefined ? '' : `; at best, ${wordsOf(best)} ${describeMisfit(best.misfit)}`;
  return `${gigabytes(weightBytesOf(shape))} of weights do not fit on ${total.length} ${deviceType} with ${gigabytes(memory)} in all${nearest}`;
}

function wordsOf({ tensor, pipeline }: Split): string {
  return `tensor ${tensor} × pipeline ${pipeline}`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / GB).toFixed(bytes < 10 * GB ? 1 : 0)} GB`;
}
