import { describe, expect, it } from '@jest/globals';
import type { EngineReply } from './engine-http.ts';
import { judgeHealth, judgeModels, type ModelWish, type ProbeContext } from './probe-answers.ts';

const context = (change: Partial<ProbeContext> = {}): ProbeContext => ({
  engine: 'gpu',
  url: 'http://gpu-1:8000',
  hasToken: false,
  wasReady: true,
  ...change,
});
const answer = (status: number, text = '', location = ''): EngineReply => ({ kind: 'answer', status, text, location });
const models = (...ids: string[]) => answer(200, JSON.stringify({ data: ids.map((id) => ({ id })) }));
const REFUSED: EngineReply = { kind: 'refused' };
const LATE: EngineReply = { kind: 'unanswered', reason: 'no answer in 3000 ms' };

describe('what an engine’s health says of it', () => {
  it.each([
    [answer(200), true, null],
    [answer(204), false, null],
    [
      REFUSED,
      true,
      { state: 'gone', reason: 'gpu is not there: nothing listens at http://gpu-1:8000 (connection refused)' },
    ],
    [
      REFUSED,
      false,
      { state: 'starting', reason: 'gpu is not there: nothing listens at http://gpu-1:8000 (connection refused)' },
    ],
    [LATE, true, { state: 'silent', reason: 'gpu does not answer at http://gpu-1:8000: no answer in 3000 ms' }],
    [LATE, false, { state: 'starting', reason: 'gpu does not answer at http://gpu-1:8000: no answer in 3000 ms' }],
    [answer(503), false, { state: 'starting', reason: 'gpu says that it is not ready yet (503)' }],
    [answer(503), true, { state: 'silent', reason: 'gpu says that it is not ready yet (503)' }],
    [answer(500), true, { state: 'silent', reason: 'gpu says that it is not well (500)' }],
    [
      answer(401),
      false,
      { state: 'gone', reason: 'gpu at http://gpu-1:8000 refuses us (401): it wants a token: set tokenFile.' },
    ],
    [
      answer(404),
      false,
      {
        state: 'gone',
        reason:
          'gpu at http://gpu-1:8000 has no such page for its health: set healthPath to one that it has, or another dialect.',
      },
    ],
    [
      answer(302, '', 'https://elsewhere/'),
      false,
      {
        state: 'gone',
        reason:
          'gpu at http://gpu-1:8000 redirects to https://elsewhere/, which is not followed: set url to where it is.',
      },
    ],
  ])('%j, ready before: %s', (reply, wasReady, want) => {
    expect(judgeHealth(reply, context({ wasReady }))).toEqual(want);
  });

  it('a token that is refused is told from one that is missing', () => {
    expect(judgeHealth(answer(403), context({ hasToken: true }))).toEqual({
      state: 'gone',
      reason: 'gpu at http://gpu-1:8000 refuses us (403): the token in tokenFile is not the one that it wants.',
    });
  });
});

describe('which of an engine’s models is meant', () => {
  const wish = (change: Partial<ModelWish> = {}): ModelWish => ({ servedModel: 'tiny', hasTags: false, ...change });
  const gone = (what: string) => ({ state: 'gone', reason: `gpu at http://gpu-1:8000 ${what}.` });
  it.each([
    ['the served name', models('other', 'tiny'), wish(), { state: 'listed', model: 'tiny' }],
    ['the only one', models('Qwen/Qwen3-0.6B'), wish(), { state: 'listed', model: 'Qwen/Qwen3-0.6B' }],
    ['the configured one', models('a', 'b'), wish({ model: 'b' }), { state: 'listed', model: 'b' }],
    ['a tag', models('tiny:latest', 'b'), wish({ hasTags: true }), { state: 'listed', model: 'tiny:latest' }],
    [
      'no tag where there are none',
      models('tiny:latest', 'b'),
      wish(),
      gone("does not list the model 'tiny': it has tiny:latest, b; set model to the one that is meant"),
    ],
    [
      'not another than the configured one',
      models('a'),
      wish({ model: 'b' }),
      gone("does not list the model 'b': it has a"),
    ],
    ['none', models(), wish(), gone("does not list the model 'tiny': it has none")],
    [
      'adapters are no models',
      answer(
        200,
        JSON.stringify({
          data: [
            { id: 'base', parent: null },
            { id: 'sql', parent: 'base' },
          ],
        }),
      ),
      wish(),
      { state: 'listed', model: 'base' },
    ],
    [
      'at most ten are named',
      models(...Array.from({ length: 12 }, (_, index) => `m${index}`)),
      wish({ model: 'x' }),
      gone("does not list the model 'x': it has m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 and 2 more"),
    ],
    ['404', answer(404), wish(), gone('is not an OpenAI server: it answers 404 when asked for its models')],
    ['garbage', answer(200, '<html>'), wish(), gone('is not an OpenAI server: its list of models is none')],
    ['a list of another kind', answer(200, '[1]'), wish(), gone('is not an OpenAI server: its list of models is none')],
    [
      'one that is unwell',
      answer(500),
      wish(),
      { state: 'silent', reason: 'gpu answers 500 when asked for its models' },
    ],
    ['one that loads', answer(503), wish(), { state: 'silent', reason: 'gpu says that it is not ready yet (503)' }],
  ])('%s', (_name, reply, wanted, want) => {
    expect(judgeModels(reply, context(), wanted)).toEqual(want);
  });
});
