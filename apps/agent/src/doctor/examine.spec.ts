import { spawn } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, utimes, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { BUNDLE_SIGNATURE_CONTEXT } from '#domain';
import { encodeDocument } from '#files';
import { createIdentity } from '#messaging';
import { type TemporaryFolder, temporaryFolder } from '../../test/temporary-folder.ts';
import { examine } from './examine.ts';
import { exitCodeOf, type Finding, renderFindings, summarise } from './finding.ts';
import { judgeClock } from './network-checks.ts';
import type { Patient } from './patient.ts';

const NOW_MS = Date.parse('2030-01-01T12:00:00Z');
const MINUTE_MS = 60_000;
const CLUSTER = '01970000-0000-7000-8000-000000000001';
const OTHER = '01970000-0000-7000-8000-000000000002';
const REPLICA = '01970000-0000-7000-8000-000000000003';
const DIGEST = 'a'.repeat(64);

let folder: TemporaryFolder;
const closing: (() => void)[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
  await chmod(folder.path, 0o700);
  await mkdir(join(folder.path, 'state'), { mode: 0o700 });
});
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await folder.remove();
});

const patient = (more: Partial<Patient> = {}): Patient => ({
  stateFolder: folder.path,
  controlPlaneUrl: null,
  operational: null,
  localEndpoint: null,
  nowMs: NOW_MS,
  ...more,
});

