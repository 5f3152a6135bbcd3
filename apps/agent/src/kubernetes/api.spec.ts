import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type AnyObject, KubernetesApiFixture } from '../../test/kubernetes-api.fixture.ts';
import { KubernetesError } from '../errors.ts';
import { KubernetesApi, type KubernetesApiOptions } from './api.ts';
import { KINDS } from './kinds.ts';
import { ownershipLabels } from './names.ts';

const AGENT = 'UAGENT';
const NAMESPACE = 'models';

describe('the Kubernetes API client', () => {
  let server: KubernetesApiFixture;
  let api: KubernetesApi;
  const open = (change: Partial<KubernetesApiOptions> = {}) =>
    new KubernetesApi({
      connection: server.connection(),
      namespace: NAMESPACE,
      agent: AGENT,
      retryMs: 1,
      random: () => 0,
      ...change,
    });
  const service = (spec: AnyObject = {}, labels: AnyObject = ownershipLabels(AGENT), name = 'chat'): AnyObject => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: NAMESPACE, labels },
    spec: { type: 'ClusterIP', ports: [{ name: 'http', port: 80 }], ...spec },
  });
  const calls = (verb: string) => server.seen.filter((each) => each.verb === verb).length;
  const failure = (promise: Promise<unknown>): Promise<KubernetesError> =>
    promise.then(
      () => {
        throw new Error('It should have failed.');
      },
      (cause: unknown) => cause as KubernetesError,
    );

  beforeEach(async () => {
    server = await new KubernetesApiFixture().start();
    api = open();
  });
  afterEach(async () => {
    api.close();
    await server.stop();
  });

  describe('apply', () => {
    it('makes, changes, and removes what it no longer says; what others set stays', async () => {
      await api.apply(KINDS.service, service({ selector: { a: '1', b: '2' } }));
      server.put({
        ...service(),
        metadata: { ...server.get('services', 'chat').metadata, annotations: { by: 'cloud' } },
      });
      await api.apply(KINDS.service, service({ selector: { a: '3' } }));

      const { spec, metadata } = server.get('services', 'chat');
      expect(spec.selector).toEqual({ a: '3' });
      expect(metadata.annotations).toEqual({ by: 'cloud' });
    });

    it('twice is as once', async () => {
      const first = await api.apply(KINDS.service, service());
      const again = await api.apply(KINDS.service, service());
      expect(again.metadata?.resourceVersion).toBe(first.metadata?.resourceVersion);
    });

    it('a field that another manager changed in an object of ours is taken over', async () => {
      await api.apply(KINDS.service, service({ sessionAffinity: 'None' }));
      server.put(service({ sessionAffinity: 'ClientIP' }), 'kubectl');
      await api.apply(KINDS.service, service({ sessionAffinity: 'None' }));

      expect(server.get('services', 'chat').spec.sessionAffinity).toBe('None');
      expect(server.seen.filter(({ verb }) => verb === 'patch').map(({ query }) => query.get('force'))).toEqual([
        'false',
        'false',
        'true',
      ]);
    });

    it('a field of an object that is not ours is reported and left', async () => {
      server.put(service({ sessionAffinity: 'ClientIP' }, { app: 'theirs' }), 'kubectl');
      const cause = await failure(api.apply(KINDS.service, service({ sessionAffinity: 'None' })));

      expect(cause).toMatchObject({
        status: 409,
        conflicts: ['conflict with "kubectl" (.spec.sessionAffinity)'],
      });
      expect(server.get('services', 'chat').spec.sessionAffinity).toBe('ClientIP');
      expect(server.get('services', 'chat').metadata.labels).toEqual({ app: 'theirs' });
    });

    it('an unknown field is refused, as by a strict API server', async () => {
      const cause = await failure(api.apply(KINDS.service, service({ selektor: {} })));
      expect(cause.status).toBe(422);
      expect(cause.message).toContain('selektor');
    });
  });

  describe('what may pass is tried again', () => {
    it.each<{ name: string; break: () => void }>([
      { name: '429', break: () => server.refuseNext(2, 429) },
      { name: '503', break: () => server.refuseNext(3, 503) },
      { name: '500', break: () => server.refuseNext(1, 500) },
      { name: 'a connection that is cut', break: () => server.breakNext(2) },
    ])('R8: $name', async ({ break: spoil }) => {
      server.put(service());
      spoil();
      expect((await api.get(KINDS.service, 'chat'))?.metadata?.name).toBe('chat');
    });

    it('Retry-After is honoured', async () => {
      server.put(service());
      server.refuseNext(1, 429, { 'retry-after': '1' });
      const beganAtMs = performance.now();
      await api.get(KINDS.service, 'chat');
      expect(performance.now() - beganAtMs).toBeGreaterThanOrEqual(990);
    });

    it('not for ever, and the reason is told', async () => {
      server.refuseNext(50, 429);
      expect(await failure(api.get(KINDS.service, 'chat'))).toMatchObject({ status: 429, message: 'slow down' });
    });

    it('an API that is away is told of after a bounded number of tries', async () => {
      server.isAway = true;
      const cause = await failure(api.get(KINDS.service, 'chat'));
      expect(cause.status).toBe(0);
      expect(cause.message).toMatch(/^The Kubernetes API cannot be reached: /);
    });

    it('what is refused for good is not', async () => {
      server.rules = [];
      expect((await failure(api.get(KINDS.service, 'chat'))).status).toBe(403);
      expect(calls('get')).toBe(1);
    });

    it('a token that is no good is told as that', async () => {
      const stranger = open({ connection: server.connection('another-token') });
      expect(await failure(stranger.get(KINDS.service, 'chat'))).toMatchObject({ status: 401, reason: 'Unauthorized' });
    });
  });

  describe('list', () => {
    beforeEach(() => {
      for (const name of ['a', 'b', 'c', 'd', 'e']) server.put(service({}, { ...ownershipLabels(AGENT), name }, name));
      server.put(service({}, {}, 'foreign'));
      server.pageMax = 2;
    });
    const selector = { labelSelector: 'app.kubernetes.io/managed-by=atoll' };

    it('reads all pages, and says what each object is', async () => {
      const { items } = await api.list(KINDS.service, selector);
      expect(items.map(({ metadata }) => metadata?.name)).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(items[0]).toMatchObject({ apiVersion: 'v1', kind: 'Service' });
      expect(calls('list')).toBe(3);
    });

    it('R8: a list that expires half way is begun again', async () => {
      const page = server.seen.length;
      const listing = api.list(KINDS.service, selector);
      // Once the first page is on its way, what it continues from is gone.
      const expiring = (async () => {
        while (server.seen.length === page) await new Promise(setImmediate);
        server.expire();
      })();
      const [{ items }] = await Promise.all([listing, expiring]);
      expect(items).toHaveLength(5);
    });
  });

  describe('remove', () => {
    it('asks for this very object, dependents first', async () => {
      const made = await api.apply(KINDS.service, service());
      await api.remove(KINDS.service, made);
      const { body } = server.seen.find(({ verb }) => verb === 'delete')!;
      expect(body).toMatchObject({
        propagationPolicy: 'Foreground',
        preconditions: { uid: made.metadata?.uid },
      });
    });

    it('leaves another object that has its name by now', async () => {
      const made = await api.apply(KINDS.service, service());
      server.drop('services', 'chat');
      await api.apply(KINDS.service, service());
      await api.remove(KINDS.service, made);
      expect(server.get('services', 'chat')?.metadata.deletionTimestamp).toBeUndefined();
    });

    it('is done when it is gone already', async () => {
      const made = await api.apply(KINDS.service, service());
      server.drop('services', 'chat');
      await api.remove(KINDS.service, made);
      expect(server.list('services')).toEqual([]);
    });

    it.each([
      { name: 'without labels', labels: {} },
      { name: 'of another agent', labels: ownershipLabels('UOTHER') },
      { name: 'of another manager', labels: { ...ownershipLabels(AGENT), 'app.kubernetes.io/managed-by': 'Helm' } },
    ])('never touches an object $name', async ({ labels }) => {
      const foreign = server.put(service({}, labels));
      expect((await failure(api.remove(KINDS.service, foreign))).message).toBe("Service chat is not this agent's.");
      expect(calls('delete')).toBe(0);
    });
  });

  it('says which kinds are there', async () => {
    await server.stop();
    const { volcanoJob: _volcanoJob, ...plain } = KINDS;
    server = await new KubernetesApiFixture(Object.values(plain)).start();
    api = open();
    expect(await Promise.all([KINDS.volcanoJob, KINDS.job, KINDS.pod].map((kind) => api.offers(kind)))).toEqual([
      false,
      true,
      true,
    ]);
  });
});
