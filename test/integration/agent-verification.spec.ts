// What an agent does with versions that are not what they should be: damaged on disk under a serving replica, not signed
// as its operator demands, or such that no engine can generate from them. The built agent as a process, on real NATS.
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { chmod, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type DesiredReplica, type DesiredVersion, signedText } from '#domain';
import { processStartTicks } from '../../apps/agent/src/state/processes.ts';
import { until as untilIn } from '../../apps/agent/test/temporary-folder.ts';
import { AgentWorld, buildAgent } from './agent-world.ts';

const REPLICA_ID = '01900000-0000-7000-8000-00000000b001';
const TEXT = 'weights of version one';
const MODEL = 'weights/model.gguf';
const DAY_SECONDS = 86_400;
const until: typeof untilIn = (look, what) => untilIn(look, what, 30_000);
const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex');

function replicaOf(versionDigest: string, servedModel: string): DesiredReplica {
  return {
    replicaId: REPLICA_ID,
    deploymentId: '01900000-0000-7000-8000-00000000d001',
    deploymentName: 'tiny',
    servedModel,
    versionDigest,
    claim: { deviceType: 'cpu', count: 1, schedulingPolicy: { topologyScope: 'node' } },
    epoch: 1,
    draining: false,
  };
}

let world: AgentWorld;
beforeAll(() => buildAgent(), 60_000);
afterEach(() => world.stop(), 30_000);

async function wanting(version: (world: AgentWorld) => DesiredVersion, servedModel = 'tiny'): Promise<DesiredVersion> {
  world = new AgentWorld();
  await world.start();
  const wanted = version(world);
  world.want({ versions: [wanted], replicas: [replicaOf(wanted.digest, servedModel)] });
  return wanted;
}
const isServing = (pid: number) => {
  const replica = world.lastReport?.replicas[0];
  return replica?.phase === 'Ready' && replica.processId !== pid;
};
const log = () => `log: ${world.log.slice(-3_000)}`;

describe('invariant 5: drift of what is held', () => {
  async function serving(servedModel = 'tiny', change: Record<string, unknown> = {}): Promise<number> {
    await wanting((of) => of.publishVersion(1, TEXT, { 'tokens.json': '["a"]' }), servedModel);
    world.verification = { mode: 'full', dueInSeconds: DAY_SECONDS };
    await world.startAgent(change);
    const { processId } = await world.waitForReplica(REPLICA_ID, 'Ready');
    world.blobRequests.length = 0;
    return processId!;
  }
  const pathOf = (path: string) => join(world.stateFolder, 'versions', world.desired!.versions[0]!.digest, path);

  /** In place, as a disk does it: the engine has the same bytes open. Returns what is there now. */
  async function flip(path: string): Promise<string> {
    await chmod(pathOf(path), 0o600);
    const handle = await open(pathOf(path), 'r+');
    try {
      const content = await handle.readFile();
      content[0] = content[0]! ^ 1;
      await handle.write(content, 0, 1, 0);
      return sha256(content);
    } finally {
      await handle.close();
    }
  }

  /** The centre's cron fires. */
  function verifyNow(): void {
    world.verification = { mode: 'full', dueInSeconds: 0 };
    world.hint();
  }
  const drift = () => world.events.find(({ kind }) => kind === 'version-drifted');

  it('a flipped byte under a serving replica: it stops at once, only that file is fetched again, it serves again', async () => {
    const pid = await serving('slow');
    const foundDigest = await flip(MODEL);
    const begun = Promise.withResolvers<void>();
    const inHand = world.ask(REPLICA_ID, { stream: true, max_tokens: 600 }, begun.resolve).then(
      ({ text }) => text,
      () => 'cut off',
    );
    await begun.promise;
    verifyNow();
    const told = await until(drift, log);
    const versionDigest = world.desired!.versions[0]!.digest;
    expect(told).toMatchObject({ versionDigest, path: MODEL, foundDigest });
    // An answer of a minute is not waited for: it was made from what is not to be trusted.
    expect(await inHand).not.toContain('[DONE]');
    await until(() => isServing(pid), log);
    await until(() => world.log.includes('its version was found damaged on disk and is being repaired'), log);
    expect(world.blobRequests).toEqual([sha256(TEXT)]);
    const answer = await world.ask(REPLICA_ID, {});
    expect(JSON.parse(answer.text).content).toBe(TEXT);
    expect(world.lastReport!.versions).toMatchObject([{ digest: versionDigest, phase: 'Held', reason: '' }]);
    expect(await processStartTicks(pid)).toBeNull();
  }, 60_000);

  it('a deleted file: the version is put together again, from what is here', async () => {
    const pid = await serving();
    await rm(pathOf('tokens.json'));
    verifyNow();
    expect(await until(drift, log)).toMatchObject({ path: 'tokens.json', foundDigest: null });
    await until(() => isServing(pid), log);
    expect(world.blobRequests).toEqual([]);
    expect((await world.ask(REPLICA_ID, {})).status).toBe(200);
  }, 60_000);

  it('a byte flipped while the agent is away: the adopted engine is stopped as soon as it is found', async () => {
    const pid = await serving();
    await world.killAgent('SIGKILL');
    const foundDigest = await flip(MODEL);
    world.reports.length = 0;
    await world.startAgent();
    expect(await until(drift, log)).toMatchObject({ path: MODEL, foundDigest });
    await until(() => isServing(pid), log);
    expect(JSON.parse((await world.ask(REPLICA_ID, {})).text).content).toBe(TEXT);
  }, 60_000);

  it('R5: what is whole stays as it is; only when it was verified changes', async () => {
    const pid = await serving();
    const verifiedAt = () => world.lastReport?.versions[0]?.verifiedAt;
    const before = await until(verifiedAt, log);
    verifyNow();
    await until(() => verifiedAt() !== before, log);
    expect(Date.parse(verifiedAt()!)).toBeGreaterThan(Date.parse(before));
    expect([drift(), world.lastReport!.replicas[0]!.processId, world.blobRequests]).toEqual([undefined, pid, []]);
  }, 60_000);

  it('stopped in the middle of a verification, the agent ends in order', async () => {
    await wanting((of) => of.publishVersion(1, Buffer.alloc(4_000_000, TEXT)));
    world.verification = { mode: 'full', dueInSeconds: DAY_SECONDS };
    // A minute for the file: it cannot end by itself before the agent does.
    await world.startAgent({ sync: { headroomBytes: 0, verifyBytesPerSecondMax: 65_536 } });
    await world.waitForReplica(REPLICA_ID, 'Ready');
    verifyNow();
    await until(() => world.log.includes('verification of held versions begins'), log);
    expect(await world.killAgent('SIGTERM')).toBe(0);
    expect(world.log).not.toContain('held versions verified');
    expect(drift()).toBeUndefined();
  }, 60_000);
});