function tokenOf(issuedSecondsAgo: number, lifeSeconds: number): string {
  const iat = NOW_MS / 1_000 - issuedSecondsAgo;
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'ed25519-nkey' })}.${part({ iat, exp: iat + lifeSeconds })}.signature`;
}

async function write(name: string, value: unknown): Promise<string> {
  const path = join(folder.path, 'state', name);
  await writeFile(path, encodeDocument(value));
  await utimes(path, NOW_MS / 1_000, NOW_MS / 1_000);
  return path;
}

async function joinFleet({ jwt = tokenOf(3_600, 86_400), servers = ['nats://127.0.0.1:1'] } = {}): Promise<void> {
  await writeFile(join(folder.path, 'identity.nk'), `${createIdentity().seed}\n`);
  await write('credentials.json', {
    clusterId: CLUSTER,
    clusterName: 'edge-1',
    jwt,
    natsServers: servers,
    account: 'A',
    expiresInSeconds: 86_400,
    obtainedAtMs: NOW_MS,
  });
}

const desired = (clusterId = CLUSTER) => ({
  clusterId,
  epoch: 2,
  revision: 7,
  versions: [],
  replicas: [
    {
      replicaId: REPLICA,
      deploymentId: OTHER,
      deploymentName: 'chat',
      servedModel: 'chat',
      versionDigest: DIGEST,
      claim: { deviceType: 'cpu', count: 1 },
      epoch: 2,
      draining: false,
    },
  ],
});

const of = (findings: readonly Finding[], check: string) => findings.filter((finding) => finding.check === check);
const verdictOf = (findings: readonly Finding[], check: string) => of(findings, check).map(({ verdict }) => verdict);

describe('a folder that an agent was never started on', () => {
  it('says so, and what to do', async () => {
    const findings = await examine(patient());
    expect(of(findings, 'identity')).toEqual([
      {
        check: 'identity',
        verdict: 'failed',
        says: 'There is no key: this agent never started.',
        advice: 'Start the agent.',
      },
    ]);
    expect(exitCodeOf(findings)).toBe(1);
  });

  it('is not looked into further when it is not there', async () => {
    const findings = await examine(patient({ stateFolder: join(folder.path, 'gone') }));
    expect(findings.map(({ check, verdict }) => [check, verdict])).toEqual([['folder', 'failed']]);
  });

  it('is a warning when others may read it', async () => {
    await chmod(folder.path, 0o755);
    expect(verdictOf(await examine(patient()), 'folder')).toEqual(['warning']);
  });
});

describe('R4: what is on disk', () => {
  beforeEach(() => joinFleet());

  it('is well when it is whole', async () => {
    await write('desired.json', desired());
    const findings = await examine(patient());
    expect(of(findings, 'documents')[0]).toMatchObject({
      verdict: 'ok',
      says: '2 files are whole; revision 7 of epoch 2 wants 1 replicas, 0 tasks, 0 versions.',
    });
    expect(verdictOf(findings, 'identity')).toEqual(['ok']);
  });

  it.each([
    ['cut, with a generation before it', true, 'warning'],
    ['cut, and nothing before it', false, 'failed'],
  ])('%s', async (_name, hasPrevious, verdict) => {
    const path = await write('desired.json', desired());
    if (hasPrevious) await write('desired.previous.json', desired());
    await writeFile(path, encodeDocument(desired()).slice(0, -3));
    const [finding] = of(await examine(patient()), 'documents');
    expect([finding!.verdict, finding!.says.startsWith('Damaged: desired.json.')]).toEqual([verdict, true]);
  });

  it('of another cluster is refused', async () => {
    await write('desired.json', desired(OTHER));
    expect(of(await examine(patient()), 'documents')[0]).toMatchObject({
      verdict: 'failed',
      says: `The desired document is of cluster ${OTHER}, not of this one.`,
    });
  });

  it('R22: from the future by more than clocks may differ is a warning, by less is not', async () => {
    const path = await write('desired.json', desired());
    for (const [minutes, verdict] of [
      [20, 'warning'],
      [10, 'ok'],
    ] as const) {
      const atSeconds = (NOW_MS + minutes * MINUTE_MS) / 1_000;
      await utimes(path, atSeconds, atSeconds);
      expect([minutes, ...verdictOf(await examine(patient()), 'documents')]).toEqual([minutes, verdict]);
    }
  });

  it('a damaged key is told without showing it', async () => {
    await writeFile(join(folder.path, 'identity.nk'), 'SUAsecretsecret');
    const findings = await examine(patient());
    expect(verdictOf(findings, 'identity')).toEqual(['failed']);
    expect(renderFindings(findings)).not.toContain('secretsecret');
  });

  it('engines that should run and do not are named with the last line of their log', async () => {
    await write('desired.json', desired());
    await mkdir(join(folder.path, 'logs'));
    await writeFile(join(folder.path, 'logs', `${REPLICA}.log`), 'loading\nout of memory\n');
    const engines = of(await examine(patient()), 'engines');
    expect(engines.map(({ verdict }) => verdict)).toEqual(['warning', 'warning']);
    expect(engines[1]!.says).toBe(`Replica ${REPLICA} does not run; its last words: out of memory`);
  });
});

describe('engines that run', () => {
  const INSTANCE = '01970000-0000-7000-8000-000000000009';
  async function note(processId: number): Promise<string> {
    await joinFleet();
    await write('desired.json', desired());
    const instance = join(folder.path, 'engines', INSTANCE);
    await mkdir(instance, { recursive: true });
    const spec = { instanceId: INSTANCE, replicaId: REPLICA, generation: 1, modelPath: '/m', servedModel: 'chat' };
    const sizes = { versionDigest: DIGEST, maxConcurrent: 1, maxQueue: 1 };
    await writeFile(join(instance, 'spec.json'), JSON.stringify({ ...spec, ...sizes }));
    await writeFile(join(instance, 'process.json'), JSON.stringify({ pid: processId }));
    return instance;
  }
  const says = async () => of(await examine(patient()), 'engines')[0]!.says;

  it('are those whose process knows itself as it', async () => {
    const environment = { ATOLL_INSTANCE_DIR: join('/elsewhere', INSTANCE) };
    const child = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)'], { env: environment });
    closing.push(() => child.kill('SIGKILL'));
    await once(child, 'spawn');
    await note(child.pid!);
    expect(await says()).toBe("1 run, 1 are wanted of this machine's own engine.");
  });

  it('are not those whose process id has become another’s, as after a restart of the machine', async () => {
    await note(process.pid);
    expect(await says()).toBe("0 run, 1 are wanted of this machine's own engine.");
  });
});

describe('credentials by the clock of this machine', () => {
  it.each([
    ['good', tokenOf(3_600, 86_400), 'ok'],
    ['ended', tokenOf(90_000, 86_400), 'warning'],
    ['issued half an hour from now', tokenOf(-1_800, 86_400), 'failed'],
    ['issued five minutes from now', tokenOf(-300, 86_400), 'ok'],
    ['no token', 'garbage', 'failed'],
  ])('%s', async (_name, jwt, verdict) => {
    await joinFleet({ jwt });
    expect(verdictOf(await examine(patient()), 'credentials')).toEqual([verdict]);
  });
});

describe('R4: the offline permission', () => {
  const signing = generateKeyPairSync('ed25519');
  const day = 86_400;
  interface Change {
    readonly issuedSecondsAgo?: number;
    readonly clusterId?: string;
    readonly forged?: boolean;
    readonly budgets?: unknown;
  }
  async function permit(change: Change): Promise<void> {
    const { issuedSecondsAgo = day, clusterId = CLUSTER, forged = false, budgets = [] } = change;
    await joinFleet();
    const bundle = {
      clusterId,
      issuedAt: new Date(NOW_MS - issuedSecondsAgo * 1_000).toISOString(),
      validForSeconds: 7 * day,
      sequence: 1,
      keyPepper: 'p'.repeat(43),
      keys: [],
      deployments: [],
      budgets,
    };
    const text = JSON.stringify(bundle);
    const signature = sign(null, Buffer.from(BUNDLE_SIGNATURE_CONTEXT + text), signing.privateKey).toString(
      'base64url',
    );
    await write('verifying-key.json', { verifyingKey: signing.publicKey.export({ type: 'spki', format: 'pem' }) });
    await write('offline-bundle.json', {
      text: forged ? text.replace('"sequence":1', '"sequence":2') : text,
      signature,
    });
  }

  it.each([
    ['of yesterday', {}, 'ok', 'Good for 6 d more: 0 keys, 0 deployments.'],
    ['of nine days ago', { issuedSecondsAgo: 9 * day }, 'failed', 'It ended 48 h ago.'],
    ['from the future', { issuedSecondsAgo: -day }, 'failed', 'It was issued in the future: this clock is behind.'],
    ['forged', { forged: true }, 'failed', "It is not proven by the centre's key."],
    ['R21: of a newer release', { budgets: {} }, 'failed', 'This release cannot read it; was the agent a newer one?'],
    ['of another cluster', { clusterId: OTHER }, 'failed', `It is of cluster ${OTHER}, not of this one.`],
  ])('%s', async (_name, change, verdict, says) => {
    await permit(change);
    expect(of(await examine(patient()), 'offline permission')[0]).toMatchObject({ verdict, says });
  });
});

describe('R22: the clock', () => {
  it.each([
    [0, 'ok'],
    [-29_000, 'ok'],
    [10 * MINUTE_MS, 'warning'],
    [-10 * MINUTE_MS, 'warning'],
    [12 * MINUTE_MS, 'failed'],
  ])('off by %d ms', (offMs, verdict) => expect(judgeClock(NOW_MS - offMs, NOW_MS).verdict).toBe(verdict));

  it('cannot be judged when nobody tells the time', () =>
    expect(judgeClock(Number.NaN, NOW_MS).verdict).toBe('unknown'));
});

describe('what can be reached', () => {
  async function listen(greeting: string): Promise<number> {
    const server = createServer((socket) => socket.on('error', () => undefined).end(greeting)).listen(0, '127.0.0.1');
    closing.push(() => server.close());
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  it.each([
    ['a nats-server', 'INFO {"server_id":"N","version":"2.14.0"}\r\n', 'ok'],
    ['something else', 'SSH-2.0-OpenSSH\r\n', 'failed'],
  ])('%s', async (_name, greeting, verdict) => {
    await joinFleet({ servers: [`nats://127.0.0.1:${await listen(greeting)}`] });
    expect(verdictOf(await examine(patient()), 'NATS')).toEqual([verdict]);
  });

  it('a nats-server whose greeting comes in pieces', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      const greeting = 'INFO {"server_id":"N","connect_urls":["a:1"],"version":"2.14.0"}\r\n';
      const send = (rest: string): void => {
        if (rest !== '') socket.write(rest.slice(0, 1), () => send(rest.slice(1)));
      };
      socket.setNoDelay(true);
      send(greeting);
    }).listen(0, '127.0.0.1');
    closing.push(() => server.close());
    await once(server, 'listening');
    await joinFleet({ servers: [`nats://127.0.0.1:${(server.address() as AddressInfo).port}`] });
    expect(of(await examine(patient()), 'NATS')[0]).toMatchObject({
      verdict: 'ok',
      says: expect.stringMatching(/2\.14\.0/),
    });
  });

  it('an address of NATS that is none is said, and nothing else is left out for it', async () => {
    await joinFleet({ servers: ['nats://[::1'] });
    const findings = await examine(patient());
    expect([...verdictOf(findings, 'NATS'), ...verdictOf(findings, 'disk')]).toEqual(['failed', 'ok']);
  });

  it('a NATS server that is away is a warning: serving goes on', async () => {
    await joinFleet();
    expect(verdictOf(await examine(patient()), 'NATS')).toEqual(['warning']);
  });

  async function serve(status: number): Promise<number> {
    const server = createHttpServer((_request, response) => {
      response.writeHead(status, { date: new Date(NOW_MS).toUTCString() }).end('{}');
    }).listen(0, '127.0.0.1');
    closing.push(() => server.close());
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  it('the control plane tells the time', async () => {
    const url = `http://127.0.0.1:${await serve(200)}`;
    const findings = await examine(patient({ controlPlaneUrl: url }));
    expect([...verdictOf(findings, 'control plane'), ...verdictOf(findings, 'clock')]).toEqual(['ok', 'ok']);
  });

  it.each([
    [401, 'ok'],
    [200, 'failed'],
  ])('a local endpoint that answers a stranger with %d', async (status, verdict) => {
    const localEndpoint = { host: '0.0.0.0', port: await serve(status) };
    expect(verdictOf(await examine(patient({ localEndpoint })), 'local endpoint')).toEqual([verdict]);
  });
});

describe('how it reads', () => {
  const findings: Finding[] = [
    { check: 'disk', verdict: 'ok', says: 'Room.' },
    { check: 'documents', verdict: 'failed', says: 'Damaged.', advice: 'Look.' },
  ];
  it('a line a finding, its advice below', () => {
    expect(renderFindings(findings)).toBe(
      'ok    disk       Room.\nFAIL  documents  Damaged.\n                 → Look.',
    );
    expect(summarise(findings)).toBe('Of 2 checks 1 failed and 0 warn.');
  });
});
