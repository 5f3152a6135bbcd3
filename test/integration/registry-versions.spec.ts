// Versions as their publishers describe them: parents, metadata, signatures, aliases, and what is refused.

import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { v7 } from 'uuid';
import {
  DEFAULT_DEPLOYMENT_SERVING,
  DEFAULT_DISCONNECT_POLICY,
  DEFAULT_QUEUE_ID,
  DEFAULT_ROLLOUT_POLICY,
  type Deployment,
  manifestText,
  signedText,
} from '#domain';
import { type Answer, gguf, type Installation, startInstallation, upload } from './admin.fixture.ts';
import { publishFiles, storeOf, uploadFiles } from './registry.fixture.ts';

// A busy machine is no failure.
jest.setTimeout(60_000);

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation();
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const call: Installation['call'] = (...request) => installation.call(...request);
const small = (content: string) => ({ 'a.txt': Buffer.from(content) });

async function newestAudit(wanted: string): Promise<Answer['body']> {
  const { items } = (await call('GET', '/api/v1/audit?limit=50')).body;
  return items.find(({ action }: Answer['body']) => action === wanted);
}

async function newModel(name: string, policy: object = {}): Promise<string> {
  expect((await call('POST', '/api/v1/models', { body: { name, policy } })).status).toBe(201);
  return name;
}

describe('a version’s parent and metadata', () => {
  it('the parent is the newest published one unless another is named', async () => {
    const model = await newModel('family');
    const begun = await uploadFiles(installation, model, small('never published'));
    const parents: (number | null)[] = [];
    for (const wanted of [{}, {}, { parent: begun + 1 }]) {
      parents.push((await publishFiles(installation, model, small(`${parents.length}`), wanted)).parent);
    }
    expect(parents).toEqual([null, begun + 1, begun + 1]);
  });

  it('metadata and notes are kept as given', async () => {
    const model = await newModel('described');
    const metadata = { run: 'r-17', 'data set': 'Austen → Bible' };
    const published = await publishFiles(installation, model, small('x'), { metadata, notes: 'First.' });
    expect(published).toMatchObject({ metadata, notes: 'First.', signature: null, aliases: [], parent: null });
    expect((await call('GET', `/api/v1/models/${model}/versions/1`)).body).toEqual(published);
  });

  it.each([
    ['one that is not there', 7],
    ['one that is not published', 1],
  ])('%s is refused', async (_name, parent) => {
    const model = await newModel(`orphan-${parent}`);
    await uploadFiles(installation, model, small('x'));
    const body = { files: [{ path: 'a', sizeBytes: 1 }], parent };
    expect(await call('POST', `/api/v1/models/${model}/versions`, { body })).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'parent' }] },
    });
  });
});

describe('a signature', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const rawPublicKey = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url').toString('hex');
  const signatureOf = (text: string, key: KeyObject = privateKey) => sign(null, Buffer.from(text), key).toString('hex');
  let number: number;
  let digest: string;
  const publish = (signature: object) =>
    call('POST', `/api/v1/models/signed/versions/${number}/publish`, { body: { signature } });

  beforeAll(async () => {
    await newModel('signed');
    const content = gguf(5_000);
    number = await uploadFiles(installation, 'signed', { 'model.gguf': content });
    const { body } = await call('GET', `/api/v1/models/signed/versions/${number}`);
    const files = body.files.map(({ path, sizeBytes, digest: of }: Answer['body']) => ({
      path,
      sizeBytes,
      digest: of,
    }));
    digest = createHash('sha256').update(manifestText(files)).digest('hex');
  });

  it('that is not over this version is refused, and nothing is published', async () => {
    const other = generateKeyPairSync('ed25519').privateKey;
    const wrong = [
      { publicKey: rawPublicKey, signature: signatureOf(digest) }, // without its purpose
      { publicKey: rawPublicKey, signature: signatureOf(signedText('0'.repeat(64))) },
      { publicKey: rawPublicKey, signature: signatureOf(signedText(digest), other) },
      { publicKey: 'ff'.repeat(32), signature: signatureOf(signedText(digest)) }, // no point of the curve
    ];
    for (const signature of wrong) {
      expect(await publish(signature)).toMatchObject({
        status: 422,
        body: { detail: expect.stringContaining(digest), errors: [{ field: 'signature' }] },
      });
    }
    expect((await call('GET', `/api/v1/models/signed/versions/${number}`)).body.phase).toBe('Uploading');
  });

  it('that holds is kept and shown', async () => {
    const signature = { publicKey: rawPublicKey, signature: signatureOf(signedText(digest)) };
    expect(await publish(signature)).toMatchObject({ status: 200, body: { phase: 'Published', digest, signature } });
    expect((await newestAudit('versions.publish')).detail).toMatchObject({ signedBy: rawPublicKey });
  });
});

