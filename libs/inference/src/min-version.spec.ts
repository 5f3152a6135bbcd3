import { describe, expect, it } from '@jest/globals';
import { readMinVersion, versionNotAvailable } from './min-version.ts';

describe('x-atoll-min-version', () => {
  it.each<[string, string | string[] | undefined, number | null]>([
    ['not there', undefined, 0],
    ['one', '1', 1],
    ['with zeros in front', '007', 7],
    ['very large', '999999999999999', 999_999_999_999_999],
    ['beyond what a number holds', '9'.repeat(16), null],
    ['zero', '0', null],
    ['negative', '-1', null],
    ['empty', '', null],
    ['a word', 'newest', null],
    ['a fraction', '1.5', null],
    ['an exponent', '1e3', null],
    ['hexadecimal', '0x10', null],
    ['twice, joined by the server', '1, 2', null],
    ['twice, as a list', ['1', '2'], null],
  ])('%s', (_name, header, want) => {
    const read = readMinVersion(header);
    if (want !== null) return expect(read).toBe(want);
    expect(read).toMatchObject({ status: 400, body: { error: { param: 'x-atoll-min-version' } } });
  });

  it('503 says what is wanted, what serves and why not, and when to ask again', () => {
    const error = versionNotAvailable('tiny', 3, 2, '2 version 2 is below the wanted 3');
    expect(error).toMatchObject({
      status: 503,
      retryAfterSeconds: 2,
      body: { error: { code: 'version_not_available' } },
    });
    expect(error.body.error.message).toBe(
      "Version 3 of 'tiny' or a newer one cannot answer now; the newest that serves is version 2 (replicas: 2 version 2 is below the wanted 3).",
    );
    expect(versionNotAvailable('tiny', 3, 0, '').body.error.message).toBe(
      "Version 3 of 'tiny' or a newer one cannot answer now; no version serves.",
    );
  });
});
