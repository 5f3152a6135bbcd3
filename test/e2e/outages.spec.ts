/** What goes on while a part of the centre, or an edge's line to it, is away; and how everything comes together again. */
import { rm } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '#testing';
import { MODEL } from '../../deploy/quickstart/story.ts';
import { Chats } from './chats.fixture.ts';
import { CuttableProxy } from './cuttable-proxy.fixture.ts';
import { EDGES, TestFleet } from './test-fleet.fixture.ts';

const [SHANGHAI, FRANKFURT] = EDGES;
const ANSWERS_DURING_OUTAGE = 40;
/** Three missed heartbeats, plus one that had just been sent and the look that finds out. */
const NOTICED_WITHIN_MS = 3_000 + 1_000;

describe('outages', () => {
  let fleet: TestFleet;
  let lines: AgentLines;
  beforeAll(async () => {
    lines = await AgentLines.open();
    fleet = await TestFleet.start({ adjust: lines.adjust });
  }, 90_000);
  afterEach(async () => {
    lines?.heal();
    // What a failed test left away is brought back for the next one.
    for (const name of ['postgres', 'nats-server', 'control-plane']) {
      if (fleet?.processes.processOf(name)?.isRunning() === false) await fleet.processes.restart(name);
    }
  }, 60_000);
  afterAll(async () => {
    await fleet?.stop();
    await lines?.close();
  }, 60_000);

  it('R2: NATS is killed and forgets everything: chats go on, then changes reach the edges again', async () => {
    const engines = await enginePids(fleet);
    const chats = await Chats.during(fleet, async (running) => {
      await fleet.kill('nats-server');
      await many(running);
      await rm(fleet.instance.path('nats', 'jetstream'), { recursive: true, force: true });
      await fleet.processes.restart('nats-server');
      await many(running);
    });
    expect(chats.failures).toEqual([]);
    expect(await enginePids(fleet)).toEqual(engines);
    await scaleDownAndUp(fleet);
  }, 120_000);

  it('the control plane is killed: chats go on; back again, it applies what is asked of it', async () => {
    const engines = await enginePids(fleet);
    const chats = await Chats.during(fleet, async (running) => {
      await fleet.kill('control-plane');
      await many(running);
      await fleet.processes.restart('control-plane');
      await many(running);
    });
    expect(chats.failures).toEqual([]);
    expect(await enginePids(fleet)).toEqual(engines);
    await scaleDownAndUp(fleet);
  }, 120_000);

  it('R12: Postgres stops under load: no chat with a known key fails, an unknown key gets 503 and never 401', async () => {
    await expect(fleet.chat('hello', { key: unlike(fleet.key) })).rejects.toMatchObject({ status: 401 });
    const chats = await Chats.during(fleet, async (running) => {
      await fleet.processes.processOf('postgres')!.stop('SIGINT');
      await many(running);
      // What was confirmed a moment before the end still counts for a second.
      await eventually(
        () => expect(fleet.chat('hello', { key: unlike(fleet.key) })).rejects.toMatchObject({ status: 503 }),
        { intervalMs: 100 },
      );
      for (let attempt = 0; attempt < 5; attempt += 1) {
        await expect(fleet.chat('hello', { key: unlike(fleet.key) })).rejects.toMatchObject({ status: 503 });
      }
      await many(running);
      await fleet.processes.restart('postgres');
      await eventually(
        () => expect(fleet.chat('hello', { key: unlike(fleet.key) })).rejects.toMatchObject({ status: 401 }),
        { timeoutMs: 20_000, intervalMs: 200 },
      );
    });
    expect(chats.failures).toEqual([]);
    await scaleDownAndUp(fleet);
  }, 120_000);

  it.each(['silent', 'reset'] as const)(
    'R5, R6, R7: an edge whose line is cut (%s) keeps its engine; requests go elsewhere; healed, it serves within 30 s',
    async (how) => {
      await fleet.settled(2);
      const engines = await enginePids(fleet);
      const before = await fleet.deployment();
      let cutAtMs = 0;
      const chats = await Chats.during(fleet, async (running) => {
        await fleet.answers(SHANGHAI);
        await lines.cut(fleet.pidOf(SHANGHAI), how);
        cutAtMs = performance.now();
        await eventually(async () => expect((await fleet.cluster(SHANGHAI)).phase).toBe('Suspect'), {
          timeoutMs: 15_000,
        });
        await many(running, cutAtMs + NOTICED_WITHIN_MS);
        expect(await enginePids(fleet)).toEqual(engines);
      });
      expect(chats.failures).toEqual([]);
      const afterNotice = chats.since(cutAtMs + NOTICED_WITHIN_MS).answers;
      expect(new Set(afterNotice.map((answer) => answer.cluster))).toEqual(new Set([FRANKFURT]));
      // Nothing is moved or removed for lost contact.
      expect((await fleet.deployment()).placements.map(({ id }) => id).sort()).toEqual(
        before.placements.map(({ id }) => id).sort(),
      );
      lines.heal();
      const healedAtMs = performance.now();
      await fleet.serves(SHANGHAI, 30_000);
      await fleet.answers(SHANGHAI, 30_000 - (performance.now() - healedAtMs));
      expect(await enginePids(fleet)).toEqual(engines);
    },
    90_000,
  );
});

