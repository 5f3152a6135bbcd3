/** What the routes of rollouts refuse, and that they say what would be right (U6). */
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { callApi } from './admin.fixture.ts';
import { RolloutWorld, type Scene } from './rollouts.fixture.ts';

// A busy machine is no failure.
jest.setTimeout(60_000);

const SPEC_MS = 120_000;
let world: RolloutWorld;
/** Never had a rollout. */
let fresh: Scene;
/** Its only rollout, from version 1 to 2, is over. */
let settled: Scene;

beforeAll(async () => {
  world = await RolloutWorld.start();
  fresh = await world.scene(1);
  settled = await world.scene(1);
  await world.patch(settled, { version: 2 });
  await world.sees(settled, 'the end', ({ rollout }) => rollout?.phase === 'Completed');
}, SPEC_MS);
afterAll(async () => {
  await world?.stop();
}, SPEC_MS);

const call = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  world.installation.call(method, `/api/v1/deployments/${path}`, body === undefined ? { headers } : { body, headers });

describe('steering', () => {
  it.each(['pause', 'resume', 'abort'])('%s without any rollout, or after it, says so', async (steering) => {
    expect(await call('POST', `${fresh.name}/rollout/${steering}`, {})).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('has had no rollout; changing its version begins one') },
    });
    expect(await call('POST', `${settled.name}/rollout/${steering}`, {})).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('to version 2, is over (Completed)') },
    });
  });

  it('knows no other word, and no other deployment', async () => {
    expect((await call('POST', `${settled.name}/rollout/explode`, {})).body).toMatchObject({
      status: 422,
      errors: [{ field: 'steering' }],
    });
    expect((await call('POST', 'nobody/rollout/pause', {})).status).toBe(404);
    expect((await call('GET', 'nobody/rollouts')).status).toBe(404);
    expect((await call('GET', `${settled.name}/rollouts?limit=0`)).status).toBe(422);
  });

  it('S4 is not for those who may only look', async () => {
    const { body: key } = await world.installation.call('POST', '/api/v1/api-keys', {
      body: { name: 'viewer', role: 'viewer' },
    });
    const { url } = world.installation.controlPlane;
    const as = (method: string, path: string, body?: object) =>
      callApi(url, method, `/api/v1/deployments/${settled.name}/${path}`, { key: key.key ?? key.token, body });
    expect((await as('GET', 'rollouts')).status).toBe(200);
    expect((await as('POST', 'rollout/pause', {})).status).toBe(403);
    expect((await as('POST', 'rollback', {})).status).toBe(403);
  });
});

describe('rolling back', () => {
  it.each([
    { name: 'to a version that is not there', body: { version: 9 }, field: 'version', says: 'published are 3, 2, 1' },
    { name: 'to the version that is wanted', body: { version: 2 }, field: 'version', says: 'wants already' },
    { name: 'to version 0', body: { version: 0 }, field: 'version', says: '' },
    { name: 'with words that it does not know', body: { to: 1 }, field: 'to', says: 'not a known field' },
  ])('refuses $name, dryRun or not', async ({ body, field, says }) => {
    for (const query of ['', '?dryRun=true']) {
      const answer = await call('POST', `${settled.name}/rollback${query}`, body);
      expect(answer).toMatchObject({
        status: 422,
        body: { errors: [{ field, message: expect.stringContaining(says) }] },
      });
    }
  });

  it('without anything before, asks for a version', async () => {
    expect(await call('POST', `${fresh.name}/rollback`, {})).toMatchObject({
      status: 409,
      body: { detail: expect.stringContaining('name the version to go back to') },
    });
  });

  it('refuses an ETag of before, a query that it does not know, and a deployment that is not there', async () => {
    expect((await call('POST', `${settled.name}/rollback`, {}, { 'if-match': '"1"' })).status).toBe(412);
    expect((await call('POST', `${settled.name}/rollback?dryrun=true`, {})).status).toBe(422);
    expect((await call('POST', 'nobody/rollback', {})).status).toBe(404);
  });
});

describe('a deployment', () => {
  const wave = (part: object) => ({ rollout: { waves: [part] } });
  it.each([
    {
      name: 'an alias and a version',
      body: { alias: 'stable', version: 1 },
      field: 'alias',
      says: 'together with version',
    },
    { name: 'an alias that is not there', body: { alias: 'stable' }, field: 'alias', says: 'it has none yet' },
    {
      name: 'a wave without clusters',
      body: wave({ soakSeconds: 1 }),
      field: 'rollout.waves[0]',
      says: 'exactly one of',
    },
    {
      name: 'a wave of two kinds',
      body: wave({ percent: 5, labels: { a: 'b' } }),
      field: 'rollout.waves[0]',
      says: 'exactly one',
    },
    { name: 'a part of nothing', body: wave({ percent: 0 }), field: 'rollout.waves[0].percent', says: '' },
    { name: 'no wave', body: { rollout: { waves: [] } }, field: 'rollout.waves', says: '' },
    {
      name: 'a rate above 1',
      body: { rollout: { abort: { errorRateAbove: 2 } } },
      field: 'rollout.abort.errorRateAbove',
      says: '',
    },
    {
      name: 'another consistency',
      body: { rollout: { consistency: 'eventual' } },
      field: 'rollout.consistency',
      says: '',
    },
  ])('refuses $name, made or changed', async ({ body, field, says }) => {
    const expected = { status: 422, body: { errors: [{ field, message: expect.stringContaining(says) }] } };
    const made = { name: 'new', model: fresh.model, ...body };
    expect(await world.installation.call('POST', '/api/v1/deployments', { body: made })).toMatchObject(expected);
    expect(await call('PATCH', fresh.name, body)).toMatchObject(expected);
    expect(await call('PATCH', `${fresh.name}?dryRun=true`, body)).toMatchObject(expected);
  });

  it(
    'that is being removed takes no word',
    async () => {
      const { name } = await world.scene(1);
      await call('DELETE', name);
      for (const path of ['rollout/pause', 'rollback']) {
        // It may be gone by now.
        expect([409, 404]).toContain((await call('POST', `${name}/${path}`, {})).status);
      }
    },
    SPEC_MS,
  );
});
