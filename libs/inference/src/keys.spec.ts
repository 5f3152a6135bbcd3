import { createHmac } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { type OpenAiError, openAiError } from './errors.ts';
import { type CheckableKey, isOpenAiError, KeyAuthenticator } from './keys.ts';

const PEPPER = Buffer.from('pepper');
const SECRET = 's'.repeat(32);
const TOKEN = `Bearer atoll_aaaaaaaa_${SECRET}`;
const KEY: CheckableKey = {
  publicId: 'aaaaaaaa',
  secretHash: createHmac('sha256', PEPPER).update(SECRET).digest('hex'),
  tenantId: 't',
  role: 'inference',
  models: null,
  expiresAtMs: null,
};

interface Known {
  readonly key?: CheckableKey;
  readonly confirmed?: boolean;
  readonly found?: CheckableKey;
  readonly obstacle?: OpenAiError;
}

function build(options: Known) {
  let { key } = options;
  const source = {
    pepper: PEPPER,
    key: (publicId: string) => (publicId === key?.publicId ? key : undefined),
    obstacle: () => options.obstacle ?? null,
    confirm: async () => {
      key = options.found ?? key;
      return options.confirmed ?? true;
    },
  };
  return new KeyAuthenticator(source, () => 1_000);
}

async function statusOf(
  authenticator: KeyAuthenticator<CheckableKey>,
  authorization: string | undefined,
): Promise<number> {
  const found = await authenticator.authenticate(authorization);
  return isOpenAiError(found) ? found.status : 200;
}

describe('authenticator', () => {
  it.each([
    { name: 'a known key', key: KEY, want: 200 },
    { name: 'another secret', key: { ...KEY, secretHash: '0'.repeat(64) }, want: 401 },
    { name: 'a damaged hash', key: { ...KEY, secretHash: 'zz' }, want: 401 },
    { name: 'expired', key: { ...KEY, expiresAtMs: 1_000 }, want: 401 },
    { name: 'not expired', key: { ...KEY, expiresAtMs: 1_001 }, want: 200 },
    { name: 'unknown and confirmed', want: 401 },
    { name: 'R12: unknown while the control plane is silent', confirmed: false, want: 503 },
    { name: 'one whose hash is not known here', key: { ...KEY, secretHash: null }, want: 503 },
    { name: 'a known key while nobody can be judged', key: KEY, obstacle: openAiError('shutting_down'), want: 503 },
    { name: 'found by asking', found: KEY, want: 200 },
    { name: 'found by asking, with another secret', found: { ...KEY, secretHash: '0'.repeat(64) }, want: 401 },
  ])('$name: $want', async ({ want, ...options }) => {
    expect(await statusOf(build(options), TOKEN)).toBe(want);
  });

  it('a known key is judged without waiting', () => {
    expect(build({ key: KEY }).authenticate(TOKEN)).toBe(KEY);
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    SECRET,
    `Basic ${SECRET}`,
    `Bearer ${'a'.repeat(1e6)}`,
    'Bearer \u0000',
  ])('S3: garbage is 401 at once and of one shape: %#', (authorization) => {
    const found = build({ confirmed: false, obstacle: openAiError('shutting_down') }).authenticate(authorization);
    expect(found).toBe(build({}).authenticate('Bearer other'));
  });
});
