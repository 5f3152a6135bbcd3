// U5, S5, S6 and the answers' shape: what a client of a healthy gateway sees, over both paths.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI from 'openai';
import { v7 } from 'uuid';
import { eventually } from '#testing';
import { answering } from '../bench/gateway/behaviours.ts';
import type { FakeCluster } from '../bench/gateway/fake-cluster.ts';
import { createKey, deploymentOf } from '../bench/gateway/installation.ts';
import { errorOf, GatewayWorld, TENANT } from './gateway-world.ts';

let world: GatewayWorld;
let one: FakeCluster;
let two: FakeCluster;

beforeAll(async () => {
  world = await GatewayWorld.start();
  const pair = await world.startPair(answering());
  [one, two] = [pair[0]!, pair[1]!];
}, 60_000);
afterAll(() => world.stop());

describe('what a client sees', () => {
  it('both paths answer, and every answer says who did', async () => {
    const paths = new Set<string>();
    await eventually(async () => {
      const answer = await world.chat({}, { headers: { 'x-request-id': 'mine-1' } });
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        'x-request-id': 'mine-1',
        'x-atoll-version': 'f'.repeat(64),
        'x-atoll-attempts': '1',
      });
      paths.add(`${answer.headers['x-atoll-cluster']} ${answer.headers['x-atoll-path']}`);
      expect([...paths].sort()).toEqual(['one direct', 'two dialled']);
    });
  });

  it('a stream comes whole and ends with [DONE]', async () => {
    const answer = await world.chat({ stream: true });
    expect(answer.headers['content-type']).toContain('text/event-stream');
    expect(answer.text.match(/^data: /gm)).toHaveLength(4);
    expect(answer.text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('U5: the official SDK lists, chats and streams', async () => {
    const client = new OpenAI({ baseURL: `${world.gateway.url}/v1`, apiKey: world.token, maxRetries: 0 });
    const listed = await client.models.list();
    expect(listed.data).toEqual([{ id: 'tiny', object: 'model', created: 1_700_000_000, owned_by: 'atoll' }]);
    expect((await client.models.retrieve('tiny')).id).toBe('tiny');

    const messages = [{ role: 'user' as const, content: 'hello' }];
    const whole = await client.chat.completions.create({ model: 'tiny', messages });
    expect(whole.choices[0]?.message.content).toBe('token token token');
    let text = '';
    for await (const chunk of await client.chat.completions.create({ model: 'tiny', messages, stream: true })) {
      text += chunk.choices[0]?.delta.content ?? '';
    }
    expect(text).toBe('t0 t1 t2 ');
    expect((await client.completions.create({ model: 'tiny', prompt: 'hello' })).usage?.completion_tokens).toBe(3);
  });

  it('U5: the SDK throws its own error classes', async () => {
    const options = { baseURL: `${world.gateway.url}/v1`, maxRetries: 0 };
    const client = new OpenAI({ ...options, apiKey: world.token });
    const stranger = new OpenAI({ ...options, apiKey: 'sk-nobody' });
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const create = (model: string) => client.chat.completions.create({ model, messages });
    await expect(create('other')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(client.models.retrieve('other')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(stranger.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(create('')).rejects.toBeInstanceOf(OpenAI.BadRequestError);
  });

  it('an unknown model is 404 and lists what is there', async () => {
    const answer = await world.chat({ model: 'gpt-9' });
    expect(answer.status).toBe(404);
    expect(errorOf(answer)).toMatchObject({ code: 'model_not_found', param: 'model' });
    expect(errorOf(answer).message).toContain('Served are: tiny.');
  });

  it('S6: a client cannot choose where its request goes, and its key does not travel on', async () => {
    let seen: Record<string, unknown> = {};
    const usual = one.behave;
    one.behave = two.behave = (request, response, body) => {
      seen = request.headers;
      usual(request, response, body);
    };
    const headers = {
      'x-atoll-replica': 'mine',
      'x-atoll-cluster': 'mine',
      host: 'elsewhere.example',
      'x-own': 'kept',
    };
    const answer = await world.chat({}, { headers });
    one.behave = two.behave = usual;
    expect(answer.status).toBe(200);
    expect(seen['x-atoll-replica']).not.toBe('mine');
    expect(seen['x-atoll-cluster']).toBeUndefined();
    expect(seen.authorization).toBeUndefined();
    expect([one.id, two.id]).toContain(seen.host);
    expect(seen['x-own']).toBe('kept');
  });
});

describe('S5: tenants and restricted keys', () => {
  it('each key sees and uses only what is its own', async () => {
    const otherTenant = v7();
    const stranger = createKey({ tenantId: otherTenant });
    const restricted = createKey({ tenantId: TENANT, models: ['small'] });
    const viewer = createKey({ tenantId: TENANT, role: 'viewer' });
    const { keys, deployments } = world.centre.view;
    world.centre.change({
      keys: [...keys, stranger.key, restricted.key, viewer.key],
      deployments: [
        ...deployments,
        deploymentOf('secret-model', otherTenant, [one.id]),
        deploymentOf('small', TENANT, [one.id]),
      ],
    });
    await world.untilRouted();
    const models = async (token: string) => {
      const { data } = JSON.parse((await world.get('/v1/models', token)).text) as { data: { id: string }[] };
      return data.map(({ id }) => id);
    };
    expect(await models(world.token)).toEqual(['small', 'tiny']);
    expect(await models(stranger.token)).toEqual(['secret-model']);
    expect(await models(restricted.token)).toEqual(['small']);

    const foreign = await world.chat({ model: 'secret-model' });
    expect(foreign.status).toBe(404);
    expect(errorOf(foreign).message).toContain('Served are: small, tiny.');
    expect((await world.get('/v1/models/secret-model')).status).toBe(404);
    expect((await world.chat({ model: 'tiny' }, { token: restricted.token })).status).toBe(404);
    expect((await world.chat({ model: 'small' }, { token: restricted.token })).status).toBe(200);
    expect((await world.chat({}, { token: viewer.token })).status).toBe(403);
  });
});
