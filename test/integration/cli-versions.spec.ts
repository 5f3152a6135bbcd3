// The command line against a real control plane: what an operator types for model versions is understood, and what is
// answered is shown. What each command says in every case is told by the specs beside it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SUBJECTS } from '#contracts';
import { Store } from '#domain';
import { publishJson } from '#messaging';
import { eventually } from '#testing';
import { run } from '../../apps/cli/test/cli.fixture.ts';
import { ControlPlaneNats } from '../../apps/control-plane/src/nats/control-plane-nats.ts';
import { gguf, type Installation, joinCluster, startInstallation } from './admin.fixture.ts';

const PATIENCE = { timeoutMs: 30_000 };
const folder = mkdtempSync(join(tmpdir(), 'atoll-cli-'));
let installation: Installation;
let beating: NodeJS.Timeout | undefined;

beforeAll(async () => {
  installation = await startInstallation();
  const { reply } = await joinCluster(installation, 'edge-a', { labels: { site: 'harbour' } });
  beating = await liveOn(reply.clusterId);
  await joinCluster(installation, 'dc-1', { kind: 'central' });
}, 60_000);
afterAll(async () => {
  clearInterval(beating);
  await installation?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

/** A cluster of one CPU whose agent beats and has said once what it has: enough to be given a replica. */
async function liveOn(clusterId: string): Promise<NodeJS.Timeout> {
  const { app } = installation.controlPlane;
  const nodes = [{ name: 'n1', devices: [{ id: 'cpu0', deviceType: 'cpu', memoryBytes: 8e9 }] }];
  const report = { clusterId, bootId: crypto.randomUUID(), sequence: 1, epoch: 1, revision: 1, agentVersion: '0.1.0' };
  const observation = { clusterId, replacedBoots: [], receivedAt: new Date() };
  await app
    .get(Store, { strict: false })
    .transaction((rows) =>
      rows.observations.upsert({ ...observation, report: { ...report, nodes, replicas: [], versions: [] } as never }),
    );
  const { connection } = app.get(ControlPlaneNats, { strict: false });
  let sequence = 0;
  const beat = () => {
    sequence += 1;
    const life = { boot: 'spec', sequence, revision: 1, inflight: 0, queued: 0, stallMs: 0 };
    publishJson(connection, SUBJECTS.heartbeat(clusterId), life);
  };
  beat();
  return setInterval(beat, 500);
}

function told(command: string, columns = 160) {
  const env = { ATOLL_URL: installation.controlPlane.url, ATOLL_TOKEN: installation.ownerKey };
  const argv = command.match(/"[^"]*"|\S+/g)!.map((part) => part.replaceAll('"', ''));
  return run(argv, { env, cwd: folder, columns, now: () => new Date() });
}

async function said(command: string): Promise<string> {
  const { exitCode, out, err } = await told(command);
  if (exitCode !== 0) throw new Error(`atoll ${command}: exit ${exitCode}\n${err}${out}`);
  return out;
}

async function found(command: string) {
  return JSON.parse(await said(`${command} --json`));
}

describe('an operator’s day with versions', () => {
  it('publishes two versions, the second one signed, with a parent and metadata', async () => {
    const first = gguf(20_000);
    const second = Buffer.from(first);
    second.fill(7, 10_000, 10_100);
    writeFileSync(join(folder, 'model.gguf'), first);
    await said('models create tiny');
    expect(await said('models publish tiny model.gguf')).toContain('It has no parent');
    writeFileSync(join(folder, 'model.gguf'), second);
    const publicKey = (await said('models keygen release.pem')).trim();
    const published = await said(
      'models publish tiny model.gguf --parent 1 --metadata run=7 --notes better --sign release.pem',
    );
    expect(published).toContain(`signed by ${publicKey}`);
    expect(published).toContain('Its parent is version 1; diffs against it are being made.');
    const version = await found('models version tiny 2');
    expect(version).toMatchObject({ parent: 1, metadata: { run: '7' }, notes: 'better', signature: { publicKey } });
  }, 60_000);

  it('moves an alias, sees its history, and changes what is kept', async () => {
    await said('models alias tiny stable 1');
    expect(await said('models alias tiny stable 2')).toContain('tiny stable is version 2 (before: 1).');
    const [alias] = await found('models aliases tiny');
    expect(alias.history.map(({ from, to }: { from: number; to: number }) => [from, to])).toEqual([
      [1, 2],
      [null, 1],
    ]);
    expect(await said('models policy tiny --keep-versions 3 --snapshot-cron "0 4 * * *"')).toContain('0 4 * * * UTC');
    expect(await said('models show tiny')).toContain('stable → version 2');
    expect(await said('models list')).toContain('stable → 2');
    await said('models alias tiny old 1');
    await said('models unalias tiny old');
    expect((await found('models aliases tiny')).map(({ name }: { name: string }) => name)).toEqual(['stable']);
  }, 60_000);

  it('has a diff made and sees what it saves', async () => {
    expect(await said('models diff tiny 1 2 --wait --timeout 60')).toMatch(
      /^Diff of tiny 1 → 2 \(fast\): .* of the whole/,
    );
    expect(await said('models artifacts tiny')).toMatch(/^2 +1 +fast +Ready/m);
  }, 90_000);

  it('says how the version travels, and when and how fast it may', async () => {
    const { clusters, summary } = await found('models sync tiny 2');
    expect(clusters.map(({ cluster }: { cluster: string }) => cluster).sort()).toEqual(['dc-1', 'edge-a']);
    const table = await said('models sync tiny');
    expect(table).toContain(summary);
    expect(table).toContain('edge-a');
    const policy = await said('clusters sync edge-a --window 22:00-06:00 --time-zone Asia/Shanghai --rate 40Mbit/s');
    expect(policy).toContain('22:00–06:00 Asia/Shanghai');
    expect(policy).toContain('at most 5.00 MB/s (40.0 Mbit/s)');
    expect(await said('clusters sync edge-a --no-window --rate unlimited')).toContain('at any time');
    expect(await found('clusters sync edge-a')).toMatchObject({ windows: [], bytesPerSecondMax: null });
  }, 60_000);

  it('sees whether all agree: the exit code says the same as the answer', async () => {
    const { exitCode, out } = await told('models agreement tiny --json');
    const agreement = JSON.parse(out);
    expect([agreement.model, agreement.newest, exitCode]).toEqual(['tiny', 2, agreement.agrees ? 0 : 1]);
  }, 60_000);

  it('plans, makes and updates a deployment that follows an alias in waves', async () => {
    const waves = '--wave edge-a:soak=30s --wave site=harbour:pause --wave 100% --strict --abort-errors 10%';
    const plan = await said(`deployments create chat --model tiny --alias stable ${waves} --dry-run`);
    expect(plan).toContain('How version 2 of tiny would get there:');
    await said(`deployments create chat --model tiny --alias stable ${waves}`);
    const shown = await said('deployments show chat');
    expect(shown).toMatch(/Follows: +alias stable\n/);
    expect(shown).toMatch(/In waves: +edge-a:soak=30s\n +site=harbour:pause\n +100%\n/);
    await said('deployments update chat --rolling --no-abort');
    const { rolloutPolicy } = await found('deployments show chat');
    expect(rolloutPolicy).toMatchObject({ consistency: 'rolling', abort: null });
    expect(rolloutPolicy.waves).toHaveLength(3);
  }, 60_000);

  it('steers a rollout and goes back', async () => {
    await eventually(async () => expect((await found('deployments show chat')).placements).toHaveLength(1), PATIENCE);
    await said('deployments update chat --version 1');
    const before = await found('deployments rollout chat');
    expect(before[0]).toMatchObject({ fromVersion: 2, toVersion: 1 });
    expect(await said('deployments pause chat')).toContain('version 2 → 1, Paused');
    expect(await said('deployments resume chat')).toContain('version 2 → 1, Progressing');
    await said('deployments abort chat');
    await eventually(async () => {
      const [newest] = await found('deployments rollout chat');
      expect(newest.phase).toBe('Aborted');
    }, PATIENCE);
    expect(await told('deployments pause chat')).toMatchObject({ exitCode: 1 });
    expect(await told('deployments rollout chat --watch')).toMatchObject({ exitCode: 1 });
    expect(await said('deployments rollback chat --to 1 --dry-run')).toContain(
      'How version 1 of tiny would get there:',
    );
    await said('deployments rollback chat --to 1');
    expect(await found('deployments show chat')).toMatchObject({ version: 1, alias: null });
  }, 90_000);
});