describe('S7: what is no model is refused with the file and the reason', () => {
  beforeAll(() => newModel('refused'));
  const safetensors = (tensors: object, dataBytes: number) => {
    const header = Buffer.from(JSON.stringify(tensors));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header, Buffer.alloc(dataBytes)]);
  };
  const tensor = (shape: readonly unknown[], from: number, to: number) => ({
    dtype: 'F32',
    shape,
    data_offsets: [from, to],
  });
  const overlapping = safetensors({ a: tensor([4], 0, 16), b: tensor([4], 8, 24) }, 24);

  it.each([
    ['overlapping tensors', 'm.safetensors', overlapping, /"b" overlaps/],
    ['overlapping tensors under another name', 'weights.dat', overlapping, /"b" overlaps/],
    ['data that is cut', 'm.safetensors', safetensors({ a: tensor([4], 0, 16) }, 8), /outside the 8 bytes/],
    ['a negative dimension', 'm.safetensors', safetensors({ a: tensor([-4], 0, 16) }, 16), /negative/],
    ['a dimension of 2^63', 'm.safetensors', safetensors({ a: tensor([2 ** 63], 0, 16) }, 16), /too large/],
    ['a size that does not match', 'm.safetensors', safetensors({ a: tensor([3], 0, 16) }, 16), /needs 12/],
    ['a GGUF without its header', 'm.gguf', Buffer.from('GGUF'), /not a valid gguf file/],
    ['a pickle', 'weights.dat', Buffer.concat([Buffer.from([0x80, 4]), Buffer.alloc(600)]), /pickle/],
  ])('%s', async (_name, path, content, why) => {
    const files = [{ path, sizeBytes: content.length }];
    const { body } = await call('POST', '/api/v1/models/refused/versions', { body: { files } });
    const answer = await upload(installation, 'refused', body.number, path, content);
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field: 'files[0]' }] } });
    expect(answer.body.detail).toContain(path);
    expect(answer.body.detail).toMatch(why);
    const published = await call('POST', `/api/v1/models/refused/versions/${body.number}/publish`);
    expect(published.status).toBe(422);
  });
});

describe('policies', () => {
  it('are the defaults, then what is given; what is left out stays', async () => {
    await newModel('ruled');
    const at = '/api/v1/models/ruled';
    const defaults = { snapshotCron: '30 1 * * *', keepVersions: 10, keepDays: 30 };
    const { body, headers } = await call('GET', at);
    expect(body.policy).toEqual(defaults);
    const stale = { 'if-match': headers.get('etag')! };
    const changed = await call('PATCH', at, { body: { policy: { keepVersions: 3 } }, headers: stale });
    expect(changed).toMatchObject({ status: 200, body: { policy: { ...defaults, keepVersions: 3 }, revision: 2 } });
    expect(changed.headers.get('etag')).toBe('"2"');
    const late = await call('PATCH', at, { body: { policy: { keepDays: 1 } }, headers: stale });
    expect(late.status).toBe(412);
    expect((await call('GET', at)).body.policy).toEqual({ ...defaults, keepVersions: 3 });
  });

  it.each([['0 0 31 2 *'], ['99 * * * *'], ['0 0 * * 9'], ['5-1 * * * *']])(
    'the cron %j, which never fires, is refused',
    async (snapshotCron) => {
      const wrong = { status: 422, body: { errors: [{ field: 'policy.snapshotCron' }] } };
      expect(await call('POST', '/api/v1/models', { body: { name: 'never', policy: { snapshotCron } } })).toMatchObject(
        wrong,
      );
      expect(await call('PATCH', '/api/v1/models/ruled', { body: { policy: { snapshotCron } } })).toMatchObject(wrong);
      expect((await call('GET', '/api/v1/models/never')).status).toBe(404);
    },
  );
});

