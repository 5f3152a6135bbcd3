// What the commands of versions say: words, exit codes and files.
import { createHash, createPublicKey, verify } from 'node:crypto';
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { manifestText, signedText } from '#domain';
import {
  aModel,
  anAgreement,
  anAlias,
  anArtifact,
  aSyncCluster,
  aVersion,
  aVersionSync,
  DIGEST,
} from '../../test/builders.fixture.ts';
import { adminServer, page, run, temporaryFolder } from '../../test/cli.fixture.ts';
import { makeSigningKey, publicKeyOf, readSigningKey, signDigest } from './signing.ts';

const folder = temporaryFolder();
const { server, atoll } = adminServer({ columns: 120 });
afterAll(() => folder.remove());

describe('models', () => {
  it('are listed with their policy and aliases, and as JSON with both', async () => {
    server.on('GET /models', page(aModel()));
    server.on('GET /models/tiny-llm/aliases', page(anAlias(), anAlias({ name: 'canary', version: 3 })));
    expect((await atoll('models list')).out).toBe(
      [
        'NAME      SNAPSHOTS   KEEPS       ALIASES                 MADE',
        'tiny-llm  30 1 * * *  10 or 30 d  stable → 2, canary → 3  1 h ago',
        '',
      ].join('\n'),
    );
    const [found] = JSON.parse((await atoll('model ls --json')).out);
    expect(found.aliases).toEqual([
      { name: 'stable', version: 2 },
      { name: 'canary', version: 3 },
    ]);
  });

  it('are shown with policy, aliases and versions', async () => {
    server.on('GET /models/tiny-llm', { body: aModel() });
    server.on('GET /models/tiny-llm/aliases', page(anAlias()));
    server.on(
      'GET /models/tiny-llm/versions',
      page(aVersion({ number: 2, parent: 1, aliases: ['stable'] }), aVersion()),
    );
    const { out } = await atoll('model show tiny-llm');
    expect(out).toContain('Snapshots: 30 1 * * * UTC, of the newest version\n');
    expect(out).toContain('Aliases:   stable → version 2\n');
    expect(out).toMatch(/^2 +Published +5\.24 MB +1 +a{12} +1 h ago +stable/m);
    expect(out).toMatch(/^1 +Published +5\.24 MB +- /m);
  });

  it('a version says parent, signature and metadata', async () => {
    const signature = { publicKey: 'c'.repeat(64), signature: 'd'.repeat(128) };
    server.on('GET /models/m/versions/2', {
      body: aVersion({ number: 2, parent: 1, metadata: { run: '7' }, signature }),
    });
    const { out } = await atoll('model version m 2');
    expect(out).toContain('Parent:  version 1\n');
    expect(out).toContain(`Signed:  by ${'c'.repeat(64)}\n`);
    expect(out).toContain('  run:   7\n');
    expect(out).toMatch(/^model\.gguf +5\.24 MB/m);
  });

  it('an alias says where it was, and its history stands newest first', async () => {
    server.on('PUT /models/m/aliases/stable', { body: anAlias() });
    expect((await atoll('model alias m stable 2')).out).toBe(
      'm stable is version 2 (before: 1). Deployments that follow it roll out.\n',
    );
    server.on('GET /models/m/aliases', page(anAlias()));
    expect((await atoll('model aliases m')).out).toBe(
      [
        'ALIAS   VERSION  DIGEST        MOVED',
        `stable  2        ${DIGEST.slice(0, 12)}  2 min ago`,
        '',
        'WHEN       ALIAS   MOVED      BY',
        '2 min ago  stable  1 → 2      key:pub1',
        '1 h ago    stable  made at 1  key:pub1',
        '',
      ].join('\n'),
    );
  });
});