/** The lines of all agents to NATS, the control plane and the gateway, through proxies of ours. */
class AgentLines {
  private constructor(
    private readonly nats: CuttableProxy,
    private readonly controlPlane: CuttableProxy,
    private readonly gateway: CuttableProxy,
  ) {}

  static async open(): Promise<AgentLines> {
    return new AgentLines(await CuttableProxy.open(), await CuttableProxy.open(), await CuttableProxy.open());
  }

  readonly adjust = (name: string, configuration: Record<string, unknown>): Record<string, unknown> => {
    if (name === 'control-plane') {
      const { http, nats } = configuration as { http: { port: number }; nats: { servers: string[] } };
      this.controlPlane.targetPort = http.port;
      this.nats.targetPort = Number(new URL(nats.servers[0]!).port);
      const publicUrl = `http://127.0.0.1:${this.controlPlane.port}`;
      const agentServers = [`nats://127.0.0.1:${this.nats.port}`];
      return { ...configuration, http: { ...http, publicUrl }, nats: { ...nats, agentServers } };
    }
    if (name === 'gateway') {
      this.gateway.targetPort = (configuration.http as { port: number }).port;
      return { ...configuration, linkEndpoint: `127.0.0.1:${this.gateway.port}` };
    }
    return { ...configuration, controlPlaneUrl: `http://127.0.0.1:${this.controlPlane.port}` };
  };

  async cut(pid: number, how: 'silent' | 'reset'): Promise<void> {
    await Promise.all(this.all.map((proxy) => proxy.cut(pid, how)));
  }

  heal(): void {
    for (const proxy of this.all) proxy.heal();
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((proxy) => proxy.close()));
  }

  private get all(): CuttableProxy[] {
    return [this.nats, this.controlPlane, this.gateway];
  }
}

/** A well-formed key that nobody was given. */
function unlike(key: string): string {
  const publicId = key.split('_')[1]!;
  return key.replace(publicId, `${publicId.startsWith('0') ? '1' : '0'}${publicId.slice(1)}`);
}

async function many(chats: Chats, sinceMs = performance.now()): Promise<void> {
  await eventually(() => expect(chats.since(sinceMs).answers.length).toBeGreaterThan(ANSWERS_DURING_OUTAGE), {
    timeoutMs: 30_000,
  });
}

async function enginePids(fleet: TestFleet): Promise<Record<string, number>> {
  return { [SHANGHAI]: await fleet.enginePid(SHANGHAI), [FRANKFURT]: await fleet.enginePid(FRANKFURT) };
}

/** An intent of each direction arrives at the edges. */
async function scaleDownAndUp(fleet: TestFleet): Promise<void> {
  await fleet.admin.updateDeployment(MODEL, { replicas: 1 });
  await fleet.settled(1, 30_000);
  await fleet.admin.updateDeployment(MODEL, { replicas: 2 });
  await fleet.settled(2, 30_000);
}
