import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import pino from 'pino';
import { KubernetesApiFixture } from '../../test/kubernetes-api.fixture.ts';
import { until } from '../../test/temporary-folder.ts';
import { KubernetesApi } from './api.ts';
import { KINDS } from './kinds.ts';
import { ObjectWatch } from './watch.ts';

describe('a watch', () => {
  let server: KubernetesApiFixture;
  let api: KubernetesApi;
  let watch: ObjectWatch;
  const put = (name: string, labels: Record<string, string> = { app: 'a' }) =>
    server.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'models', labels },
      spec: { containers: [] },
    });
  const names = () => watch.objects.map(({ metadata }) => metadata!.name!).sort();
  const sees = (...wanted: string[]) =>
    until(
      () => names().join() === wanted.join(),
      () => `it sees ${wanted.join()} instead of ${names().join()}`,
    );
  const calls = (verb: string) => server.seen.filter((each) => each.verb === verb);
  const flows = () => until(() => server.watching === 1, 'the watch flows');

  beforeEach(async () => {
    server = await new KubernetesApiFixture().start();
    api = new KubernetesApi({ connection: server.connection(), namespace: 'models', agent: 'UAGENT', retryMs: 1 });
    const log = pino({ level: 'silent' });
    watch = new ObjectWatch({ api, kind: KINDS.pod, labelSelector: 'app=a', retryMs: 1, random: () => 0, log });
  });
  afterEach(async () => {
    api.close();
    await watch.stop();
    await server.stop();
  });

  it('lists, then follows; others are not seen', async () => {
    put('old');
    put('foreign', { app: 'b' });
    watch.start();
    await sees('old');
    await flows();
    put('new');
    await sees('new', 'old');
    server.drop('pods', 'old');
    await sees('new');
    expect(calls('list')).toHaveLength(1);
    expect(watch.staleMs).toBe(0);
  });

  it('R5: a stream that is cut goes on where it was, without a list', async () => {
    put('old');
    watch.start();
    await flows();
    put('seen');
    await sees('old', 'seen');
    server.cutWatches();
    put('missed');
    server.drop('pods', 'old');
    await sees('missed', 'seen');
    expect(calls('list')).toHaveLength(1);
  });

  it('R8: what has expired is listed anew', async () => {
    put('old');
    watch.start();
    await flows();
    server.drop('pods', 'old');
    server.cutWatches();
    put('new');
    server.expire();
    await sees('new');
    expect(calls('list').length).toBeGreaterThanOrEqual(1);
  });

  it('a bookmark moves it on, so that it does not expire', async () => {
    put('old');
    watch.start();
    await flows();
    put('foreign', { app: 'b' });
    server.expire();
    const before = watch.resourceVersion;
    server.bookmark();
    await until(() => watch.resourceVersion !== before, 'it has seen the bookmark');
    server.cutWatches();
    await flows();
    put('new');
    await sees('new', 'old');
    expect(calls('list')).toHaveLength(1);
  });

  it('R7: what was seen last stays while the API is away, and is said to be old', async () => {
    put('old');
    watch.start();
    await flows();
    server.isAway = true;
    server.cutWatches();
    await until(() => watch.staleMs > 0, 'it knows that it was cut');
    expect(names()).toEqual(['old']);
    server.isAway = false;
    put('new');
    await sees('new', 'old');
  });

  it('R8: throttled, it comes back', async () => {
    server.refuseNext(7, 429);
    put('old');
    watch.start();
    await sees('old');
    expect(watch.isSynced).toBe(true);
  });

  it('an event that is no JSON cuts the stream and loses nothing', async () => {
    put('old');
    watch.start();
    await flows();
    server.say('{"type": "ADDED", "obj\n');
    await until(() => calls('watch').length === 2, 'the stream was opened again');
    put('new');
    await sees('new', 'old');
  });

  it('synced says when it takes too long', async () => {
    server.isAway = true;
    watch.start();
    await expect(watch.synced(30)).rejects.toThrow('gave no list of pods in time');
  });
});
