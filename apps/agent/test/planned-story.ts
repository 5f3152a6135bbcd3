// Where the specs of sync plans begin: three versions of a model, what leads from one to the next, and an agent's sync.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DesiredVersion } from '#domain';
import type { VersionFolder } from '../src/sync/version-folder.ts';
import type { VersionSync } from '../src/sync/version-sync.ts';
import { modelFile, PlannedWorld, type StepFile } from './planned-world.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { verifiedVersions } from './verified-versions.ts';

export const [first, second, third] = [modelFile(0), modelFile(1), modelFile(2)];
export const config = Buffer.from('{"layers":1}');

export interface PlannedStory {
  /** The agent's state folder. */
  readonly path: string;
  readonly world: PlannedWorld;
  readonly v1: DesiredVersion;
  readonly v2: DesiredVersion;
  readonly v3: DesiredVersion;
  /** Makes the model file of v2 from that of v1, or from nothing. */
  readonly diff: StepFile;
  readonly snapshot: StepFile;
  readonly sync: VersionSync;
  readonly versions: VersionFolder;
  stop(): Promise<void>;
  /** v1 is held, as after a normal fetch; what it took is forgotten. */
  holdFirst(): Promise<void>;
  byDiff(): ReturnType<PlannedWorld['go']>;
  bySnapshot(): ReturnType<PlannedWorld['go']>;
  contentOf(version: DesiredVersion): Promise<Buffer>;
  /** Versions of which a fetch has something in hand. */
  fetchFolders(): Promise<string[]>;
  /** Throws unless every version's folder is whole. */
  onlyWhole(): Promise<void>;
}

export async function openStory(): Promise<PlannedStory> {
  const folder = await temporaryFolder();
  const world = new PlannedWorld(folder.path);
  await world.start();
  const versionOf = (number: number, content: Buffer) =>
    world.version(number, { 'model.safetensors': content, 'config.json': config });
  const [v1, v2, v3] = [versionOf(1, first), versionOf(2, second), versionOf(3, third)];
  const [diff, snapshot] = [await world.diff(first, second), await world.snapshot(second)];
  const { sync, folder: versions } = await world.open();
  return {
    path: folder.path,
    world,
    v1,
    v2,
    v3,
    diff,
    snapshot,
    sync,
    versions,
    stop: async () => {
      await world.stop();
      await folder.remove();
    },
    holdFirst: async () => {
      const { phase, reason } = await world.settle(sync, v1);
      if (phase !== 'Held') throw new Error(`v1 is ${phase}: ${reason}`);
      for (const list of [world.requests, world.asked, world.held]) list.length = 0;
    },
    byDiff: () => world.go([world.step([diff], { artifact: 1, from: v1.digest })]),
    bySnapshot: () => world.go([world.step([snapshot], { artifact: 2 })], { path: 'snapshot' }),
    contentOf: ({ digest }) => readFile(join(versions.pathOf(digest), 'model.safetensors')),
    fetchFolders: () => readdir(join(folder.path, 'blobs', 'fetches')),
    onlyWhole: async () => void (await verifiedVersions(folder.path)),
  };
}
