// What can be reached from here, without credentials: the control plane, its clock, NATS, and the agent's own listeners.
import { on, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { z } from 'zod';
import { CLOCK_SKEW_MS_MAX } from '#domain';
import { messageOf } from '../errors.ts';
import { duration, type Finding } from './finding.ts';
import { jsonOf, type Listener, type Patient, readMembership } from './patient.ts';

const TIMEOUT_MS = 3_000;
/** A clock that is off by more than this is worth a word; nothing breaks below CLOCK_SKEW_MS_MAX (R22). */
const CLOCK_WARNING_MS = 30_000;
const NATS_PORT = 4222;
const INFO_BYTES_MAX = 65_536;

const infoSchema = z.object({ version: z.string().max(64) });
const tokenSchema = z.object({ iat: z.number(), exp: z.number().optional() });

/** The control plane answers anybody with a challenge; its Date header is the fleet's clock. */
export async function checkControlPlane({ controlPlaneUrl, nowMs }: Patient): Promise<Finding[]> {
  if (controlPlaneUrl === null) {
    const says = 'Its address is not known from the folder alone; use --config.';
    return [{ check: 'control plane', verdict: 'unknown', says }];
  }
  const url = `${controlPlaneUrl.replace(/\/+$/, '')}/api/v1/agent/challenge`;
  const began = performance.now();
  try {
    const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.body?.cancel();
    const tookMs = performance.now() - began;
    const found: Finding = response.ok
      ? { check: 'control plane', verdict: 'ok', says: `Answers at ${controlPlaneUrl} in ${Math.round(tookMs)} ms.` }
      : {
          check: 'control plane',
          verdict: 'warning',
          says: `${controlPlaneUrl} answers with ${response.status}.`,
          advice: 'Is that the address of the control plane?',
        };
    return [found, judgeClock(Date.parse(response.headers.get('date') ?? ''), nowMs)];
  } catch (cause) {
    return [
      {
        check: 'control plane',
        verdict: 'warning',
        says: `Cannot be reached at ${controlPlaneUrl} (${messageOf((cause as Error).cause ?? cause)}).`,
        advice: 'What runs here goes on. Look at the link, the name and the proxy.',
      },
    ];
  }
}

/** By a clock of somebody else, Unix milliseconds. Pure. */
export function judgeClock(theirsMs: number, oursMs: number): Finding {
  const check = 'clock';
  if (!Number.isFinite(theirsMs)) return { check, verdict: 'unknown', says: 'Nobody told the time.' };
  const offMs = oursMs - theirsMs;
  const says = `This clock is ${duration(Math.abs(offMs) / 1_000)} ${offMs < 0 ? 'behind' : 'ahead of'} the control plane's.`;
  if (Math.abs(offMs) <= CLOCK_WARNING_MS) return { check, verdict: 'ok', says };
  const verdict = Math.abs(offMs) <= CLOCK_SKEW_MS_MAX ? 'warning' : 'failed';
  return { check, verdict, says, advice: 'Set it right (NTP): offline permissions are judged by it after a restart.' };
}

/** What the clock of this machine says of the credentials, without asking anybody. */
export async function checkCredentials(patient: Patient): Promise<Finding> {
  const check = 'credentials';
  const membership = await readMembership(patient);
  if (membership === null) return { check, verdict: 'unknown', says: 'None yet.' };
  const token = tokenSchema.safeParse(payloadOf(membership.jwt)).data;
  if (token === undefined) {
    return {
      check,
      verdict: 'failed',
      says: 'The NATS credentials are damaged.',
      advice: 'Restart the agent: they are renewed.',
    };
  }
  const nowSeconds = patient.nowMs / 1_000;
  if (token.iat > nowSeconds + CLOCK_SKEW_MS_MAX / 1_000) {
    const says = `Issued ${duration(token.iat - nowSeconds)} in the future: this clock is behind.`;
    return { check, verdict: 'failed', says, advice: 'Set the clock right (NTP).' };
  }
  if (token.exp !== undefined && token.exp < nowSeconds) {
    const says = `Ended ${duration(nowSeconds - token.exp)} ago.`;
    return { check, verdict: 'warning', says, advice: 'They are renewed by key as soon as the control plane answers.' };
  }
  const left = token.exp === undefined ? '' : `, good for ${duration(token.exp - nowSeconds)} more`;
  return { check, verdict: 'ok', says: `Issued ${duration(nowSeconds - token.iat)} ago${left}.` };
}

function payloadOf(jwt: string): unknown {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

export async function checkNats(patient: Patient): Promise<Finding[]> {
  const membership = await readMembership(patient);
  if (membership === null) return [{ check: 'NATS', verdict: 'unknown', says: 'Its servers are told at the join.' }];
  return Promise.all(membership.natsServers.map((server) => askNats(server)));
}

/** A NATS server greets whoever connects with a line that names its version. */
async function askNats(server: string): Promise<Finding> {
  const check = 'NATS';
  const url = server.includes('://') ? server : `nats://${server}`;
  if (!URL.canParse(url)) return { check, verdict: 'failed', says: `${server} is no address.`, advice: 'Join again.' };
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || NATS_PORT) });
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    await once(socket, 'connect', { signal });
    const line = await firstLine(socket, signal);
    const info = infoSchema.safeParse(jsonOf(line.replace(/^INFO /, '').split('\r\n')[0] ?? '')).data;
    if (info === undefined) {
      return {
        check,
        verdict: 'failed',
        says: `${server} is something else than NATS.`,
        advice: 'Look at the address.',
      };
    }
    return { check, verdict: 'ok', says: `${server} is a nats-server ${info.version}.` };
  } catch (cause) {
    const why =
      cause instanceof Error && cause.name === 'AbortError' ? `no answer in ${TIMEOUT_MS / 1_000} s` : messageOf(cause);
    const advice = 'Desired state and reports wait; serving goes on. Look at the link and the firewall.';
    return { check, verdict: 'warning', says: `${server} cannot be reached (${why}).`, advice };
  } finally {
    socket.destroy();
  }
}

