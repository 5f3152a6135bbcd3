import { beforeEach, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { DesiredReplica, DesiredState, ResourceClaim } from '#domain';
import type { ExtraReplica } from './extra-replicas.ts';
import { LoadSamples } from './load-samples.ts';
import { LocalScaler } from './local-scaler.ts';

const claim: ResourceClaim = { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } };
const placed: DesiredReplica = {
  replicaId: 'p',
  deploymentId: 'chat',
  deploymentName: 'chat',
  servedModel: 'chat',
  versionDigest: 'v1',
  claim,
  epoch: 1,
  draining: false,
  localScaling: { replicasMax: 3, rule: 'target-tracking', targetInflight: 4 },
};

describe('local scaling of a deployment', () => {
  let nowMs: number;
  let inflight: number;
  let stored: ExtraReplica[] | null;
  let isDiskFull: boolean;
  let waiting: ResourceClaim[];
  let desired: DesiredState | null;
  beforeEach(() => {
    [nowMs, inflight, stored, isDiskFull, waiting] = [1_000_000, 0, null, false, []];
    desired = { clusterId: 'c', epoch: 1, revision: 1, versions: [], replicas: [placed], tasks: [] };
  });

  /** Each is another agent over the same disk; its replicas are Ready at once. */
  async function open(): Promise<LocalScaler> {
    const scaler: LocalScaler = new LocalScaler({
      document: {
        read: async () => stored,
        write: async (value) => {
          if (isDiskFull) throw new Error('ENOSPC');
          stored = value;
        },
      },
      settings: { windowSeconds: 30, outCooldownSeconds: 60, inAfterSeconds: 300 },
      desired: () => desired,
      replicas: () =>
        (scaler.withExtras(desired)?.replicas ?? []).map(({ replicaId, deploymentId }, index, all) => ({
          replicaId,
          deploymentId,
          phase: 'Ready' as const,
          inflight:
            index === 0
              ? inflight - Math.floor(inflight / all.length) * (all.length - 1)
              : Math.floor(inflight / all.length),
          devices: undefined,
        })),
      tasks: { holdings: () => [], waitingClaims: () => waiting },
      waits: () => new Map(),
      nodes: () => [
        {
          name: 'n',
          devices: Array.from({ length: 8 }, (_, index) => ({ id: `cpu-${index}`, deviceType: 'cpu', memoryBytes: 1 })),
        },
      ],
      engines: { bindsDevices: () => true },
      onChange: () => undefined,
      log: pino({ level: 'silent' }),
      now: () => nowMs,
    });
    await scaler.open();
    return scaler;
  }
  const count = (scaler: LocalScaler) => scaler.withExtras(desired)!.replicas.length;
  async function pass(scaler: LocalScaler, seconds: number): Promise<number> {
    for (let second = 0; second < seconds; second += 1) {
      nowMs += 1_000;
      scaler.tick();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return count(scaler);
  }

  it('starts another once a whole window was above the target, and one at a time', async () => {
    const scaler = await open();
    inflight = 11;
    expect(await pass(scaler, 30)).toBe(1);
    expect(await pass(scaler, 2)).toBe(2);
    expect(await pass(scaler, 55)).toBe(2);
    expect(await pass(scaler, 20)).toBe(3);
    expect(await pass(scaler, 300)).toBe(3);
  });

  it('not for a burst that is shorter than the window', async () => {
    const scaler = await open();
    inflight = 3;
    await pass(scaler, 60);
    inflight = 12;
    await pass(scaler, 3);
    inflight = 2;
    expect(await pass(scaler, 120)).toBe(1);
  });

  it('ends them again, but not before they were not needed for long', async () => {
    const scaler = await open();
    inflight = 8;
    await pass(scaler, 60);
    inflight = 1;
    expect(await pass(scaler, 250)).toBe(2);
    expect(await pass(scaler, 120)).toBe(1);
    expect(stored).toEqual([]);
  });

  it('R4: a restart with the centre gone keeps them, under the same ids', async () => {
    const scaler = await open();
    inflight = 8;
    await pass(scaler, 60);
    const before = scaler.withExtras(desired)!.replicas.map(({ replicaId }) => replicaId);
    const next = await open();
    expect(next.withExtras(desired)!.replicas.map(({ replicaId }) => replicaId)).toEqual(before);
    expect(await pass(next, 60)).toBe(2);
    const report = (replicaId: string) => ({
      replicaId,
      deploymentId: 'chat',
      versionDigest: 'v1',
      phase: 'Ready' as const,
      reason: '',
      restarts: 0,
    });
    expect(next.mark(before.map(report)).map(({ isLocal }) => isLocal)).toEqual([undefined, true]);
  });

  it('a disk that is full starts none: the next agent would not know it', async () => {
    const scaler = await open();
    [inflight, isDiskFull] = [8, true];
    expect(await pass(scaler, 60)).toBe(1);
    isDiskFull = false;
    expect(await pass(scaler, 5)).toBe(2);
  });

  it('gives way to a task that waits, and does not come back while it waits', async () => {
    const scaler = await open();
    inflight = 8;
    await pass(scaler, 60);
    // Of 8 cores: without the extra one's there are as many.
    waiting = [{ ...claim, count: 7 }];
    expect(await pass(scaler, 2)).toBe(1);
    expect(await pass(scaler, 200)).toBe(1);
  });

  it('without a document nothing is done', async () => {
    const scaler = await open();
    desired = null;
    scaler.tick();
    expect([scaler.withExtras(null), stored]).toEqual([null, null]);
  });

  it('E07: while nothing is ready, load is not known and nothing changes', () => {
    const samples = new LoadSamples(10_000);
    for (let second = 0; second <= 20; second += 1) samples.look(second * 1_000, 9, 0, 4);
    expect(samples.samples.map(({ utilisation }) => utilisation)).toEqual([null, null, null]);
  });

  it('what the rule looks at: means of the window, and the slowest first token but 1 % since the sample before', () => {
    const samples = new LoadSamples(10_000);
    for (let second = 0; second <= 15; second += 1) {
      samples.look(second * 1_000, second, 2, 4);
      samples.firstToken(second === 3 ? 900 : 100);
    }
    expect(samples.samples.map(({ utilisation, p99Ms }) => [utilisation, p99Ms])).toEqual([
      [5.5 / 8, 900],
      [10.5 / 8, 100],
    ]);
  });
});
