// The two HTTP conversations of an agent without credentials: join, and ask for (new) credentials. Every call proves
// the key by a fresh challenge; nothing is replayable. Network trouble throws; a refusal is a ControlPlaneProblemError.
import { z } from 'zod';
import { challengeReplySchema, type JoinReply, joinReplySchema } from '#contracts';
import { proveIdentity } from '#messaging';
import { ControlPlaneProblemError } from '../errors.ts';
import type { AgentIdentity } from '../state/identity.ts';

const ANSWER_BYTES_MAX = 262_144;
const TIMEOUT_MS = 10_000;
const problemSchema = z.object({
  type: z.string().default(''),
  title: z.string().default(''),
  detail: z.string().default(''),
});

export class ControlPlaneClient {
  readonly #base: string;
  readonly #identity: AgentIdentity;
  readonly #agentVersion: string;

  constructor(controlPlaneUrl: string, identity: AgentIdentity, agentVersion: string) {
    this.#base = controlPlaneUrl.replace(/\/+$/, '');
    this.#identity = identity;
    this.#agentVersion = agentVersion;
  }

  /** Spends a join token. */
  join(token: string, signal: AbortSignal): Promise<JoinReply> {
    return this.#prove('/api/v1/agent/join', { token, agentVersion: this.#agentVersion }, signal);
  }

  /** Renews, recovers, or asks whether a waiting cluster was accepted. */
  credentials(signal: AbortSignal): Promise<JoinReply> {
    return this.#prove('/api/v1/agent/credentials', { agentVersion: this.#agentVersion }, signal);
  }

  async #prove(path: string, body: Record<string, unknown>, signal: AbortSignal): Promise<JoinReply> {
    const { nonce } = challengeReplySchema.parse(await this.#call('/api/v1/agent/challenge', undefined, signal));
    const { publicKey, seed } = this.#identity;
    const signature = proveIdentity(seed, nonce, body);
    return joinReplySchema.parse(await this.#call(path, { ...body, publicKey, nonce, signature }, signal));
  }

  async #call(path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const response = await fetch(`${this.#base}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    if (text.length > ANSWER_BYTES_MAX) throw new Error(`The control plane's answer to ${path} is too long.`);
    const answer = parseJson(text);
    if (response.ok) return answer;
    const problem = problemSchema.safeParse(answer);
    const { type, title, detail } = problem.success ? problem.data : { type: '', title: '', detail: '' };
    const code = type.startsWith('urn:atoll:problem:') ? type.slice('urn:atoll:problem:'.length) : '';
    const said = detail || title || `status ${response.status}`;
    throw new ControlPlaneProblemError(response.status, code, said.slice(0, 500));
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
