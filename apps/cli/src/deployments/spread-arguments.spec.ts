import { describe, expect, it } from '@jest/globals';
import { aDeployment } from '../../test/builders.fixture.ts';
import { adminServer } from '../../test/cli.fixture.ts';
import { parseSpread } from './spread-arguments.ts';

describe('over what replicas are spread, on the command line', () => {
  const { server } = adminServer();
  const atoll = (line: string) => server.run(line.split(' ').slice(1));
  const bodies = () => server.seen.map(({ body }) => body);
  const spread = { by: 'region', minGroups: 2 } as const;

  it.each(['region', 'region=0', 'rack=2', 'zone=1.5', 'zone=1001', '=2'])('refuses %s', (text) => {
    expect(() => parseSpread(text)).toThrow();
  });

  it('is said with a new deployment, and shown', async () => {
    server.on('POST /deployments', { status: 201, body: aDeployment({ spread }) });
    server.on('GET /deployments/chat', { body: aDeployment({ spread }) });
    const made = await atoll('atoll deployment create chat --model m --spread region=2');
    expect([made.exitCode, bodies()[0]]).toEqual([0, expect.objectContaining({ spread })]);
    expect((await atoll('atoll deployment show chat')).out).toMatch(/Spread: +over at least 2 regions/);
  });

  it.each([
    ['--spread zone=3', { spread: { by: 'zone', minGroups: 3 } }],
    ['--no-spread', { spread: null }],
  ])('is changed with %s alone', async (option, want) => {
    server.on('PATCH /deployments/chat', { body: aDeployment() });
    const told = await atoll(`atoll deployment update chat ${option}`);
    expect([told.exitCode, bodies()[0]]).toEqual([0, want]);
  });
});
