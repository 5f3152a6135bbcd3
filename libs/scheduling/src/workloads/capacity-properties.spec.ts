/** Properties on random small fleets, against a plain account that looks at every device. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Device, Node, ResourceClaim, TaskBinding, TopologyScope } from '#domain';
import { Capacity } from './capacity.ts';
import type { Placed, PlaceRequest } from './ports.ts';
import type { WorkloadCluster } from './snapshot.ts';
import { GIGABYTE, gpuCluster, request } from './workloads.builders.ts';

const RUNS = 500;
const GPU = 'nvidia.com/gpu';
const SCOPES: readonly TopologyScope[] = ['link', 'node', 'rack', 'zone', 'cluster'];

const deviceArbitrary = fc.record({
  gigabytes: fc.constantFrom(24, 80),
  link: fc.constantFrom(undefined, 'x', 'y'),
  isGpu: fc.integer({ min: 0, max: 4 }).map((number) => number > 0),
});
const nodeArbitrary = fc.record({
  devices: fc.array(deviceArbitrary, { maxLength: 6 }),
  rack: fc.constantFrom(undefined, 'r1', 'r2'),
  zone: fc.constantFrom(undefined, 'z1', 'z2'),
});
const clustersArbitrary = fc
  .array(fc.array(nodeArbitrary, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 3 })
  .map((clusters) =>
    clusters.map(
      (nodes, at): WorkloadCluster => ({
        ...gpuCluster(`c${at}`),
        nodes: nodes.map(
          ({ devices, rack, zone }, index): Node => ({
            name: `n${index}`,
            ...(rack === undefined ? {} : { rack }),
            ...(zone === undefined ? {} : { zone }),
            devices: devices.map(
              ({ gigabytes, link, isGpu }, device): Device => ({
                id: `${device}`,
                deviceType: isGpu ? GPU : 'cpu',
                memoryBytes: gigabytes * GIGABYTE,
                ...(link === undefined ? {} : { linkDomain: link }),
              }),
            ),
          }),
        ),
      }),
    ),
  );
const requestArbitrary = fc
  .record({
    count: fc.integer({ min: 1, max: 5 }),
    gigabytes: fc.constantFrom(undefined, 24, 40, 96),
    scope: fc.constantFrom(...SCOPES),
    size: fc.integer({ min: 1, max: 4 }),
    missing: fc.integer({ min: 0, max: 3 }),
    together: fc.option(fc.record({ scope: fc.constantFrom(...SCOPES), required: fc.boolean() })),
    spansClusters: fc.boolean(),
  })
  .map(({ count, gigabytes, scope, size, missing, together, spansClusters }): PlaceRequest => {
    const claim: ResourceClaim = {
      deviceType: GPU,
      count,
      ...(gigabytes === undefined ? {} : { memoryBytesPerDevice: gigabytes * GIGABYTE }),
      schedulingPolicy: { topologyScope: scope },
    };
    return request({
      claim,
      gang: { size, minimum: Math.max(1, size - missing), topology: together, spansClusters },
    });
  });

interface Slot {
  readonly key: string;
  readonly node: Node;
  readonly device: Device;
}

const keyOf = (clusterId: string, node: string, device: string) => `${clusterId}/${node}/${device}`;

function slotsOf({ id, nodes }: WorkloadCluster): Slot[] {
  return nodes.flatMap((node) =>
    node.devices.map((device) => ({ key: keyOf(id, node.name, device.id), node, device })),
  );
}

function domainOf({ node, device }: Slot, scope: TopologyScope): string {
  const rack = node.rack === undefined ? node.name : `${node.zone}/${node.rack}`;
  const names = {
    link: `${node.name}/${device.linkDomain ?? `alone ${device.id}`}`,
    node: node.name,
    rack,
    zone: node.zone ?? rack,
    cluster: '',
  };
  return names[scope];
}

/** Members of a claim that fit into some slots: every one in a domain, which holds what the whole number of them needs. */
function membersIn(slots: readonly Slot[], { count, schedulingPolicy }: ResourceClaim): number {
  const domains = Map.groupBy(slots, (slot) => domainOf(slot, schedulingPolicy.topologyScope));
  return [...domains.values()].reduce((sum, { length }) => sum + Math.floor(length / count), 0);
}