describe('artifacts', () => {
  it('stand newest version first, with what they save', async () => {
    const failed = anArtifact({
      base: 2,
      version: 3,
      phase: 'Failed',
      percent: null,
      readyAt: null,
      reason: 'disk full',
    });
    server.on('GET /models/m/artifacts', page(anArtifact(), failed, anArtifact({ base: null, profile: 'snapshot' })));
    expect((await atoll('model artifacts m')).out).toBe(
      [
        'VERSION  FROM     PROFILE   PHASE   BYTES    % OF FULL  READY    REASON',
        '3        2        fast      Failed  -        -          -        disk full',
        '2        1        fast      Ready   1.43 MB  27.3 %     1 h ago',
        '2        nothing  snapshot  Ready   1.43 MB  27.3 %     1 h ago',
        '',
      ].join('\n'),
    );
  });

  it('a diff is waited for', async () => {
    const answers = ['Wanted', 'Making', 'Ready'] as const;
    let looks = 0;
    server.on('POST /models/m/artifacts', { body: anArtifact({ phase: 'Wanted', percent: null, bytes: 0 }) });
    server.on('GET /models/m/artifacts', (_request, response) => {
      const phase = answers[Math.min(looks, answers.length - 1)]!;
      looks += 1;
      response.end(JSON.stringify(page(anArtifact({ phase })).body));
    });
    const { exitCode, out, err } = await atoll('model diff m 1 2 --wait', { now: () => new Date() });
    expect({ exitCode, out }).toEqual({ exitCode: 0, out: 'Diff of m 1 → 2 (fast): 1.43 MB, 27.3 % of the whole.\n' });
    expect(err).toContain('it is Making');
  });

  it('one that cannot be made exits 1 and says why', async () => {
    server.on('POST /models/m/artifacts', { body: anArtifact({ phase: 'Failed', reason: 'tensors differ' }) });
    const { exitCode, err } = await atoll('model diff m 1 2');
    expect({ exitCode, err }).toEqual({ exitCode: 1, err: 'error: it could not be made: tensors differ\n' });
  });
});

describe('model sync', () => {
  const held = aSyncCluster({
    cluster: 'dc-1',
    kind: 'central',
    state: 'held',
    path: 'nothing',
    source: '',
    progress: null,
    reason: '',
  });
  const planned = aSyncCluster({
    cluster: 'edge-2',
    state: 'planned',
    progress: null,
    seconds: 90,
    startsInSeconds: 3_600,
    finishesInWindow: false,
    reason: 'too slow for its window',
  });

  it('says for every cluster what is sent, how fast, and when it is there', async () => {
    const body = aVersionSync(held, aSyncCluster(), planned);
    server.on('GET /models/m/versions/2/sync', { body });
    const { out } = await atoll('model sync m 2');
    expect(out).toBe(
      [
        'CLUSTER        STATE     PATH         WIRE     FULL     %       RATE      ETA',
        'dc-1           held      nothing      -        5.24 MB  -       -         -',
        'edge-shanghai  fetching  direct-diff  1.43 MB  5.24 MB  27.3 %  350 kB/s  3 s',
        'edge-2         planned   direct-diff  1.43 MB  5.24 MB  27.3 %  -         1 h',
        '',
        'edge-shanghai: 700 kB of 1.43 MB, from registry; the direct diff is cheapest',
        'edge-2:        from registry, starts in 1 h, does not finish in its window; too slow for its window',
        '',
        '1 will finish.',
        '',
      ].join('\n'),
    );
  });

  it('can be of some clusters only; one that is no member is refused', async () => {
    server.on('GET /models/m/versions/2/sync', { body: aVersionSync(held, planned) });
    const { out } = await atoll('model sync m 2 --cluster edge-2 --json');
    expect(JSON.parse(out).clusters).toEqual([planned]);
    expect(await atoll('model sync m 2 --cluster edge-9')).toMatchObject({
      exitCode: 2,
      err: 'error: edge-9 is no member of the fleet; see: atoll cluster list\n',
    });
  });

  it('is watched until every cluster holds it, through a restart of the control plane', async () => {
    const bodies = [aVersionSync(held, aSyncCluster()), null, aVersionSync(held)];
    server.on('GET /models/m/versions/2/sync', (_request, response) => {
      const body = bodies.length > 1 ? bodies.shift() : bodies[0];
      if (body === null) response.writeHead(503).end('{}');
      else response.end(JSON.stringify(body));
    });
    const { exitCode, out, err } = await atoll('model sync m 2 --watch', { now: () => new Date() });
    expect({ exitCode, isShown: /^dc-1 +held/m.test(out) }).toEqual({ exitCode: 0, isShown: true });
    expect(err).toContain('1 of 2 hold version 2 of tiny-llm; edge-shanghai fetching');
    expect(err).toContain('700 kB of 1.43 MB at 350 kB/s, 3 s left');
  });

  it('a watch that takes too long exits 1 and says who is missing', async () => {
    server.on('GET /models/m/versions/2/sync', { body: aVersionSync(held, planned) });
    const { exitCode, err } = await atoll('model sync m 2 --watch --timeout 1', { now: () => new Date() });
    expect(exitCode).toBe(1);
    expect(err).toContain(
      'error: not every cluster holds it after 1 s: 1 of 2 hold version 2 of tiny-llm; edge-2 planned',
    );
  });

  it('a model without a published version has none to sync', async () => {
    server.on('GET /models/m/versions', page(aVersion({ phase: 'Uploading' })));
    expect(await atoll('model sync m')).toMatchObject({ exitCode: 2, err: 'error: m has no published version\n' });
  });
});

