import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import type { DesiredState } from '#domain';
import { until } from '../../test/temporary-folder.ts';
import type { ReplicaSupervisor } from '../engines/replica-supervisor.ts';
import type { VersionFolder } from '../sync/version-folder.ts';
import type { VersionSync } from '../sync/version-sync.ts';
import { Reconciler } from './reconciler.ts';

const [A, B, C] = ['a', 'b', 'c'].map((letter) => letter.repeat(64)) as [string, string, string];

function wanting(...digests: string[]): DesiredState {
  const versions = digests.map((digest) => ({ versionId: digest, modelName: 'tiny', number: 1, digest, files: [] }));
  return { clusterId: 'edge', epoch: 1, revision: 1, versions, replicas: [] } as unknown as DesiredState;
}

/** Three versions are held; `onDigests` stands for what happens while a prune looks at the disk. */
function rig(first: DesiredState, onDigests: () => Promise<void> = async () => undefined) {
  const here = { desired: first, held: new Set([A, B, C]), dropped: [] as string[], swept: [] as string[][], looks: 0 };
  const sync: Partial<VersionSync> = {
    forgetFailures: () => undefined,
    fetch: () => undefined,
    cancel: () => undefined,
    filesOf: () => [],
    drop: async (digest) => {
      here.held.delete(digest);
      here.dropped.push(digest);
    },
  };
  Object.defineProperties(sync, {
    heldDigests: { get: () => new Set(here.held) },
    fetchingDigests: { get: () => new Set() },
    fetchRetryAtMs: { get: () => new Map() },
  });
  const folder: Partial<VersionFolder> = {
    blobsFolder: '/nowhere',
    digests: async () => {
      here.looks += 1;
      await onDigests();
      return [...here.held];
    },
    sweep: async (_wanted, fetched) => void here.swept.push([...(fetched ?? [])]),
  };
  const replicas: Partial<ReplicaSupervisor> = {
    local: () => [],
    usedDigests: () => new Set(),
    stopVersion: () => undefined,
    keepAdapters: () => undefined,
  };
  const reconciler = new Reconciler({
    desired: () => here.desired,
    previous: () => ({ tiny: B }),
    sync: sync as VersionSync,
    folder: folder as VersionFolder,
    replicas: replicas as ReplicaSupervisor,
    tasks: {
      reconcile: () => undefined,
      stopVersion: () => undefined,
      usedDigests: () => new Set(),
      holdings: () => [],
    },
    engines: { needsFiles: () => true, bindsDevices: () => true },
    nodes: () => [],
    refusals: () => new Map(),
    distrusted: () => new Set(),
    log: pino({ level: 'silent' }),
  });
  return { here, reconciler };
}

describe('what goes from disk', () => {
  it('what no document, engine or rollback needs', async () => {
    const { here, reconciler } = rig(wanting(A));
    reconciler.start();
    await until(() => here.swept.length > 0, 'the sweep');
    await reconciler.stop();
    expect([here.dropped, here.looks]).toEqual([[C], 1]);
  });

  it('not a version that a document has come to want meanwhile', async () => {
    const { here, reconciler } = rig(wanting(A), async () => {
      here.desired = wanting(A, C);
    });
    reconciler.start();
    await until(() => here.swept.length > 0, 'the sweep');
    await reconciler.stop();
    expect(here.dropped).toEqual([]);
  });

  it('and a disk that does not let it go is not asked again at every turn', async () => {
    const { here, reconciler } = rig(wanting(A), () => Promise.reject(new Error('EROFS')));
    reconciler.start();
    for (let turn = 0; turn < 5; turn += 1) {
      reconciler.wake();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await reconciler.stop();
    expect([here.looks, here.dropped]).toEqual([1, []]);
  });
});