/** The most members, up to the gang's size, that fit into the free devices; 0 when the minimum does not. */
function bruteForce(clusters: readonly WorkloadCluster[], taken: ReadonlySet<string>, asked: PlaceRequest): number {
  const { claim, gang } = asked;
  const perCluster = clusters.map((cluster) => {
    const free = slotsOf(cluster).filter(
      ({ key, device }) =>
        !taken.has(key) &&
        device.deviceType === claim.deviceType &&
        device.memoryBytes >= (claim.memoryBytesPerDevice ?? 0),
    );
    if (gang.topology?.required !== true) return membersIn(free, claim);
    const { scope } = gang.topology;
    const domains = Map.groupBy(free, (slot) => domainOf(slot, scope));
    return Math.max(0, ...[...domains.values()].map((slots) => membersIn(slots, claim)));
  });
  const maySpan = gang.spansClusters && gang.topology?.required !== true;
  const most = maySpan ? perCluster.reduce((sum, members) => sum + members, 0) : Math.max(...perCluster);
  return most < gang.minimum ? 0 : Math.min(most, gang.size);
}

/** Keys of the devices of a placement. */
function keysOf(tasks: readonly TaskBinding[]): string[] {
  return tasks.flatMap(({ clusterId, devices }) =>
    devices!.flatMap(({ node, deviceIds }) => deviceIds.map((id) => keyOf(clusterId, node, id))),
  );
}

/** Every member has what its claim asks for, and the gang is together where it must be. */
function isAsAsked(clusters: readonly WorkloadCluster[], asked: PlaceRequest, { tasks }: Placed): boolean {
  const { claim, gang } = asked;
  const byKey = new Map(clusters.flatMap((cluster) => slotsOf(cluster).map((slot) => [slot.key, slot] as const)));
  const domainsOf = (keys: readonly string[], scope: TopologyScope) =>
    new Set(keys.map((key) => domainOf(byKey.get(key)!, scope)));
  const areMembersRight = tasks.every((task) => {
    const keys = keysOf([task]);
    const devices = keys.map((key) => byKey.get(key)!.device);
    const isEnough = devices.every(
      ({ deviceType, memoryBytes }) =>
        deviceType === claim.deviceType && memoryBytes >= (claim.memoryBytesPerDevice ?? 0),
    );
    return isEnough && keys.length === claim.count && domainsOf(keys, claim.schedulingPolicy.topologyScope).size === 1;
  });
  const isTogether = gang.topology?.required !== true || domainsOf(keysOf(tasks), gang.topology.scope).size === 1;
  const isInOne = gang.spansClusters || new Set(tasks.map(({ clusterId }) => clusterId)).size === 1;
  return areMembersRight && isTogether && isInOne;
}

type Step =
  | { readonly kind: 'start'; readonly request: PlaceRequest }
  | { readonly kind: 'end'; readonly which: number }
  | { readonly kind: 'what-if'; readonly steps: readonly Step[] };

const simpleStepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: requestArbitrary.map((asked) => ({ kind: 'start' as const, request: asked })) },
  { weight: 1, arbitrary: fc.nat(20).map((which) => ({ kind: 'end' as const, which })) },
);
const stepsArbitrary = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: simpleStepArbitrary },
    {
      weight: 1,
      arbitrary: fc
        .array(simpleStepArbitrary, { minLength: 1, maxLength: 4 })
        .map((steps) => ({ kind: 'what-if' as const, steps })),
    },
  ),
  { minLength: 1, maxLength: 14 },
);

/** A capacity and, beside it, the plain account: holder → keys. */
class Pair {
  readonly capacity: Capacity;
  readonly held: Map<string, readonly string[]>;
  private started: number;

  constructor(
    readonly clusters: readonly WorkloadCluster[],
    from?: Pair,
  ) {
    this.capacity = from?.capacity ?? new Capacity(clusters);
    this.held = new Map(from?.held);
    this.started = from?.started ?? 0;
  }

  get taken(): Set<string> {
    return new Set([...this.held.values()].flat());
  }