describe('model agreement', () => {
  it('exits 0 when all agree', async () => {
    server.on('GET /models/m/agreement', { body: anAgreement() });
    const { exitCode, out, err } = await atoll('model agreement m');
    expect({ exitCode, err, out }).toEqual({
      exitCode: 0,
      err: '',
      out: [
        'CLUSTER        KIND  HOLDS                                     SERVES  WANTS  SEEN     DRIFT',
        'edge-shanghai  edge  2 (verified 3 min ago), 1 (not verified)  2       2      3 s ago  none',
        '',
        '1 cluster agrees; the newest version of tiny-llm is 2',
        '',
      ].join('\n'),
    });
  });

  it('exits 1 when they do not, with the vector on stdout all the same', async () => {
    const [cluster] = anAgreement().clusters;
    const other = {
      ...cluster!,
      serving: [{ version: null, digest: 'e'.repeat(64) }],
      drift: 'serves what is not wanted',
    };
    const body = anAgreement({ agrees: false, summary: '1 of 1 differs.', clusters: [other] });
    server.on('GET /models/m/agreement', { body });
    const table = await atoll('model agreement m');
    expect([table.exitCode, table.err]).toEqual([1, 'error: the clusters do not agree on m\n']);
    expect(table.out).toContain(`unknown ${'e'.repeat(12)}`);
    const json = await atoll('model agreement m --json');
    expect([json.exitCode, JSON.parse(json.out)]).toEqual([1, body]);
  });
});

describe('keys that sign', () => {
  const path = (name: string) => join(folder.path, name);

  it('keygen makes a private file and prints the public key that verifies', async () => {
    const { exitCode, out } = await run(['model', 'keygen', 'sign.pem'], { cwd: folder.path });
    expect([exitCode, statSync(path('sign.pem')).mode & 0o777]).toEqual([0, 0o600]);
    const publicKey = out.trim();
    expect(publicKey).toMatch(/^[0-9a-f]{64}$/);
    const signature = signDigest(DIGEST, readSigningKey(path('sign.pem')));
    expect(signature.publicKey).toBe(publicKey);
    const x = Buffer.from(publicKey, 'hex').toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    const isGood = (text: string) => verify(null, Buffer.from(text), key, Buffer.from(signature.signature, 'hex'));
    expect([isGood(signedText(DIGEST)), isGood(DIGEST)]).toEqual([true, false]);
  });

  it('keygen never writes over a file, and never shows the private key', async () => {
    writeFileSync(path('there.pem'), 'mine');
    const again = await run(['model', 'keygen', 'there.pem'], { cwd: folder.path });
    expect([again.exitCode, readFileSync(path('there.pem'), 'utf8')]).toEqual([2, 'mine']);
    const made = await run(['model', 'keygen', 'new.pem', '--json'], { cwd: folder.path });
    expect(JSON.parse(made.out)).toEqual({
      publicKey: publicKeyOf(readFileSync(path('new.pem'), 'utf8')),
      file: 'new.pem',
    });
    expect(made.out + made.err).not.toContain('PRIVATE');
  });

  it.each<[string, string, number, string]>([
    ['not-there.pem', '', 0, 'no such file'],
    ['open.pem', makeSigningKey(), 0o644, 'can be read by others'],
    ['text.pem', 'hello', 0o600, 'holds no private key in PEM'],
    [
      'public.pem',
      createPublicKey(makeSigningKey()).export({ type: 'spki', format: 'pem' }).toString(),
      0o600,
      'holds no',
    ],
  ])('%s is refused before anything is sent', async (name, text, mode, want) => {
    if (mode !== 0) {
      writeFileSync(path(name), text);
      chmodSync(path(name), mode);
    }
    const { exitCode, err } = await atoll(`model publish m . --sign ${name}`, { cwd: folder.path });
    expect({ exitCode, calls: server.seen }).toEqual({ exitCode: 2, calls: [] });
    expect(err).toContain(want);
    expect(err).not.toContain('hello');
  });
});

