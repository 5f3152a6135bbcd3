// What is encoded, what is wanted, and when: each rule as a table.

import { describe, expect, it } from '@jest/globals';
import { DEFAULT_MODEL_POLICY, type ModelVersion, type VersionArtifact, type VersionFile } from '#domain';
import { chainBytes, dueSnapshot } from './cadence.ts';
import { planEncodings } from './encoding-plan.ts';
import { isWorthWanting, RETRY_AFTER_MS, WAITING_MAX } from './want.ts';

const NOW = new Date('2026-01-02T12:00:00Z');
const FAILED_AT = new Date(NOW.getTime() - RETRY_AFTER_MS);

describe('planEncodings', () => {
  /** `path:content` */
  const files = (text: string): VersionFile[] =>
    text
      .split(' ')
      .filter((word) => word !== '')
      .map((word) => {
        const [path, digest] = word.split(':') as [string, string];
        return { path, digest, sizeBytes: 10 };
      });

  it.each([
    ['nothing held', 'm.gguf:1 c.json:2', '', ['m.gguf', 'c.json']],
    ['all held', 'm.gguf:1 c.json:2', 'm.gguf:1 c.json:2', []],
    ['held under another path', 'new/m.gguf:1', 'm.gguf:1', []],
    ['the same path', 'm.gguf:2 c.json:3', 'm.gguf:1 c.json:3', ['m.gguf < m.gguf']],
    ['one content twice', 'a:1 b:1', '', ['a']],
    ['a renamed file', 'model-v2.gguf:2 c.json:3', 'model-v1.gguf:1 c.json:3', ['model-v2.gguf < model-v1.gguf']],
    ['a new file beside an old one', 'a.gguf:1 b.gguf:2', 'a.gguf:1', ['b.gguf']],
    ['two that may be the renamed one', 'x.gguf:3 y.gguf:4', 'a.gguf:1', ['x.gguf', 'y.gguf']],
    ['two that it may be renamed from', 'x.gguf:3', 'a.gguf:1 b.gguf:2', ['x.gguf']],
    ['another ending', 'x.gguf:3', 'a.safetensors:1', ['x.gguf']],
    ['no ending, in folders', 'b.d/weights:3', 'a.d/tensors:1', ['b.d/weights < a.d/tensors']],
  ])('%s', (_name, target, base, want) => {
    const tasks = planEncodings(files(target), files(base));
    expect(tasks.map((task) => task.file.path + (task.base === null ? '' : ` < ${task.base.path}`))).toEqual(want);
  });
});

function artifact(change: Partial<VersionArtifact>): VersionArtifact {
  return {
    id: 'a',
    tenantId: 't',
    modelId: 'm',
    versionId: 'v2',
    baseVersionId: 'v1',
    profile: 'fast',
    phase: 'Ready',
    files: [],
    bytes: 0,
    reason: '',
    wantedAt: NOW,
    readyAt: NOW,
    usedAt: NOW,
    ...change,
  };
}

describe('isWorthWanting', () => {
  const key = { versionId: 'v2', baseVersionId: 'v1', profile: 'fast' } as const;
  const failedAgo = (ms: number) => artifact({ phase: 'Failed', wantedAt: new Date(NOW.getTime() - ms) });
  const waiting = (count: number) =>
    Array.from({ length: count }, (_, index) => artifact({ versionId: `w${index}`, phase: 'Wanted' }));

  it.each([
    ['nothing known', [], true],
    ['another profile', [artifact({ profile: 'small' })], true],
    ['another base', [artifact({ baseVersionId: 'v0' })], true],
    ['it is there', [artifact({})], false],
    ['it waits', [artifact({ phase: 'Wanted' })], false],
    ['it is being made', [artifact({ phase: 'Making' })], false],
    ['it failed just now', [failedAgo(RETRY_AFTER_MS - 1)], false],
    ['it failed long ago', [failedAgo(RETRY_AFTER_MS)], true],
    ['the queue has room', waiting(WAITING_MAX - 1), true],
    ['the queue is full', waiting(WAITING_MAX), false],
  ])('%s', (_name, known, want) => {
    expect(isWorthWanting(known, key, NOW)).toBe(want);
  });
});

