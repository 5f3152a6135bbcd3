import { describe, expect, it } from '@jest/globals';
import { ROLES } from './permissions.ts';
import {
  addCounts,
  type ClassUse,
  DEFAULT_PRIORITY_CLASSES,
  type DeviceCounts,
  deviceCountsProblem,
  QUOTA_MAX,
  whyNotUsed,
} from './tenancy.ts';

describe('F14 which counts can be a quota', () => {
  it.each<[string, unknown, string | null]>([
    ['none', {}, null],
    ['zero', { cpu: 0 }, null],
    ['the most', { cpu: QUOTA_MAX, 'nvidia.com/gpu': 1 }, null],
    ['one more', { cpu: QUOTA_MAX + 1 }, 'cpu must be at most 1000000000'],
    ['beyond what numbers hold exactly', { cpu: 2 ** 53 + 2 }, 'cpu must be at most 1000000000'],
    ['without end', { cpu: Number.POSITIVE_INFINITY }, 'cpu must be a whole number'],
    ['no number', { cpu: Number.NaN }, 'cpu must be a whole number'],
    ['a text', { cpu: '8' }, 'cpu must be a whole number'],
    ['half', { cpu: 0.5 }, 'cpu must be a whole number'],
    ['negative', { 'huawei.com/ascend-npu': -1 }, 'huawei.com/ascend-npu must not be negative'],
    ['the second of two', { cpu: 1, 'cambricon.com/mlu': -1 }, 'cambricon.com/mlu must not be negative'],
    [
      'of something else',
      { 'amd.com/gpu': 1 },
      'amd.com/gpu is no device type; known are nvidia.com/gpu, huawei.com/ascend-npu, cambricon.com/mlu, cpu',
    ],
  ])('%s', (_name, counts, want) => {
    expect(deviceCountsProblem(counts as DeviceCounts)).toBe(want);
  });
});

describe('addCounts', () => {
  it.each<[DeviceCounts, DeviceCounts, 1 | -1 | undefined, DeviceCounts]>([
    [{}, {}, undefined, {}],
    [{ cpu: 1 }, { cpu: 2, 'nvidia.com/gpu': 3 }, undefined, { cpu: 3, 'nvidia.com/gpu': 3 }],
    [{ cpu: 5 }, { cpu: 2 }, -1, { cpu: 3 }],
  ])('%j and %j by %s is %j', (left, right, sign, want) => {
    const before = structuredClone(left);
    expect(addCounts(left, right, sign)).toEqual(want);
    expect(left).toEqual(before);
  });
});

describe('S3 who may use a priority class', () => {
  it.each<[ClassUse, string[]]>([
    ['job', ['low', 'normal', 'high']],
    ['deployment', ['low', 'normal', 'high', 'serving']],
  ])('for a %s: without a say over classes, %j of the ones that every tenant has', (use, want) => {
    const usedBy = ROLES.map((role) => [
      role,
      DEFAULT_PRIORITY_CLASSES.filter((each) => whyNotUsed(role, each, use) === null).map(({ name }) => name),
    ]);
    const all = DEFAULT_PRIORITY_CLASSES.map(({ name }) => name);
    expect(Object.fromEntries(usedBy)).toEqual({
      owner: all,
      admin: all,
      operator: want,
      viewer: want,
      inference: want,
    });
  });

  it.each([
    ['job', { priority: 9, preemptible: true }, null],
    ['job', { priority: 0, preemptible: false }, 'jobs of the class own are never preempted'],
    ['job', { priority: 10, preemptible: true }, 'the class own has the highest priority there is'],
    ['deployment', { priority: 9, preemptible: false }, null],
    ['deployment', { priority: 10, preemptible: true }, 'the class own has the highest priority there is'],
  ] as const)('an operator’s %s of %j: %s', (use, given, want) => {
    const who = 'only a key that may change priority classes (queues:write) can use it';
    expect(whyNotUsed('operator', { name: 'own', ...given }, use)).toBe(want === null ? null : `${want}; ${who}`);
  });
});