describe('model publish', () => {
  const content = 'weights';
  const fileDigest = createHash('sha256').update(content).digest('hex');
  const files = [{ path: 'm.bin', digest: fileDigest, sizeBytes: content.length }];
  const digest = createHash('sha256').update(manifestText(files)).digest('hex');

  beforeAll(() => writeFileSync(join(folder.path, 'm.bin'), content));

  it('says parent, metadata and a signature of the very digest, and what is made of it then', async () => {
    const key = makeSigningKey();
    writeFileSync(join(folder.path, 'release.pem'), key, { mode: 0o600 });
    const uploaded = [{ ...files[0]!, receivedBytes: content.length }];
    const signature = { publicKey: publicKeyOf(key), signature: 'd'.repeat(128) };
    const begun = aVersion({ number: 3, phase: 'Uploading', digest: null, files: uploaded });
    server.on('GET /models/m/versions', page(aVersion()));
    server.on('POST /models/m/versions', { status: 201, body: begun });
    server.on('POST /models/m/versions/3/publish', { body: aVersion({ number: 3, parent: 2, digest, signature }) });
    const command =
      'model publish m m.bin --parent 2 --notes new --metadata run=7 --metadata set=a=b --sign release.pem';
    const { exitCode, out, err } = await atoll(command, { cwd: folder.path });
    expect({ exitCode, out }).toEqual({
      exitCode: 0,
      out: [
        'm version 3 is published (5.24 MB).',
        `digest ${digest}`,
        `signed by ${signature.publicKey}`,
        'Its parent is version 2; diffs against it are being made. See: atoll model artifacts m, and how it travels: atoll model sync m 3',
        '',
      ].join('\n'),
    });
    expect(err).not.toContain('PRIVATE');
    const [, create, publish] = server.seen.map(({ body }) => body);
    expect(create).toEqual({ files, notes: 'new', parent: 2, metadata: { run: '7', set: 'a=b' } });
    const sent = (publish as { signature: { publicKey: string; signature: string } }).signature;
    expect(sent.publicKey).toBe(publicKeyOf(key));
    expect(
      verify(null, Buffer.from(signedText(digest)), createPublicKey(key), Buffer.from(sent.signature, 'hex')),
    ).toBe(true);
  });

  it('what is there already stays as it is: a signature that it does not have is said, with exit code 1', async () => {
    writeFileSync(join(folder.path, 'late.pem'), makeSigningKey(), { mode: 0o600 });
    server.on('GET /models/m/versions', page(aVersion({ number: 2, digest })));
    const { exitCode, out, err } = await atoll('model publish m m.bin --sign late.pem', { cwd: folder.path });
    expect([exitCode, out]).toEqual([
      1,
      `m has this content already, as version 2; nothing was sent.\ndigest ${digest}\n`,
    ]);
    expect(err).toContain('error: version 2 is not signed with this key, and a published version never changes\n');
  });
});