/** As far as it came: a greeting that names many servers comes in several pieces. */
async function firstLine(socket: Socket, signal: AbortSignal): Promise<string> {
  let text = '';
  for await (const [chunk] of on(socket, 'data', { signal, close: ['end', 'close'] }) as AsyncIterable<[Buffer]>) {
    text += chunk.toString('latin1');
    if (text.includes('\n') || text.length > INFO_BYTES_MAX) break;
  }
  return text;
}

/** The agent's own word, by its operational listener. */
export async function checkReadiness({ operational }: Patient): Promise<Finding> {
  const check = 'readiness';
  if (operational === null)
    return { check, verdict: 'unknown', says: 'Its port is in the configuration; use --config.' };
  try {
    const response = await askListener(operational, '/readyz');
    const text = (await response.text()).slice(0, 500);
    if (response.ok) return { check, verdict: 'ok', says: 'The agent says that it is ready.' };
    return { check, verdict: 'failed', says: `The agent says that it is not ready: ${text}` };
  } catch (cause) {
    const says = `Nothing answers on port ${operational.port} (${messageOf((cause as Error).cause ?? cause)}).`;
    return { check, verdict: 'warning', says };
  }
}

/** A stranger must get 401: then it listens, and asks for keys. */
export async function checkLocalEndpoint({ localEndpoint }: Patient): Promise<Finding> {
  const check = 'local endpoint';
  if (localEndpoint === null) return { check, verdict: 'ok', says: 'None is configured (localEndpoint.listen).' };
  try {
    const response = await askListener(localEndpoint, '/v1/models');
    await response.body?.cancel();
    if (response.status === 401) return { check, verdict: 'ok', says: `Listens on port ${localEndpoint.port}.` };
    const says = `Port ${localEndpoint.port} answers a stranger with ${response.status} where 401 is due.`;
    return { check, verdict: 'failed', says, advice: 'Something else may listen there.' };
  } catch (cause) {
    const says = `Nothing answers on port ${localEndpoint.port} (${messageOf((cause as Error).cause ?? cause)}).`;
    return { check, verdict: 'failed', says, advice: 'Local clients are not served. Is the agent up?' };
  }
}

function askListener({ host, port }: Listener, path: string): Promise<Response> {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  const authority = name.includes(':') ? `[${name}]` : name;
  return fetch(`http://${authority}:${port}${path}`, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
}