/** `base>version=bytes` */
const diff = (text: string, change: Partial<VersionArtifact> = {}) => {
  const [, baseVersionId, versionId, bytes] = /^(\w+)>(\w+)=(\d+)$/.exec(text)!;
  return artifact({ baseVersionId: baseVersionId!, versionId: versionId!, bytes: Number(bytes), ...change });
};

describe('chainBytes', () => {
  it.each([
    ['no diffs', [], Number.POSITIVE_INFINITY],
    ['one', [diff('v1>v3=7')], 7],
    ['the cheaper profile', [diff('v1>v3=7'), diff('v1>v3=5', { profile: 'small' })], 5],
    ['a chain below the direct one', [diff('v1>v3=9'), diff('v1>v2=3'), diff('v2>v3=4')], 7],
    ['the direct one below a chain', [diff('v1>v3=6'), diff('v1>v2=3'), diff('v2>v3=4')], 6],
    ['only what is Ready', [diff('v1>v3=7', { phase: 'Making' })], Number.POSITIVE_INFINITY],
    ['rings', [diff('v1>v2=1'), diff('v2>v1=1'), diff('v2>v3=1')], 2],
    ['the other direction only', [diff('v3>v1=1')], Number.POSITIVE_INFINITY],
  ])('%s', (_name, artifacts, want) => {
    expect(chainBytes(artifacts, 'v1', 'v3')).toBe(want);
  });
});

describe('dueSnapshot', () => {
  const version = (number: number, publishedAt: string | null = '2026-01-02T11:00:00Z', sizeBytes = 100) =>
    ({
      id: `v${number}`,
      number,
      phase: publishedAt === null ? 'Uploading' : 'Published',
      sizeBytes,
      publishedAt: publishedAt === null ? null : new Date(publishedAt),
      createdAt: NOW,
    }) as unknown as ModelVersion;
  const snapshot = (versionId: string, change: Partial<VersionArtifact> = {}) =>
    artifact({ versionId, baseVersionId: null, profile: 'snapshot', bytes: 60, ...change });
  const [v1, v3] = [version(1), version(3)];
  const yesterday = '2026-01-01T01:29:00Z';

  it.each([
    ['no versions', [], [], null],
    ['none published', [version(1, null)], [], null],
    ['published after the last firing', [v1], [], null],
    ['published before the last firing', [version(1, yesterday)], [], /^v1: "30 1 \* \* \*" fired/],
    ['published at the very firing', [version(1, '2026-01-02T01:30:00Z')], [], null],
    ['it is there', [version(1, yesterday)], [snapshot('v1')], null],
    ['it waits', [version(1, yesterday)], [snapshot('v1', { phase: 'Wanted' })], null],
    ['it failed', [version(1, yesterday)], [snapshot('v1', { phase: 'Failed', wantedAt: FAILED_AT })], /^v1: "30 1/],
    ['it failed lately', [version(1, yesterday)], [snapshot('v1', { phase: 'Failed' })], null],
    ['only of the newest', [v3, version(1, yesterday)], [], null],
    ['a chain cheaper than a snapshot', [v3, v1], [snapshot('v1'), diff('v1>v3=60')], null],
    ['a chain dearer than a snapshot', [v1, v3], [snapshot('v1'), diff('v1>v3=61')], /^v3: the diffs .* cost 61 bytes/],
    ['a larger version', [v1, version(3, undefined, 200)], [snapshot('v1'), diff('v1>v3=61')], null],
    ['no chain at all', [v1, v3], [snapshot('v1')], /^v3: the diffs .* more than can be had, a snapshot about 60$/],
    ['diffs still to come', [v1, v3], [snapshot('v1'), diff('v1>v3=0', { phase: 'Wanted' })], null],
    ['no earlier snapshot', [v1, v3], [diff('v1>v3=99')], null],
  ])('%s', (_name, versions, artifacts, want) => {
    const due = dueSnapshot({ policy: DEFAULT_MODEL_POLICY }, versions, artifacts, NOW);
    if (want === null) expect(due).toBeNull();
    else expect(`${due?.version.id}: ${due?.reason}`).toMatch(want);
  });
});