describe('aliases', () => {
  const at = '/api/v1/models/named/aliases';
  beforeAll(async () => {
    await newModel('named');
    for (const content of ['one', 'two', 'three']) await publishFiles(installation, 'named', small(content));
  });
  const point = (alias: string, version: number) => call('PUT', `${at}/${alias}`, { body: { version } });

  it('point at one version, move with their history, and stand in the version', async () => {
    expect(await point('stable', 1)).toMatchObject({ status: 200, body: { name: 'stable', version: 1 } });
    await point('canary', 3);
    const moved = await point('stable', 2);
    const { body: second } = await call('GET', '/api/v1/models/named/versions/2');
    const [again, listed] = [await point('stable', 2), (await call('GET', at)).body.items];
    expect(moved.body.history.map(({ from, to }: Answer['body']) => [from, to])).toEqual([
      [1, 2],
      [null, 1],
    ]);
    expect(moved.body).toMatchObject({ versionDigest: second.digest });
    expect(again.body).toEqual(moved.body);
    expect(second.aliases).toEqual(['stable']);
    expect(listed.map(({ name, version }: Answer['body']) => [name, version])).toEqual([
      ['canary', 3],
      ['stable', 2],
    ]);
    expect((await call('GET', `${at}/stable`)).body).toEqual(moved.body);
  });

  it('keep their version from being taken back, until they are gone', async () => {
    await point('pinned', 3);
    const refused = await call('DELETE', '/api/v1/models/named/versions/3');
    expect(refused).toMatchObject({ status: 409, body: { detail: expect.stringContaining('"pinned"') } });
    expect((await call('DELETE', `${at}/pinned`)).status).toBe(204);
    expect((await call('GET', `${at}/pinned`)).status).toBe(404);
    const made = await point('pinned', 1);
    expect(made.body.history.map(({ from, to }: Answer['body']) => [from, to])).toEqual([
      [null, 1],
      [3, null],
      [null, 3],
    ]);
  });

  it('cannot be moved to what is not published', async () => {
    const number = await uploadFiles(installation, 'named', small('half'));
    for (const version of [number, 99]) {
      expect(await point('stable', version)).toMatchObject({ status: 422, body: { errors: [{ field: 'version' }] } });
    }
  });

  it('bring the deployments that follow them along, and stay while they do', async () => {
    const store = storeOf(installation);
    await point('followed', 1);
    const { id: modelId } = (await call('GET', '/api/v1/models/named')).body;
    const [first, second] = await Promise.all([1, 2].map((number) => store.read.versions.find({ modelId, number })));
    await store.transaction((rows) => rows.deployments.insert(follower(first!.modelId, first!.tenantId, first!.id)));
    expect((await point('followed', 2)).status).toBe(200);
    const find = () => store.read.deployments.find({ tenantId: first!.tenantId, name: 'follower' });
    expect(await find()).toMatchObject({ versionId: second!.id, alias: 'followed' });
    expect((await newestAudit('aliases.move')).detail).toMatchObject({ version: 2, rollouts: ['follower'] });
    const refused = await call('DELETE', `${at}/followed`);
    expect(refused).toMatchObject({ status: 409, body: { detail: expect.stringContaining('"follower"') } });
  });

  it('of a model that is not there are 404', async () => {
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/a'],
      ['DELETE', '/a'],
      ['PUT', '/a'],
    ] as const) {
      const body = method === 'PUT' ? { body: { version: 1 } } : {};
      expect((await call(method, `/api/v1/models/nothing/aliases${path}`, body)).status).toBe(404);
    }
  });
});

function follower(modelId: string, tenantId: string, versionId: string): Deployment {
  return {
    id: v7(),
    tenantId,
    name: 'follower',
    modelId,
    versionId,
    alias: 'followed',
    rollout: DEFAULT_ROLLOUT_POLICY,
    servedModel: 'named',
    replicas: 0,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    selector: {},
    spread: null,
    disconnect: DEFAULT_DISCONNECT_POLICY,
    serving: DEFAULT_DEPLOYMENT_SERVING,
    queueId: DEFAULT_QUEUE_ID,
    priorityClass: 'serving',
    priority: 9,
    deletedAt: null,
    createdAt: new Date(),
    revision: 1,
  };
}
