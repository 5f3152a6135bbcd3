// The process' life: starts that cannot be, bootstrap, the first key, and one shutdown in order.

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { connectNats, inboxPrefixOf, MessagingError, readUserJwt } from '#messaging';
import { eventually } from '#testing';
import { ensureOwnerKey } from '../../apps/control-plane/src/auth/owner-key.ts';
import { Staging } from '../../apps/control-plane/src/blobs/staging.ts';
import { bootstrapInstallation } from '../../apps/control-plane/src/installation/bootstrap.ts';
import { Secrets } from '../../apps/control-plane/src/secrets/secrets.ts';
import { callApi, joinCluster, startInstallation, upload } from './admin.fixture.ts';

describe('bootstrap', () => {
  it('makes every secret once, for its owner only, and nothing the second time', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'atoll-bootstrap-'));
    try {
      const made = await bootstrapInstallation(directory);
      expect((await readdir(directory)).sort()).toEqual([...made].sort());
      const before = await Promise.all(made.map((name) => readFile(join(directory, name), 'utf8')));
      for (const name of made) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
      expect(readUserJwt(before[made.indexOf('gateway.jwt')]!.trim())).toMatchObject({ role: 'gateway' });
      expect(await bootstrapInstallation(directory)).toEqual([]);
      expect(await Promise.all(made.map((name) => readFile(join(directory, name), 'utf8')))).toEqual(before);
      await rm(join(directory, 'gateway.seed'));
      expect(await bootstrapInstallation(directory)).toEqual(['gateway.seed', 'gateway.jwt']);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

describe('a control plane', () => {
  it('outlives NATS, loses nothing over a restart, and stops in order with requests in flight', async () => {
    const installation = await startInstallation({ ATOLL_SHUTDOWN_DRAIN_SECONDS: '5' });
    const { controlPlane, call } = installation;
    try {
      // NATS goes: not ready, but intent is still taken.
      await call('POST', '/api/v1/models', { body: { name: 'tiny' } });
      const { identity, reply } = await joinCluster(installation, 'edge-revoked');
      await installation.server.kill();
      await eventually(async () => expect((await call('GET', '/readyz', { key: null })).status).toBe(503));
      expect((await call('GET', '/healthz', { key: null })).status).toBe(200);
      expect((await call('DELETE', '/api/v1/clusters/edge-revoked')).status).toBe(204);
      await installation.server.restart();
      await eventually(async () => expect((await call('GET', '/readyz', { key: null })).status).toBe(200));

      // The revocation reaches the server that was not there when it was made.
      await eventually(async () => {
        const attempt = connectNats({
          servers: reply.credentials.natsServers,
          credentials: () => ({ jwt: reply.credentials.jwt, seed: identity.seed }),
          name: 'edge-revoked',
          inboxPrefix: inboxPrefixOf(reply.clusterId),
          isFirstConnectionAwaited: false,
        });
        const session = await attempt.catch((error: MessagingError) => error);
        if (!(session instanceof MessagingError)) await session.close(0);
        expect(session).toMatchObject({ failure: 'unauthorized' });
      });

      // An upload is half-way when the end comes: it is let finish.
      const files = [{ path: 'a.txt', sizeBytes: 6 }];
      await call('POST', '/api/v1/models/tiny/versions', { body: { files } });
      const finishing = slowUpload(
        `${controlPlane.url}/api/v1/models/tiny/versions/1/content?path=a.txt`,
        installation.ownerKey,
      );
      const staging = controlPlane.app.get(Staging, { strict: false });
      const { body: version } = await call('GET', '/api/v1/models/tiny/versions/1');
      await eventually(async () => expect((await staging.read(version.id, 0)).receivedBytes).toBe(3));
      const closing = controlPlane.shutdown.run('test');
      finishing.end();
      expect(await finishing.status).toBe(200);
      const reports = await closing;
      expect(reports.map(({ name, outcome }) => `${name}: ${outcome}`)).toEqual([
        'stop intake and drain: done',
        'close NATS: done',
        'close pool: done',
      ]); // prettier-ignore
      await expect(callApi(controlPlane.url, 'GET', '/healthz')).rejects.toThrow();

      // Another process finds everything, and makes no second owner key.
      const again = await installation.startAnother();
      const found = await callApi(again.url, 'GET', '/api/v1/models/tiny/versions/1', { key: installation.ownerKey });
      expect(found.body.files[0]).toMatchObject({ receivedBytes: 6, digest: expect.any(String) });
    } finally {
      await installation.stop();
    }
  }, 60_000);

  it('of two that start at once, one writes the owner key, and it is the one that works', async () => {
    const installation = await startInstallation();
    try {
      const { body: keys } = await installation.call('GET', '/api/v1/api-keys');
      await installation.call('DELETE', `/api/v1/api-keys/${keys.items[0].id}`);
      const { app } = installation.controlPlane;
      const { Store } = await import('#domain');
      const [store, secrets] = [app.get(Store, { strict: false }), app.get(Secrets, { strict: false })];
      const keyFile = join(installation.directory, 'second-owner.key');
      const made = await Promise.all([1, 2, 3].map(() => ensureOwnerKey(store, secrets, keyFile)));
      expect(made.filter(Boolean)).toHaveLength(1);
      const key = (await readFile(keyFile, 'utf8')).trim();
      expect((await installation.call('GET', '/api/v1/clusters', { key })).status).toBe(200);
    } finally {
      await installation.stop();
    }
  }, 60_000);

  it('does not start on damaged operator files or a wrong signing key, and says what to do', async () => {
    const installation = await startInstallation();
    try {
      const broken = join(installation.directory, 'broken.pem');
      await writeFile(broken, 'not a key', { mode: 0o600 });
      await expect(installation.startAnother({ ATOLL_SECRETS_BLOB_SIGNING_KEY_FILE: broken })).rejects.toThrow(
        /blobSigningKey .* bootstrap/,
      );
      await expect(
        installation.startAnother({ ATOLL_NATS_OPERATOR_DIRECTORY: join(installation.directory, 'nothing') }),
      ).rejects.toThrow(/operator files .* bootstrap/);
      expect((await installation.call('PUT', '/api/v1/nothing')).status).toBe(404);
      expect((await upload(installation, 'nothing', 1, 'a', Buffer.alloc(1))).status).toBe(404);
    } finally {
      await installation.stop();
    }
  }, 60_000);
});

/** Three bytes at once, three more at `end`. */
function slowUpload(url: string, key: string) {
  const sending = request(url, {
    method: 'PUT',
    agent: false,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/octet-stream', 'content-length': 6 },
  });
  const status = new Promise<number | undefined>((resolve, reject) => {
    sending.on('error', reject);
    sending.on('response', (response) => {
      response.resume();
      resolve(response.statusCode);
    });
  });
  sending.write('abc');
  return { status, end: () => sending.end('def') };
}
