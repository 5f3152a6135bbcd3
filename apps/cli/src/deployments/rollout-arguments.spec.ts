import { describe, expect, it } from '@jest/globals';
import { DEFAULT_ABORT_RULE, DEFAULT_ROLLOUT_POLICY, type RolloutWave } from '#domain';
import { formatWave, parseWave, policyFields, type RolloutOptions, rolloutPolicyOf } from './rollout-arguments.ts';

const plain = { soakSeconds: 0, pauseAfter: false };

describe('--wave', () => {
  it.each<[string, RolloutWave]>([
    ['edge-1', { clusterNames: ['edge-1'], ...plain }],
    ['edge-1,edge-2', { clusterNames: ['edge-1', 'edge-2'], ...plain }],
    ['25%', { percent: 25, ...plain }],
    ['7%', { percent: 7, ...plain }],
    ['12.5%', { percent: 12.5, ...plain }],
    ['100%', { percent: 100, ...plain }],
    ['site=harbour', { labels: { site: 'harbour' }, ...plain }],
    ['site=harbour,tier=test', { labels: { site: 'harbour', tier: 'test' }, ...plain }],
    ['example.com/site=harbour', { labels: { 'example.com/site': 'harbour' }, ...plain }],
    ['edge-1:soak=30s', { clusterNames: ['edge-1'], soakSeconds: 30, pauseAfter: false }],
    ['25%:soak=5m', { percent: 25, soakSeconds: 300, pauseAfter: false }],
    ['25%:pause', { percent: 25, soakSeconds: 0, pauseAfter: true }],
    ['25%:soak=30s:pause', { percent: 25, soakSeconds: 30, pauseAfter: true }],
    ['25%:pause:soak=30s', { percent: 25, soakSeconds: 30, pauseAfter: true }],
  ])('%s', (text, want) => {
    expect(parseWave(text)).toEqual(want);
    expect(parseWave(formatWave(want))).toEqual(want);
  });

  it('a cluster named twice counts once', () => {
    expect(parseWave('edge-1,edge-1').clusterNames).toEqual(['edge-1']);
  });

  it.each([
    ['', 'who: edge-1,edge-2'],
    [':soak=30s', 'who: edge-1,edge-2'],
    ['0%', 'from 1% to 100%'],
    ['101%', 'from 1% to 100%'],
    ['25%%', 'a percentage'],
    ['25%,edge-1', 'a percentage'],
    ['Edge_1', 'must be a DNS label'],
    ['edge-1,', 'must be a DNS label'],
    ['edge-1,site=harbour', 'not both'],
    ['=harbour', 'key=value'],
    ['site=har bour', 'must be a label value'],
    ['25%:soak', ':soak=30s and :pause'],
    ['25%:soak=30', 'a duration such as'],
    ['25%:soak=31d', 'to 2592000 seconds'],
    ['25%:soak=1s:soak=2s', 'each once'],
    ['25%:pause:pause', 'each once'],
    ['25%:wait', 'not ":wait"'],
  ])('"%s" is refused and says what would be right', (text, want) => expect(() => parseWave(text)).toThrow(want));
});

describe('the policy that options make', () => {
  const wave = parseWave('edge-1');
  const current = { ...DEFAULT_ROLLOUT_POLICY, waves: [wave], consistency: 'strict' as const };
  const unwatched = { ...current, abort: null };
  const cases: readonly [
    string,
    Partial<RolloutOptions>,
    typeof current | typeof unwatched | undefined,
    object | null,
  ][] = [
    ['nothing said', {}, undefined, null],
    ['nothing said, whatever there is', {}, current, null],
    ['waves', { wave: [wave] }, undefined, { ...DEFAULT_ROLLOUT_POLICY, waves: [wave] }],
    ['strict', { strict: true }, undefined, { ...DEFAULT_ROLLOUT_POLICY, consistency: 'strict' }],
    ['rolling again', { rolling: true }, current, { ...current, consistency: 'rolling' }],
    ['no abort', { abort: false }, current, unwatched],
    ['what is not said stays', { strict: true }, unwatched, unwatched],
    [
      'an abort option keeps the rest of the rule',
      { abortErrors: 10 },
      current,
      { ...current, abort: { ...DEFAULT_ABORT_RULE, errorRateAbove: 0.1 } },
    ],
    [
      'an abort option turns the rule on',
      { abortLatency: 2, abortRequests: 5, abortStarts: 1 },
      unwatched,
      { ...unwatched, abort: { firstByteRatioAbove: 2, requestsMin: 5, failedStarts: 1 } },
    ],
  ];
  it.each(cases)('%s', (_name, options, before, want) => {
    expect(rolloutPolicyOf({ abort: true, ...options }, before)).toEqual(want);
  });

  it.each<[Partial<RolloutOptions>, string]>([
    [{ strict: true, rolling: true }, '--strict and --rolling'],
    [{ abort: false, abortErrors: 10 }, '--no-abort'],
  ])('%j contradicts itself', (options, want) => {
    expect(() => rolloutPolicyOf({ abort: true, ...options })).toThrow(want);
  });

  it('is said back', () => {
    expect(policyFields({ ...current, waves: [wave, parseWave('100%')] } as never)).toEqual([
      ['Rolls out', 'strict: never two versions at once'],
      ['In waves', 'edge-1\n100%'],
      ['Taken back', 'above 5% more errors or 3x the first byte, after 20 requests'],
    ]);
    expect(policyFields(unwatched as never)[2]).toEqual(['Taken back', 'never by itself']);
  });
});
