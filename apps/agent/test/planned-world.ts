// What stands around `VersionSync` in its specs of sync plans: small models with real diffs and snapshots of them, an
// HTTP server that is the registry and the neighbours, and a control plane whose plans are scripted.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import type { SyncPlanReply, SyncStepMessage } from '#contracts';
import { type DesiredVersion, manifestText, type VersionFile } from '#domain';
import { encodeDiff, encodeSnapshot, MemorySink, memorySource } from '#modelsync';
import { silentMetrics } from '../src/metrics.ts';
import { Measures } from '../src/sync/measures.ts';
import { VersionFolder } from '../src/sync/version-folder.ts';
import { VersionSync } from '../src/sync/version-sync.ts';
import { until } from './temporary-folder.ts';

const BLOCK_BYTES = 4_096;
const TOKENS: Readonly<Record<string, string>> = {
  registry: 'plan-token',
  whole: 'blob-token',
  'edge-2': 'edge-2-token',
};

export type StepFile = SyncStepMessage['files'][number];
export type Answer = (request: IncomingMessage, response: ServerResponse, content: Buffer) => void;

export const sha256 = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex');
export const artifactId = (number: number) => `01900000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;

/** A safetensors file of one bf16 tensor; each step changes some of the weights of the one before. */
export function modelFile(step: number, elements = 20_000, seed = 1): Buffer {
  const data = Buffer.alloc(elements * 2);
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 8;
  };
  for (let index = 0; index < elements; index += 1) data.writeUInt16LE(0x3c00 + (random() % 512), index * 2);
  for (let change = 0; change < step * 2_000; change += 1) {
    const at = (random() % elements) * 2;
    data.writeUInt16LE(data.readUInt16LE(at) ^ 1, at);
  }
  const header = JSON.stringify({ w: { dtype: 'BF16', shape: [elements], data_offsets: [0, data.length] } }).padEnd(96);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, Buffer.from(header), data]);
}

export class PlannedWorld {
  readonly blobs = new Map<string, Buffer>();
  /** `<source> <name of the blob>[ from <byte>]`, in the order of the requests. */
  readonly requests: string[] = [];
  /** For the next requests of a blob, by `<source> <digest>` or `<digest>`; then the normal one. */
  readonly answers = new Map<string, Answer[]>();
  /** What the agent said at each question: names of the held versions. */
  readonly asked: string[][] = [];
  readonly avoided: string[] = [];
  readonly drifts: string[] = [];
  readonly held: string[] = [];
  /** The next answers of the control plane; without one, none. */
  plans: (SyncPlanReply | null)[] = [];
  freeBytes = 100_000_000;
  progressTold = 0;
  readonly #names = new Map<string, string>();
  readonly #syncs: VersionSync[] = [];
  readonly #path: string;
  #server: Server | undefined;
  #isAway = false;

  /** `path`: a temporary folder, the agent's state folder. */
  constructor(path: string) {
    this.#path = path;
  }

  async start(): Promise<void> {
    this.#server = createServer((request, response) => this.#answer(request, response));
    this.#server.on('connection', (socket) => this.#isAway && socket.destroy());
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async stop(): Promise<void> {
    for (const sync of this.#syncs) await sync.stop();
    this.#server!.closeAllConnections();
    this.#server!.close();
  }

  /** Whether the registry and the neighbours can be reached. */
  set isAway(isAway: boolean) {
    this.#isAway = isAway;
    this.#server!.closeAllConnections();
  }

  get #port(): number {
    return (this.#server!.address() as AddressInfo).port;
  }

  nameOf(digest: string): string {
    return this.#names.get(digest) ?? digest.slice(0, 6);
  }

  put(name: string, content: Uint8Array): string {
    const digest = sha256(content);
    this.blobs.set(digest, Buffer.from(content));
    this.#names.set(digest, name);
    return digest;
  }

  version(number: number, contents: Record<string, Uint8Array>): DesiredVersion {
    const files: VersionFile[] = Object.entries(contents).map(([path, content]) => {
      const digest = this.put(`${path}@${number}`, content);
      return { path, digest, sizeBytes: content.length };
    });
    const digest = sha256(manifestText(files));
    this.#names.set(digest, `v${number}`);
    return { versionId: `v${number}`, modelName: 'tiny', number, digest, files };
  }

  async diff(base: Buffer, next: Buffer, name = 'diff'): Promise<StepFile> {
    const sink = new MemorySink();
    await encodeDiff(memorySource(base), memorySource(next), sink, { blockBytes: BLOCK_BYTES });
    return this.#encoded(name, 'diff', sha256(base), next, sink.content());
  }

  async snapshot(next: Buffer, name = 'snapshot'): Promise<StepFile> {
    const sink = new MemorySink();
    await encodeSnapshot(memorySource(next), sink, { blockBytes: BLOCK_BYTES });
    return this.#encoded(name, 'snapshot', null, next, sink.content());
  }

  whole(next: Buffer): StepFile {
    const digest = sha256(next);
    const of = { digest, sizeBytes: next.length, blobDigest: digest, blobBytes: next.length };
    return { ...of, encoding: 'whole', baseDigest: null };
  }

  step(files: StepFile[], change: { artifact?: number; source?: string; from?: string } = {}): SyncStepMessage {
    const source = change.source ?? 'registry';
    return {
      artifactId: change.artifact === undefined ? null : artifactId(change.artifact),
      from: change.from ?? null,
      to: 'f'.repeat(64),
      profile: change.artifact === undefined ? 'whole' : 'fast',
      source: {
        kind: source === 'registry' ? 'registry' : 'neighbour',
        name: source,
        url: `http://127.0.0.1:${this.#port}/${source}`,
        token: TOKENS[source] ?? '',
      },
      files,
    };
  }

  go(steps: SyncStepMessage[], change: Partial<Extract<SyncPlanReply, { decision: 'go' }>> = {}): SyncPlanReply {
    const wireBytes = steps.flatMap(({ files }) => files).reduce((sum, { blobBytes }) => sum + blobBytes, 0);
    const limits = { bytesPerSecondMax: null, windowClosesInSeconds: null };
    return {
      decision: 'go',
      path: 'direct-diff',
      reason: 'the cheapest',
      wireBytes,
      seconds: 1,
      steps,
      ...limits,
      ...change,
    };
  }

  /** Each call is another start of the agent. */
  async open(change: { stallTimeoutMs?: number } = {}): Promise<{ sync: VersionSync; folder: VersionFolder }> {
    const folder = new VersionFolder(this.#path);
    await folder.open();
    const freeBytes = () => Promise.resolve(this.freeBytes);
    const measures = new Measures({ folder: folder.blobsFolder, freeBytes });
    const sync = new VersionSync({
      folder,
      measures,
      planner: {
        ask: (_digest, held) => {
          this.asked.push(held.map((digest) => this.nameOf(digest)));
          return Promise.resolve(this.plans.shift() ?? null);
        },
        avoidArtifact: (id) => this.avoided.push(`artifact ${Number.parseInt(id.slice(-12), 16)}`),
        avoidNeighbour: (name) => this.avoided.push(name),
      },
      applyThreads: 1,
      source: () => Promise.resolve({ url: `http://127.0.0.1:${this.#port}/whole`, token: TOKENS.whole! }),
      stallTimeoutMs: change.stallTimeoutMs ?? 10_000,
      headroomBytes: 1_000,
      onHeld: ({ digest }, isNew) => this.held.push(`${this.nameOf(digest)} ${isNew ? 'new' : 'verified'}`),
      onDrift: async (digest, { path }) => void this.drifts.push(`${this.nameOf(digest)} ${path}`),
      onChange: () => undefined,
      onProgress: () => {
        this.progressTold += 1;
      },
      log: pino({ level: 'silent' }),
      metrics: silentMetrics,
      freeBytes,
    });
    this.#syncs.push(sync);
    await sync.open();
    return { sync, folder };
  }

  /** Starts a try and gives what the report says once it has ended. */
  async settle(sync: VersionSync, version: DesiredVersion) {
    sync.fetch(version);
    await until(() => !sync.fetchingDigests.has(version.digest), 'the fetch ended', 30_000);
    return sync.report([version])[0]!;
  }

  #encoded(
    name: string,
    encoding: 'diff' | 'snapshot',
    baseDigest: string | null,
    next: Buffer,
    bytes: Uint8Array,
  ): StepFile {
    const blobDigest = this.put(name, bytes);
    return { digest: sha256(next), sizeBytes: next.length, encoding, baseDigest, blobDigest, blobBytes: bytes.length };
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const [, source = '', digest = ''] = (request.url ?? '').split('/');
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    this.requests.push(`${source} ${this.nameOf(digest)}${from > 0 ? ` from ${from}` : ''}`);
    const content = this.blobs.get(digest);
    if (content === undefined) return void response.writeHead(404).end();
    if (request.headers.authorization !== `Bearer ${TOKENS[source]}`) return void response.writeHead(401).end();
    const special = this.answers.get(`${source} ${digest}`)?.shift() ?? this.answers.get(digest)?.shift();
    if (special !== undefined) return void special(request, response, content);
    sendRange(response, content, from);
  }
}

export function sendRange(response: ServerResponse, content: Buffer, from: number): void {
  if (from >= content.length && from > 0) return void response.writeHead(416).end();
  const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` };
  response.writeHead(from > 0 ? 206 : 200, from > 0 ? range : {}).end(content.subarray(from));
}

/** Sends half of the bytes and cuts the connection. */
export const cutInTheMiddle: Answer = (_request, response, content) => {
  response.writeHead(200, { 'content-length': content.length });
  response.write(content.subarray(0, content.length / 2), () => response.destroy());
};
