import { describe, expect, it } from '@jest/globals';
import { aDeployment, aReplica } from '../../test/builders.fixture.ts';
import { adminServer, problem } from '../../test/cli.fixture.ts';
import { missingFrom } from './waiting.ts';

describe('missingFrom', () => {
  const starting = aReplica({ phase: 'Starting', reason: 'loading' });
  it.each([
    ['all as wanted', aDeployment(), null],
    ['none wanted, none there', aDeployment({ replicas: 0, placements: [] }), null],
    [
      'removed ones do not count',
      aDeployment({ placements: [aReplica(), aReplica({ placementPhase: 'Removed' })] }),
      null,
    ],
    [
      'one starts',
      aDeployment({ placements: [starting], status: '' }),
      '0 of 1 serve version 1. edge-shanghai: Starting, loading',
    ],
    [
      'not placed',
      aDeployment({ placements: [], status: '0/3 clusters fit.' }),
      '0 of 1 serve version 1. 0/3 clusters fit.',
    ],
    [
      'nothing heard of it',
      aDeployment({ placements: [aReplica({ phase: null })], status: '' }),
      '0 of 1 serve version 1. edge-shanghai: Pending',
    ],
    [
      'the old version still drains',
      aDeployment({
        version: 2,
        status: '',
        placements: [aReplica({ version: 2 }), aReplica({ placementPhase: 'Draining' })],
      }),
      '1 of 1 serve version 2. edge-shanghai: Draining',
    ],
    ['it goes', aDeployment({ deleting: true, status: 'Draining.' }), 'It is being deleted. Draining.'],
  ])('%s', (_name, deployment, want) => expect(missingFrom(deployment)).toBe(want));
});

describe('waiting on the command line', () => {
  const { server } = adminServer();

  /** Says the next one at each look, the last one for ever. */
  function inTurn(...answers: { status?: number; body?: unknown }[]): void {
    server.on('GET /deployments/chat', (_request, response) => {
      const { status = 200, body } = answers.length > 1 ? answers.shift()! : answers[0]!;
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  }
  const notYet = { body: aDeployment({ placements: [], status: 'No cluster is Ready.' }) };

  it('says what is missing until nothing is, through a restart of the control plane', async () => {
    inTurn(notYet, problem(503, 'unavailable', 'Starting.'), { body: aDeployment() });
    const { exitCode, out, err } = await server.run(['deployment', 'wait', 'chat'], { now: () => new Date() });
    expect({ exitCode, isShown: out.includes('1 ready of 1') }).toEqual({ exitCode: 0, isShown: true });
    expect(err).toContain('0 of 1 serve version 1. No cluster is Ready.');
    expect(err).toContain('unavailable: Starting.');
  });

  it('gives up at the time limit with the last reason', async () => {
    inTurn(notYet);
    const told = await server.run(['deployment', 'wait', 'chat', '--timeout', '1'], { now: () => new Date() });
    expect(told.exitCode).toBe(1);
    expect(told.err).toContain(
      'error: chat is not as wanted after 1 s: 0 of 1 serve version 1. No cluster is Ready.\n  Look closer: atoll explain deployment chat\n',
    );
  });

  it('does not wait for what is not there', async () => {
    inTurn(problem(404, 'not-found', 'There is no deployment chat.'));
    const told = await server.run(['deployment', 'wait', 'chat']);
    expect(told).toEqual({ exitCode: 1, out: '', err: 'error: not-found: There is no deployment chat.\n' });
  });

  it('waits until a deleted one is gone', async () => {
    server.on('DELETE /deployments/chat', { status: 204 });
    inTurn({ body: aDeployment({ deleting: true, status: 'Draining.' }) }, problem(404, 'not-found', 'Gone.'));
    const { exitCode, out } = await server.run(['deployment', 'delete', 'chat', '--wait'], { now: () => new Date() });
    expect({ exitCode, out }).toEqual({ exitCode: 0, out: 'chat is gone.\n' });
  });
});
