// Replicas in specs of the data plane: real HTTP servers that answer as engines do, behind what the agent knows of them.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createUpstreamPool, FORWARDED_HEAD_BYTES_MAX } from '#inference';
import type { EngineEndpoint, Replica } from '../src/engines/replica.ts';
import { DEPLOYMENT_ID, DIGEST } from './offline.builders.ts';

export type EngineBehaviour = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

export const USAGE = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 };

/** A stream of two pieces, with its usage when it is asked for; else one JSON answer. */
export const answers: EngineBehaviour = (_request, response, body) => {
  const { stream, stream_options: options } = JSON.parse(body.toString('utf8'));
  if (stream !== true) {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ choices: [{ index: 0, message: { content: 'hello' } }], usage: USAGE }));
    return;
  }
  response.setHeader('content-type', 'text/event-stream');
  for (const content of ['hel', 'lo'])
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
  if (options?.include_usage) response.write(`data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\n`);
  response.end('data: [DONE]\n\n');
};

export const refuses =
  (status: number): EngineBehaviour =>
  (_request, response) =>
    void response.writeHead(status).end('{"error":{"message":"full"}}');

export class FakeReplica {
  readonly bodies: Buffer[] = [];
  readonly heads: IncomingMessage[] = [];
  readonly replica: Replica;
  behave: EngineBehaviour;
  readonly #server: Server;

  private constructor(server: Server, id: string, behave: EngineBehaviour, change: Partial<Replica>) {
    this.#server = server;
    this.behave = behave;
    const { port } = server.address() as AddressInfo;
    const pool = createUpstreamPool(`http://127.0.0.1:${port}`);
    const endpoint: EngineEndpoint = { pool, basePath: '', token: 'engine-token' };
    this.replica = {
      replicaId: id,
      deploymentId: DEPLOYMENT_ID,
      versionDigest: DIGEST,
      phase: 'Ready',
      instance: { instanceId: `${id}-1` },
      endpoint,
      adapters: new Set(),
      inflight: 0,
      inflightOfLate: 0,
      load: () => null,
      requestBegan: () => undefined,
      requestEnded: () => undefined,
      ...change,
    } as unknown as Replica;
  }

  static async start(id: string, behave = answers, change: Partial<Replica> = {}): Promise<FakeReplica> {
    const server = createServer({ maxHeaderSize: FORWARDED_HEAD_BYTES_MAX }, async (request, response) => {
      const body = Buffer.concat(await request.toArray());
      fake.bodies.push(body);
      fake.heads.push(request);
      fake.behave(request, response, body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const fake = new FakeReplica(server, id, behave, change);
    return fake;
  }

  async stop(): Promise<void> {
    await this.replica.endpoint?.pool.destroy();
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** What the agent's supervisor shows of them. */
export function shelf(fakes: readonly FakeReplica[]) {
  return {
    find: (replicaId: string) => fakes.find(({ replica }) => replica.replicaId === replicaId)?.replica,
    all: () => fakes.map(({ replica }) => replica),
  };
}
