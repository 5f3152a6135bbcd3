import { describe, expect, it } from '@jest/globals';
import { until } from '../../test/temporary-folder.ts';
import { EngineAdapter, type EngineInstance, type EngineSpec, type EngineState } from './engine-adapter.ts';
import { Replica } from './replica.ts';

const spec: EngineSpec = {
  replicaId: 'r',
  deploymentId: 'd',
  versionDigest: 'v',
  servedModel: 'm',
  modelPath: '/model',
  maxConcurrent: 1,
  maxQueue: 1,
};

/** Engines that end at once, on a machine that refuses to end `stopFailures` of them. */
class DyingEngine extends EngineAdapter {
  readonly calls: string[] = [];
  stopFailures = 0;

  override async start({ replicaId, deploymentId, versionDigest }: EngineSpec, generation: number) {
    this.calls.push(`start ${generation}`);
    return {
      ...{ replicaId, deploymentId, versionDigest, generation },
      instanceId: `i${generation}`,
      specHash: '',
      processId: 1,
    };
  }

  override async probe(): Promise<EngineState> {
    return { state: 'gone', reason: 'out of memory' };
  }

  override async stop({ instanceId }: EngineInstance): Promise<void> {
    this.calls.push(`stop ${instanceId}`);
    this.stopFailures -= 1;
    if (this.stopFailures >= 0) throw new Error('read-only file system');
  }

  override async list(): Promise<EngineInstance[]> {
    return [];
  }
}

function replicaOn(engine: EngineAdapter) {
  const nothing = () => undefined;
  return new Replica(spec, { engine, startTimeoutMs: 1_000, onChange: nothing, onReady: nothing, onFailed: nothing });
}

describe('R10: an engine that ended and cannot be cleared away', () => {
  it('is Failed with its own reason, and is cleared away before the next start', async () => {
    const engine = new DyingEngine();
    engine.stopFailures = 1;
    const replica = replicaOn(engine);
    replica.start(spec);
    await until(() => replica.phase === 'Failed', 'it failed');
    expect(replica.reason).toBe('out of memory');
    replica.start(spec);
    await until(() => replica.restarts === 1 && replica.phase === 'Failed', 'it failed again');
    expect(engine.calls).toEqual(['start 1', 'stop i1', 'stop i1', 'start 2', 'stop i2']);
  });
});
