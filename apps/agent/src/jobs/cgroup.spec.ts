import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ResourceClaim } from '#domain';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { cgroupLimits, findCgroupParent, TaskCgroups } from './cgroup.ts';

const claim = (rest: Partial<ResourceClaim>): ResourceClaim => ({
  deviceType: 'cpu',
  count: 2,
  schedulingPolicy: { topologyScope: 'node' },
  ...rest,
});

describe('cgroupLimits', () => {
  it.each<[string, Partial<ResourceClaim>, Record<string, string>]>([
    ['cores', {}, { 'cpu.max': '200000 100000' }],
    [
      'cores and memory',
      { memoryBytesPerDevice: 1_000 },
      { 'cpu.max': '200000 100000', 'memory.max': '2000', 'memory.oom.group': '1' },
    ],
    ['an accelerator says nothing of either', { deviceType: 'nvidia.com/gpu', memoryBytesPerDevice: 1_000 }, {}],
  ])('%s', (_case, change, want) => {
    expect(cgroupLimits(claim(change))).toEqual(want);
  });
});

// The kernel's files are played by files: what is written is looked at.
describe('groups of tasks', () => {
  let folder: TemporaryFolder;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  it('are made with their limits where a folder is delegated', async () => {
    await writeFile(join(folder.path, 'cgroup.subtree_control'), '');
    expect(await findCgroupParent(folder.path)).toBe(folder.path);
    const made = await new TaskCgroups(folder.path).create('t1', claim({}));
    expect(made).toBe(join(folder.path, 't1'));
    expect(await readFile(join(made!, 'cpu.max'), 'utf8')).toBe('200000 100000');
  });

  it.each<[string, (path: string) => Promise<unknown>]>([
    ['that is no cgroup', async () => undefined],
    ['whose controllers are not ours to give', (path) => mkdir(join(path, 'cgroup.subtree_control'))],
  ])('are not made in a folder %s', async (_case, prepare) => {
    await prepare(folder.path);
    expect(await findCgroupParent(folder.path)).toBeNull();
  });

  it('that cannot be made cost the limits and not the task', async () => {
    await writeFile(join(folder.path, 't1'), 'in the way');
    const cgroups = new TaskCgroups(folder.path);
    expect(await cgroups.create('t1', claim({}))).toBeNull();
    await cgroups.end('t1');
    await access(join(folder.path, 't1'));
    expect(await new TaskCgroups(null).create('t1', claim({}))).toBeNull();
  });
});
