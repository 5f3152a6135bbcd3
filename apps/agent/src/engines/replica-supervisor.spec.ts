import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { DesiredReplica, NodeDevices, VersionFile } from '#domain';
import { silentMetrics } from '../metrics.ts';
import { EngineAdapter, type EngineInstance, type EngineSpec, type EngineState } from './engine-adapter.ts';
import { specHashOf } from './instance-folder.ts';
import { ReplicaSupervisor } from './replica-supervisor.ts';

const files: VersionFile[] = [{ path: 'model.gguf', digest: 'f', sizeBytes: 1 }];
const on = (id: string): NodeDevices[] => [{ node: 'n', deviceIds: [id] }];
const desired: DesiredReplica = {
  replicaId: 'r1',
  deploymentId: 'd1',
  deploymentName: 'chat',
  servedModel: 'chat',
  versionDigest: 'v1',
  claim: { deviceType: 'nvidia.com/gpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
  epoch: 1,
  draining: false,
};
const settings = { contextSize: undefined, maxConcurrent: 4, maxQueue: 64 };
const base = { replicaId: 'r1', versionDigest: 'v1', servedModel: 'chat', modelPath: '/v1/model.gguf', ...settings };

/** Engines of an earlier agent, none of which ever becomes ready. */
class EarlierEngines extends EngineAdapter {
  readonly calls: string[] = [];
  readonly #living: readonly EngineInstance[];

  constructor(living: readonly EngineInstance[]) {
    super();
    this.#living = living;
  }

  override async start({ engine, modelPath, devices }: EngineSpec): Promise<EngineInstance> {
    this.calls.push(`start ${engine} ${modelPath} ${JSON.stringify(devices)}`);
    return { ...this.#living[0]!, devices };
  }

  override async probe(): Promise<EngineState> {
    return { state: 'starting' };
  }

  override async noteProven(): Promise<void> {}

  override async stop({ instanceId }: EngineInstance): Promise<void> {
    this.calls.push(`stop ${instanceId}`);
  }

  override async list(): Promise<EngineInstance[]> {
    return [...this.#living];
  }

  override needsFiles(engine: string | undefined): boolean {
    return engine !== 'attached';
  }
}

interface Case {
  readonly name: string;
  /** What the living engine was started with. */
  readonly was: Partial<EngineSpec>;
  readonly wanted?: Partial<DesiredReplica>;
  readonly wantAdopted: boolean;
  readonly wantDevices?: NodeDevices[];
}

const cases: Case[] = [
  { name: 'the same spec', was: {}, wantAdopted: true },
  { name: 'with the devices that it has', was: { devices: on('gpu-1') }, wantAdopted: true, wantDevices: on('gpu-1') },
  {
    name: 'the devices that the centre bound are those that it has',
    was: { devices: on('gpu-1') },
    wanted: { devices: on('gpu-1') },
    wantAdopted: true,
    wantDevices: on('gpu-1'),
  },
  {
    name: 'the centre bound others',
    was: { devices: on('gpu-1') },
    wanted: { devices: on('gpu-2') },
    wantAdopted: false,
  },
  { name: 'R21: from before devices were noted', was: {}, wanted: { devices: on('gpu-2') }, wantAdopted: true },
  { name: 'another engine', was: { engine: 'vllm' }, wanted: { engine: 'sglang' }, wantAdopted: false },
  { name: 'the same engine by name', was: { engine: 'vllm' }, wanted: { engine: 'vllm' }, wantAdopted: true },
  {
    name: 'one that reads no files, whether or not they are here by now',
    was: { engine: 'attached', modelPath: '/v1' },
    wanted: { engine: 'attached' },
    wantAdopted: true,
  },
];

describe('which engines of an earlier agent are adopted', () => {
  it.each(cases)('$name', async ({ was, wanted, wantAdopted, wantDevices }) => {
    const { engine, devices } = was;
    const living: EngineInstance = {
      ...{ instanceId: 'i1', replicaId: 'r1', deploymentId: 'd1', versionDigest: 'v1', generation: 1 },
      ...{ specHash: specHashOf({ ...base, ...was }), servedModel: 'chat', processId: 7, isProven: false },
      ...(engine === undefined ? {} : { engine }),
      ...(devices === undefined ? {} : { devices }),
    };
    const engines = new EarlierEngines([living]);
    const supervisor = new ReplicaSupervisor({
      engine: engines,
      startTimeoutMs: 10_000,
      drainMs: 0,
      settings,
      versionPath: (digest) => `/${digest}`,
      onChange: () => undefined,
      onFailed: () => undefined,
      log: pino({ level: 'silent' }),
      metrics: silentMetrics,
    });
    await supervisor.adopt([{ ...desired, ...wanted }], () => files);
    const [local] = supervisor.local();
    expect([local !== undefined, engines.calls]).toEqual([wantAdopted, wantAdopted ? [] : ['stop i1']]);
    expect(local?.devices).toEqual(wantDevices);
    await supervisor.leaveAll();
  });
});
