import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KubernetesApiFixture } from '../../test/kubernetes-api.fixture.ts';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { KubernetesApi } from './api.ts';
import { ConfiguredConnection } from './connection.ts';
import { KINDS } from './kinds.ts';

describe('credentials from a kubeconfig', () => {
  let server: KubernetesApiFixture;
  let folder: TemporaryFolder;
  const kubeconfig = async (url: string, token = 'a-service-account-token') => {
    const path = join(folder.path, 'kubeconfig');
    const cluster = { server: url, 'insecure-skip-tls-verify': true };
    const content = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: { token } }],
      contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'here',
    };
    await writeFile(path, JSON.stringify(content));
    return path;
  };

  beforeEach(async () => {
    server = await new KubernetesApiFixture().start();
    folder = await temporaryFolder();
  });
  afterEach(async () => {
    await server.stop();
    await folder.remove();
  });

  it('are those of its context', async () => {
    const connection = new ConfiguredConnection({ kubeconfig: await kubeconfig(server.url), context: 'here' });
    const api = new KubernetesApi({ connection, namespace: 'models', agent: 'UAGENT' });
    server.put({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'chat', namespace: 'models' } });
    expect((await api.list(KINDS.service)).items.map(({ metadata }) => metadata?.name)).toEqual(['chat']);
    api.close();
  });

  it('keep their sockets from one request to the next', async () => {
    const connection = new ConfiguredConnection({ kubeconfig: await kubeconfig('https://127.0.0.1:1') });
    const [first, second] = [await connection.credentials(), await connection.credentials()];
    expect(first.dispatcher).toBeDefined();
    expect(second.dispatcher).toBe(first.dispatcher);
    expect(second.headers.Authorization).toBe('Bearer a-service-account-token');
  });

  it('without a kubeconfig the agent is in a pod, or it says what to give', async () => {
    await expect(new ConfiguredConnection({}).server()).rejects.toThrow('give connection.kubeconfig');
  });

  it.each([
    { name: 'a file that is not there', file: 'nowhere', context: undefined },
    { name: 'a context that is not in it', file: 'kubeconfig', context: 'there' },
  ])('R8: $name is told, and asked for again', async ({ file, context }) => {
    await kubeconfig(server.url);
    const connection = new ConfiguredConnection({ kubeconfig: join(folder.path, file), context });
    const words = 'The Kubernetes credentials cannot be read: ';
    await expect(connection.server()).rejects.toThrow(words);
    await expect(connection.server()).rejects.toThrow(words);
  });
});