  apply(step: Step): void {
    if (step.kind === 'start') this.start(step.request);
    else if (step.kind === 'end') this.end(step.which);
    else this.whatIf(step.steps);
  }

  private start(asked: PlaceRequest): void {
    const placed = this.capacity.find(asked);
    expect(placed?.tasks.length ?? 0).toBe(bruteForce(this.clusters, this.taken, asked));
    if (placed === null) return;
    const keys = keysOf(placed.tasks);
    const taken = this.taken;
    expect([isAsAsked(this.clusters, asked, placed), keys.filter((key) => taken.has(key))]).toEqual([true, []]);
    expect(new Set(keys).size).toBe(keys.length);
    this.started += 1;
    this.capacity.take(`h${this.started}`, asked.claim, placed.tasks);
    this.held.set(`h${this.started}`, keys);
  }

  private end(which: number): void {
    const holder = [...this.held.keys()][which];
    if (holder === undefined) return;
    this.capacity.release(holder);
    this.held.delete(holder);
  }

  private whatIf(steps: readonly Step[]): void {
    const before = answers(this.capacity, this.clusters);
    const mark = this.capacity.mark();
    const trial = new Pair(this.clusters, this);
    for (const step of steps) trial.apply(step);
    this.capacity.rollback(mark);
    expect(answers(this.capacity, this.clusters)).toEqual(before);
  }
}

const PROBES = [1, 2, 3].flatMap((devices) => [
  request({ devices }),
  request({
    devices,
    gang: { size: 2, minimum: 2, topology: { scope: 'rack', required: true }, spansClusters: false },
  }),
]);

/** All that can be told from outside. */
function answers(capacity: Capacity, clusters: readonly WorkloadCluster[]): unknown {
  return {
    free: capacity.free(GPU),
    places: PROBES.map((probe) => capacity.find(probe)),
    domains: clusters.map(({ id }) => capacity.domains(id, PROBES[0]!)),
    holders: clusters.map(({ id }) => capacity.holdersIn(id, GPU).toSorted()),
  };
}

function holds(property: (clusters: readonly WorkloadCluster[], steps: readonly Step[]) => void): void {
  fc.assert(fc.property(clustersArbitrary, stepsArbitrary, property), { numRuns: RUNS });
}

describe('any fleet', () => {
  it('finds a place exactly when there is one, as asked, of devices that nobody has; what-ifs leave no trace', () => {
    holds((clusters, steps) => {
      const pair = new Pair(clusters);
      for (const step of steps) {
        pair.apply(step);
        const free =
          clusters.flatMap(slotsOf).filter(({ device }) => device.deviceType === GPU).length - pair.taken.size;
        expect(pair.capacity.free(GPU)).toBe(free);
      }
    });
  });

  it('answers the same however it came to hold what it holds', () => {
    holds((clusters, steps) => {
      const pair = new Pair(clusters);
      for (const step of steps) pair.apply(step);
      const fresh = new Capacity(clusters);
      for (const [holder, keys] of pair.held) fresh.take(holder, request().claim, boundTo(keys));
      expect(answers(pair.capacity, clusters)).toEqual(answers(fresh, clusters));
    });
  });

  it('a request that has no place is rejected by every cluster, with reasons', () => {
    holds((clusters, steps) => {
      const pair = new Pair(clusters);
      for (const step of steps) pair.apply(step);
      for (const step of steps) {
        if (step.kind !== 'start' || pair.capacity.find(step.request) !== null) continue;
        if (step.request.gang.spansClusters) continue;
        const rejections = pair.capacity.explain(step.request);
        expect(rejections.map(({ clusterId }) => clusterId)).toEqual(clusters.map(({ id }) => id));
        const couldFit = clusters.filter((cluster) => bruteForce([cluster], new Set(), step.request) > 0);
        expect(rejections.filter((each) => each.couldFit).map(({ clusterId }) => clusterId)).toEqual(
          couldFit.map(({ id }) => id),
        );
      }
    });
  });
});

function boundTo(keys: readonly string[]): TaskBinding[] {
  return keys.map((key, rank) => {
    const [clusterId, node, device] = key.split('/');
    return { rank, clusterId: clusterId!, devices: [{ node: node!, deviceIds: [device!] }] };
  });
}
