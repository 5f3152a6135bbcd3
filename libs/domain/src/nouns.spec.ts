/** Phases, manifests, paths, tokens, permissions. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CLUSTER_PHASES, type ClusterPhase, isMember, mayMove, nextPhases } from './clusters.ts';
import { splitToken } from './keys.ts';
import { manifestText, parseManifest, versionPathProblem } from './models.ts';
import { DNS_LABEL, SHA256_HEX, UUID } from './names.ts';
import { mayGrant, PERMISSIONS, ROLE_PERMISSIONS, ROLES, type Role, roleAllows } from './permissions.ts';

describe('phases of a cluster', () => {
  it.each<[ClusterPhase, ClusterPhase[]]>([
    ['PendingApproval', ['Ready', 'Left']],
    ['Ready', ['Suspect', 'Unknown', 'Draining', 'Left']],
    ['Suspect', ['Ready', 'Unknown', 'Draining', 'Left']],
    ['Unknown', ['Ready', 'Draining', 'Left']],
    ['Draining', ['Ready', 'Suspect', 'Unknown', 'Left']],
    ['Left', []],
  ])('%s may become %j and nothing else', (from, want) => {
    expect(CLUSTER_PHASES.filter((to) => mayMove(from, to))).toEqual(CLUSTER_PHASES.filter((to) => want.includes(to)));
    expect([...nextPhases(from)].sort()).toEqual([...want].sort());
  });

  it('only approved clusters that have not left are members', () => {
    expect(CLUSTER_PHASES.filter(isMember)).toEqual(['Ready', 'Suspect', 'Unknown', 'Draining']);
  });
});

describe('manifestText', () => {
  const file = (path: string, digest = 'd', sizeBytes = 1) => ({ path, digest, sizeBytes });

  it('is a line a file, sorted by path, and does not depend on the order given', () => {
    const files = [file('b', 'd2', 20), file('a/z', 'd1', 10), file('a.gguf', 'd0', 0)];
    const want = 'd0 0 a.gguf\nd1 10 a/z\nd2 20 b\n';
    expect([manifestText(files), manifestText([...files].reverse()), manifestText([])]).toEqual([want, want, '']);
  });

  it('sorts by the bytes of the path, so that every language computes the same digest', () => {
    // In UTF-16 the surrogates of an emoji sort before U+FF5E; in UTF-8 they sort after it.
    expect(manifestText([file('\u{1F600}'), file('\uFF5E')])).toBe('d 1 \uFF5E\nd 1 \u{1F600}\n');
    const paths = fc.uniqueArray(fc.string({ unit: 'grapheme', minLength: 1 }), { maxLength: 6 });
    fc.assert(
      fc.property(paths, (given) => {
        const sorted = [...given].sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
        expect(manifestText(given.map((path) => file(path)))).toBe(sorted.map((path) => `d 1 ${path}\n`).join(''));
      }),
    );
  });
});

describe('parseManifest', () => {
  const digest = 'a'.repeat(64);
  const line = (path: string, sizeBytes = 1) => `${digest} ${sizeBytes} ${path}\n`;

  it('gives back what manifestText was given', () => {
    const files = [
      { path: 'a b/c', digest, sizeBytes: 0 },
      { path: 'model.gguf', digest, sizeBytes: 5_000_000_000_000 },
    ];
    expect(parseManifest(manifestText(files))).toEqual(files);
    expect(parseManifest('')).toEqual([]);
  });

  it.each([
    ['no end of line', line('a').trimEnd()],
    ['an empty line', `${line('a')}\n`],
    ['no digest', `${'a'.repeat(63)} 1 a\n`],
    ['a negative size', `${digest} -1 a\n`],
    ['a size with a leading zero', `${digest} 01 a\n`],
    ['a path that leads out', line('../a')],
    ['another order', line('b') + line('a')],
    ['carriage returns', `${digest} 1 a\r\n`],
    ['no manifest at all', 'GGUF'],
  ])('refuses %s', (_name, text) => {
    expect(parseManifest(text)).toBeNull();
  });
});

describe('versionPathProblem (S7)', () => {
  it.each(['model.gguf', 'a/b/c.json', 'with space', '..hidden', 'a..b/c', 'é'.repeat(127)])('takes %j', (path) => {
    expect(versionPathProblem(path)).toBeNull();
  });

  it.each([
    ['', 'is empty'],
    ['/etc/passwd', 'is absolute'],
    ['../x', 'segment'],
    ['a/../b', 'segment'],
    ['a/./b', 'segment'],
    ['a//b', 'segment'],
    ['a/', 'segment'],
    ['.', 'segment'],
    ['a\\b', 'backslash'],
    ['a\nb', 'control character'],
    ['a\u0000b', 'control character'],
    ['\u007f', 'control character'],
    ['é'.repeat(128), 'longer than 255 bytes'],
  ])('refuses %j: %s', (path, want) => {
    expect(versionPathProblem(path)).toContain(want);
  });

  it('what it takes stays inside the version’s folder, whatever was given', () => {
    const piece = fc.constantFrom('..', '.', '/', '\\', 'a', '\u0000', ' ', 'é');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const path = pieces.join('');
        if (versionPathProblem(path) !== null) return;
        expect(new URL(path.replaceAll(' ', '_'), 'file:///base/').pathname.startsWith('/base/')).toBe(true);
      }),
    );
  });
});

describe('splitToken (S3)', () => {
  const secret = 's'.repeat(43);
  it('splits what has the shape', () => {
    expect(splitToken('atoll', `atoll_AbCd1234_${secret}`)).toEqual({ publicId: 'AbCd1234', secret });
    const odd = `${'-_'.repeat(20)}ab`;
    expect(splitToken('atolljoin', `atolljoin_AbCd1234_${odd}`)).toEqual({ publicId: 'AbCd1234', secret: odd });
  });

  it.each([
    ['another kind of token', `atolljoin_AbCd1234_${secret}`],
    ['no prefix', `AbCd1234_${secret}`],
    ['a short public id', `atoll_Ab_${secret}`],
    ['a long public id', `atoll_${'a'.repeat(33)}_${secret}`],
    ['a short secret', 'atoll_AbCd1234_short'],
    ['a long secret', `atoll_AbCd1234_${'s'.repeat(65)}`],
    ['a line end', `atoll_AbCd1234_${secret}\n`],
    ['a space before', ` atoll_AbCd1234_${secret}`],
    ['a letter that only looks like one', `atoll_АbCd1234_${secret}`],
  ])('null for %s', (_case, text) => {
    expect(splitToken('atoll', text)).toBeNull();
  });

  it('never throws, and gives back only what was there', () => {
    const garbage = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc
        .array(fc.constantFrom('atoll', 'atolljoin', '_', 'a', '\u0000', '=', secret), { maxLength: 8 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(garbage, (text) => {
        const split = splitToken('atoll', text);
        if (split !== null) expect(`atoll_${split.publicId}_${split.secret}`).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('permissions', () => {
  it('S4: nobody grants more than they have', () => {
    for (const granter of ROLES) {
      for (const granted of ROLES.filter((role) => mayGrant(granter, role))) {
        const beyond = ROLE_PERMISSIONS[granted].filter((permission) => !roleAllows(granter, permission));
        expect({ granter, granted, beyond }).toEqual({ granter, granted, beyond: [] });
      }
    }
  });

  it.each<[Role, Role[]]>([
    ['owner', ['owner', 'admin', 'operator', 'viewer', 'inference']],
    ['admin', ['admin', 'operator', 'viewer', 'inference']],
    ['operator', ['operator', 'viewer', 'inference']],
    ['viewer', ['viewer']],
    ['inference', ['inference']],
  ])('S4: %s may grant %j', (granter, want) => {
    expect(ROLES.filter((role) => mayGrant(granter, role))).toEqual(want);
  });

  it('writes of keys and tokens are for owner and admin alone; readers write nothing', () => {
    const allowed = (permission: (typeof PERMISSIONS)[number]) => ROLES.filter((role) => roleAllows(role, permission));
    expect([allowed('api-keys:write'), allowed('join-tokens:write'), allowed('audit:read')]).toEqual(
      Array(3).fill(['owner', 'admin']),
    );
    expect(ROLE_PERMISSIONS.viewer.filter((permission) => permission.endsWith(':write'))).toEqual([]);
    expect(ROLE_PERMISSIONS.inference).toEqual(['inference']);
  });
});

describe('names', () => {
  it.each([
    ['a', true],
    ['edge-1', true],
    ['a'.repeat(63), true],
    ['a'.repeat(64), false],
    ['-a', false],
    ['a-', false],
    ['A', false],
    ['a.b', false],
    ['', false],
    ['a\n', false],
  ])('DNS label %j: %s', (text, want) => {
    expect(DNS_LABEL.test(text)).toBe(want);
  });

  it('digests and ids are lower case, whole, and nothing more', () => {
    const digest = 'a0'.repeat(32);
    const id = '01890a5d-ac96-774b-bcce-b302099a8057';
    const digests = [digest, digest.toUpperCase(), `${digest}\n`, `sha256:${digest}`].map((text) =>
      SHA256_HEX.test(text),
    );
    const ids = [id, id.toUpperCase(), `${id}\n`, id.slice(1)].map((text) => UUID.test(text));
    expect([digests, ids]).toEqual([
      [true, false, false, false],
      [true, false, false, false],
    ]);
  });
});
