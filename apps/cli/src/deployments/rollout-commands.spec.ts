// What the commands of rollouts say, and with which exit code.
import { describe, expect, it } from '@jest/globals';
import type { RolloutDto } from '#contracts';
import { aDeployment, anAlias, aPlan, aRollout, aSyncCluster, aVersionSync } from '../../test/builders.fixture.ts';
import { adminServer, page, problem } from '../../test/cli.fixture.ts';

const { server, atoll } = adminServer();

describe('deployment rollout', () => {
  it('shows the newest one and those before it', async () => {
    const before = aRollout({
      phase: 'Aborted',
      endedAt: '2030-01-01T11:58:00.000Z',
      reason: '12 % of answers failed.',
    });
    server.on('GET /deployments/chat/rollouts', page(aRollout(), before));
    expect((await atoll('deployment rollout chat')).out).toBe(
      [
        'Rollout:     version 1 → 2, Progressing',
        'Wave:        1 of 3',
        'Open to:     edge-shanghai',
        'Consistency: rolling',
        'Began:       1 min ago',
        'Reason:      Wave 1 soaks for 20 s more.',
        '',
        'Before:',
        'BEGAN      VERSIONS  PHASE    REASON',
        '1 min ago  1 → 2     Aborted  12 % of answers failed.',
        '',
      ].join('\n'),
    );
  });

  it('says when there never was one', async () => {
    server.on('GET /deployments/chat/rollouts', page());
    expect(await atoll('deployment rollout chat')).toMatchObject({
      exitCode: 0,
      out: 'chat has had no rollout yet: it serves the version that it was made with.\n',
    });
  });

  function inTurn(...rollouts: (RolloutDto | null)[]): void {
    server.on('GET /deployments/chat/rollouts', page(...rollouts.slice(-1)));
    server.on('GET /deployments/chat', (_request, response) => {
      const rollout = rollouts.length > 1 ? rollouts.shift()! : rollouts[0]!;
      response.end(JSON.stringify(aDeployment({ rollout })));
    });
  }

  it('is watched to its end', async () => {
    inTurn(aRollout(), aRollout({ phase: 'Paused', wave: 2, reason: '' }), aRollout({ phase: 'Completed', wave: 3 }));
    const { exitCode, out, err } = await atoll('deployment rollout chat --watch', { now: () => new Date() });
    expect({ exitCode, isShown: out.includes('version 1 → 2, Completed') }).toEqual({ exitCode: 0, isShown: true });
    expect(err).toContain('version 1 → 2 Progressing: Wave 1 soaks for 20 s more.  1/1 replicas ready');
    expect(err).toContain('version 1 → 2 Paused: wave 2 of 3');
  });

  it('a successor is followed', async () => {
    inTurn(aRollout(), aRollout({ toVersion: 3 }), aRollout({ toVersion: 3, phase: 'Completed' }));
    const { exitCode, err } = await atoll('deployment rollout chat --watch', { now: () => new Date() });
    expect([exitCode, err.includes('version 1 → 3')]).toEqual([0, true]);
  });

  it.each(['Aborted', 'RolledBack'] as const)('exits 1 when it ends %s', async (phase) => {
    inTurn(aRollout({ phase, reason: '12 % of answers failed.' }));
    const { exitCode, out, err } = await atoll('deployment rollout chat --watch', { now: () => new Date() });
    expect([exitCode, err]).toEqual([1, `error: ${phase}: 12 % of answers failed.\n`]);
    expect(out).toContain(phase);
  });

  it('without a watch the exit code does not judge', async () => {
    server.on('GET /deployments/chat/rollouts', page(aRollout({ phase: 'Aborted' })));
    expect((await atoll('deployment rollout chat')).exitCode).toBe(0);
  });
});

describe('steering', () => {
  it('says how it is now', async () => {
    const body = aDeployment({ rollout: aRollout({ phase: 'Paused', reason: 'Paused by key:pub1.' }) });
    server.on('POST /deployments/chat/rollout/pause', { body });
    const { out } = await atoll('deployment pause chat');
    expect(out).toContain('Rollout:     version 1 → 2, Paused\n');
    expect(out).toContain('Reason:      Paused by key:pub1.\n');
  });

  it('a refusal is said as the API says it', async () => {
    server.on('POST /deployments/chat/rollout/resume', problem(409, 'conflict', 'chat has no active rollout.'));
    expect(await atoll('deployment resume chat')).toMatchObject({
      exitCode: 1,
      err: 'error: conflict: chat has no active rollout.\n',
    });
  });

  it('a rollback can be waited for', async () => {
    server.on('POST /deployments/chat/rollback', { body: aDeployment() });
    server.on('GET /deployments/chat', { body: aDeployment() });
    const { exitCode, out } = await atoll('deployment rollback chat --wait', { now: () => new Date() });
    expect(exitCode).toBe(0);
    expect(out).toContain('chat goes back to version 1.\n');
    expect(out).toContain('1 ready of 1');
  });
});

describe('a dry run', () => {
  it('says how the version would get to every cluster', async () => {
    server.on('POST /deployments', { body: aPlan });
    server.on('GET /models/m/versions/2/sync', { body: aVersionSync(aSyncCluster()) });
    const command = 'deployment create chat --model m --version 2 --dry-run';
    const { out } = await atoll(command, { columns: 200 });
    expect(out).toContain('Nothing was changed. It would be so:\n\n0/2 clusters fit');
    expect(out).toContain('How version 2 of tiny-llm would get there:\n');
    expect(out).toMatch(/edge-shanghai +fetching +direct-diff +1\.43 MB +5\.24 MB +27\.3 %/);
    expect(out.endsWith('1 will finish.\n')).toBe(true);
    const json = JSON.parse((await atoll(`${command} --json`)).out);
    expect([json.outcome, json.sync.version]).toEqual([aPlan.outcome, 2]);
  });

  it('of an alias that is not there says so', async () => {
    server.on('POST /deployments', { body: aPlan });
    server.on('GET /models/m/aliases', page(anAlias()));
    expect(await atoll('deployment create chat --model m --alias canary --dry-run')).toMatchObject({
      exitCode: 2,
      err: 'error: m has no alias canary; see: atoll model aliases m\n',
    });
  });

  it('that changes no version says nothing of it', async () => {
    server.on('PATCH /deployments/chat', { body: aPlan });
    expect((await atoll('deployment scale chat 2 --dry-run')).out).not.toContain('would get there');
  });
});

it('a deployment shows what it follows and how it rolls out', async () => {
  server.on('GET /deployments/chat', { body: aDeployment({ alias: 'stable', rollout: aRollout() }) });
  const { out } = await atoll('deployment show chat');
  expect(out).toContain('Follows:        alias stable\n');
  expect(out).toContain('Rolls out:      rolling: old and new serve side by side\n');
  expect(out).toContain('In waves:       100%\n');
  expect(out).toContain('Rollout:        version 1 → 2 Progressing, wave 1 of 3');
});
