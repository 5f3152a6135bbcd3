import { describe, expect, it } from '@jest/globals';
import type { SyncStepMessage } from '#contracts';
import { diskBytesOf, wireBytesOf, workOf } from './plan-work.ts';

type StepFile = SyncStepMessage['files'][number];
const SIZE = 100;
const whole = (digest: string): StepFile => ({
  digest,
  sizeBytes: SIZE,
  encoding: 'whole',
  baseDigest: null,
  blobDigest: digest,
  blobBytes: SIZE,
});
const diff = (digest: string, baseDigest: string): StepFile => ({
  digest,
  sizeBytes: SIZE,
  encoding: 'diff',
  baseDigest,
  blobDigest: `${baseDigest}→${digest}`,
  blobBytes: 10,
});
const step = (from: string | null, to: string, ...files: StepFile[]): SyncStepMessage => ({
  artifactId: null,
  from,
  to,
  profile: 'fast',
  source: { kind: 'registry', name: 'registry', url: 'http://localhost', token: 't' },
  files,
});
const version = (...digests: string[]) => ({
  files: digests.map((digest) => ({ path: digest, digest, sizeBytes: SIZE })),
});

describe('what a plan needs done', () => {
  const cases = [
    { name: 'a direct diff', steps: [step('v1', 'v2', diff('a2', 'a1'))], wants: ['a2'], here: ['a1'], want: ['a2'] },
    {
      name: 'nothing that is here',
      steps: [step('v1', 'v2', diff('a2', 'a1'))],
      wants: ['a2'],
      here: ['a2'],
      want: [],
    },
    {
      name: 'a chain, the intermediate file first',
      steps: [step('v1', 'v2', diff('a2', 'a1')), step('v2', 'v3', diff('a3', 'a2'))],
      wants: ['a3'],
      here: ['a1'],
      want: ['a2 for later', 'a3'],
    },
    {
      name: 'no intermediate file that nobody builds on',
      steps: [step('v1', 'v2', diff('a2', 'a1'), whole('old')), step('v2', 'v3', diff('a3', 'a2'), whole('new'))],
      wants: ['a3', 'new'],
      here: ['a1'],
      want: ['a2 for later', 'a3', 'new'],
    },
    {
      name: 'not the first step again when its file is here from an earlier try',
      steps: [step('v1', 'v2', diff('a2', 'a1')), step('v2', 'v3', diff('a3', 'a2'))],
      wants: ['a3'],
      here: ['a2'],
      want: ['a3'],
    },
    {
      name: 'a file of an earlier step that the version keeps',
      steps: [step(null, 'v1', whole('a1'), whole('b')), step('v1', 'v2', diff('a2', 'a1'))],
      wants: ['a2', 'b'],
      here: [],
      want: ['a1 for later', 'b', 'a2'],
    },
    { name: 'leaves alone what no step makes', steps: [step('v1', 'v2')], wants: ['a2'], here: [], want: [] },
  ];
  it.each(cases)('$name', ({ steps, wants, here, want }) => {
    const work = workOf(steps, version(...wants), (digest) => here.includes(digest));
    expect(work.map(({ file, isFinal }) => `${file.digest}${isFinal ? '' : ' for later'}`)).toEqual(want);
  });

  const refusals = [
    { name: 'a base that nobody brings', file: diff('a2', 'a1'), want: /builds file a2 on a1, which is not here/ },
    {
      name: 'another size than the version’s',
      file: { ...whole('a2'), sizeBytes: 1, blobBytes: 1 },
      want: /gives it 1 b/,
    },
    { name: 'another blob as the whole file', file: { ...whole('a2'), blobDigest: 'x' }, want: /calls another blob/ },
    {
      name: 'a diff whose blob is the file',
      file: { ...diff('a2', 'a0'), blobDigest: 'a2' },
      want: /calls another blob/,
    },
    { name: 'a diff without a base', file: { ...diff('a2', 'a0'), baseDigest: null }, want: /has no base/ },
    { name: 'a file that is its own base', file: diff('a2', 'a2'), want: /has no base/ },
  ];
  it.each(refusals)('refuses $name', ({ file, want }) => {
    expect(() => workOf([step('v1', 'v2', file)], version('a2'), () => false)).toThrow(want);
  });

  it('asks the disk for what comes and what is made of it, less what is here', () => {
    const work = workOf(
      [step('v1', 'v2', diff('a2', 'a1'), whole('b'))],
      version('a2', 'b'),
      (digest) => digest === 'a1',
    );
    expect(wireBytesOf(work)).toBe(110);
    expect(diskBytesOf(work, { encoding: () => 0, result: () => 0 })).toBe(210);
    expect(diskBytesOf(work, { encoding: () => 4, result: (digest) => (digest === 'b' ? 60 : 0) })).toBe(146);
  });
});