describe('S7: a cluster that demands signatures', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32).toString('hex');
  const demanding = { sync: { headroomBytes: 0, requireSignatureBy: [raw] } };
  function signed(version: DesiredVersion): DesiredVersion {
    const signature = sign(null, Buffer.from(signedText(version.digest)), privateKey).toString('hex');
    return { ...version, signature: { publicKey: raw, signature } };
  }
  const reported = () => world.lastReport?.versions[0];

  it('fetches no byte of what is not signed, says why, and serves what is', async () => {
    const wanted = await wanting((of) => of.publishVersion(1, TEXT));
    await world.startAgent(demanding);
    await until(() => reported()?.phase === 'Failed', log);
    expect([reported()!.reason, world.blobRequests]).toEqual([expect.stringMatching(/is not signed/), []]);
    expect(world.lastReport!.replicas[0]!.reason).toMatch(/is not signed/);
    world.want({ versions: [signed(wanted)] });
    await world.waitForReplica(REPLICA_ID, 'Ready');
    expect(reported()).toMatchObject({ phase: 'Held', reason: '' });
  }, 60_000);

  it('does not go on with an engine that an earlier, less demanding agent left, nor starts it from disk', async () => {
    await wanting((of) => of.publishVersion(1, TEXT));
    await world.startAgent();
    const { processId } = await world.waitForReplica(REPLICA_ID, 'Ready');
    await world.killAgent('SIGKILL');
    world.reports.length = 0;
    await world.startAgent(demanding);
    await until(() => reported()?.phase === 'Failed', log);
    await until(() => world.log.includes('engine not adopted'), log);
    await until(async () => (await processStartTicks(processId!)) === null, 'its engine is gone');
    expect(world.lastReport!.replicas[0]!.phase).not.toBe('Ready');
  }, 60_000);
});

it('an engine that cannot generate takes no traffic, and its own words are reported', async () => {
  await wanting((of) => of.publishVersion(1, TEXT), 'cannot-generate');
  await world.startAgent();
  const { reason } = await world.waitForReplica(REPLICA_ID, 'Failed');
  expect(reason).toBe('The engine answered 500 to the probe: the device ran out of memory');
  const answer = await world.ask(REPLICA_ID, {});
  expect([answer.status, answer.headers['x-atoll-retryable']]).toEqual([503, 'true']);
}, 60_000);
