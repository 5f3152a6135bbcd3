// Crons, signatures and retention, without a database.

import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { DEFAULT_MODEL_POLICY, type ModelVersion, signedText, type VersionPhase } from '#domain';
import { cronProblem, hasFired } from './cron.ts';
import { versionsBeyond } from './retention.ts';
import { isSigned } from './signature.ts';

describe('cronProblem', () => {
  it.each([
    ['30 1 * * *', null],
    ['*/5 2-5 * * MON-FRI', null],
    ['0 0 29 2 *', null],
    ['0 0 30 2 *', 'never fires'],
    ['0 0 31 4,6,9,11 *', 'never fires'],
    ['60 * * * *', 'is no cron expression: Invalid value for minute: 60'],
    ['x * * * *', /^is no cron expression: /],
    ['* * * * * *', /^is no cron expression: /],
    ['', /^is no cron expression: /],
  ])('%j', (expression, want) => {
    const problem = cronProblem(expression);
    if (want === null || typeof want === 'string') expect(problem).toBe(want);
    else expect(problem).toMatch(want);
  });

  it('knows the time zones', () => {
    expect(cronProblem('0 2 * * *', 'Asia/Shanghai')).toBeNull();
    expect(cronProblem('0 2 * * *', 'Nowhere/City')).toMatch(/^is no cron expression: /);
  });
});

describe('hasFired', () => {
  it.each([
    ['UTC', '2026-01-01T01:59:59Z', '2026-01-01T01:59:59.999Z', false],
    ['UTC', '2026-01-01T01:59:59Z', '2026-01-01T02:00:00Z', true],
    ['UTC', '2026-01-01T02:00:00Z', '2026-01-01T23:00:00Z', false],
    ['UTC', '2026-01-01T02:00:00Z', '2026-01-05T00:00:00Z', true],
    ['Asia/Shanghai', '2026-01-01T17:00:00Z', '2026-01-01T18:00:00Z', true],
    ['Asia/Shanghai', '2026-01-01T18:00:00Z', '2026-01-02T17:59:59Z', false],
  ])('0 2 * * * in %s, from %s to %s: %s', (timeZone, since, now, want) => {
    expect(hasFired('0 2 * * *', timeZone, new Date(since), new Date(now))).toBe(want);
  });
});

describe('isSigned', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const hexKey = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url').toString('hex');
  const digest = 'd'.repeat(64);
  const signature = (text: string) => sign(null, Buffer.from(text), privateKey).toString('hex');

  it.each([
    ['the purpose and the digest', hexKey, signature(signedText(digest)), true],
    ['the digest alone', hexKey, signature(digest), false],
    ['another digest', hexKey, signature(signedText('e'.repeat(64))), false],
    ['nothing', hexKey, '0'.repeat(128), false],
    ['with another key', '0'.repeat(64), signature(signedText(digest)), false],
    ['with what is no key', 'f'.repeat(64), signature(signedText(digest)), false],
  ])('%s', (_name, key, of, want) => {
    expect(isSigned(digest, { publicKey: key, signature: of })).toBe(want);
  });
});

describe('versionsBeyond', () => {
  const NOW = new Date('2026-03-01T00:00:00Z');
  const version = (number: number, ageDays: number, phase: VersionPhase = 'Published') =>
    ({
      id: `v${number}`,
      number,
      phase,
      publishedAt: new Date(NOW.getTime() - ageDays * 86_400_000),
    }) as unknown as ModelVersion;
  const policy = { ...DEFAULT_MODEL_POLICY, keepVersions: 2, keepDays: 10 };

  it.each([
    ['none', [], []],
    ['few, however old', [version(1, 900), version(2, 800)], []],
    ['the oldest, in any order', [version(1, 90), version(3, 70), version(2, 80), version(4, 60)], ['v2', 'v1']],
    ['not the young', [version(1, 90), version(2, 10), version(3, 3), version(4, 2)], ['v1']],
    [
      'only published ones count',
      [version(1, 90), version(2, 80, 'Retired'), version(3, 70, 'Abandoned'), version(4, 60, 'Uploading')],
      [],
    ],
  ])('%s', (_name, versions, want) => {
    expect(versionsBeyond(policy, versions, NOW)).toEqual(want);
  });
});
