// The dialling end of a link; see accept.ts for the exchange. The dialer checks the acceptor as strictly as it is
// checked itself: first the acceptor's identity, before saying who it is, then the acceptor's proof.

import { connect, type Socket } from 'node:net';
import type { UserIdentity } from '../credentials.ts';
import { type LinkRefusal, LinkRefusedError } from '../errors.ts';
import { JWT_CHARACTERS_MAX } from '../nats-jwt.ts';
import { boundHandshake, readUntil } from './socket-reader.ts';
import {
  checkAcceptance,
  checkNonce,
  checkPeer,
  createNonce,
  IDENTITY_HEADER,
  LINK_PATH,
  LINK_PROBE_AFTER_MS,
  LINK_PROTOCOL,
  type LinkTrust,
  NONCE_HEADER,
  signDial,
} from './trust.ts';

const HEAD_BYTES_MAX = JWT_CHARACTERS_MAX + 2048;
const ANSWER_BYTES_MAX = 256;
const TIMEOUT_MS = 5000;

export interface DialLinkOptions extends LinkTrust {
  host: string;
  port: number;
  /** For connecting and the whole handshake. Default 5000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** A link ready for HTTP/1.1: the gateway is the client and the agent the server, whoever dialled. */
export interface Link {
  /** Open, in paused mode, without listeners; holds every byte that came after the handshake. */
  readonly socket: Socket;
  readonly peer: UserIdentity;
}

/**
 * Dials, proves who we are and checks who is there.
 *
 * @throws LinkRefusedError: `refused` with the acceptor's reason in the message, or our own reason; socket destroyed
 */
export async function dialLink(options: DialLinkOptions): Promise<Link> {
  const bound = boundHandshake(options.timeoutMs ?? TIMEOUT_MS, options.signal);
  const socket = connect({ host: options.host, port: options.port, noDelay: true });
  socket.setKeepAlive(true, LINK_PROBE_AFTER_MS);
  const ignoreError = () => undefined; // each wait below listens for itself
  socket.on('error', ignoreError);
  try {
    await whenConnected(socket, bound.signal);
    const peer = await shakeHands(socket, options, bound.signal);
    socket.off('error', ignoreError);
    return { socket, peer };
  } catch (cause) {
    socket.destroy();
    if (cause instanceof LinkRefusedError) throw cause;
    throw new LinkRefusedError('closed', `No link to ${options.host}:${options.port}: ${String(cause)}`, { cause });
  } finally {
    bound.release();
  }
}

async function shakeHands(socket: Socket, options: DialLinkOptions, signal: AbortSignal): Promise<UserIdentity> {
  const { identity } = options;
  const nonce = createNonce();
  socket.write(
    `GET ${LINK_PATH} HTTP/1.1\r\nHost: ${options.host}:${options.port}\r\nConnection: Upgrade\r\n` +
      `Upgrade: ${LINK_PROTOCOL}\r\n${NONCE_HEADER}: ${nonce}\r\n\r\n`,
  );
  const headers = readHead(await readUntil(socket, '\r\n\r\n', HEAD_BYTES_MAX, signal));
  const acceptorNonce = checkNonce(headers.get(NONCE_HEADER));
  const peer = checkPeer(headers.get(IDENTITY_HEADER) ?? '', options);
  socket.write(`${identity.jwt} ${signDial(identity.seed, acceptorNonce, peer.publicKey)}\n`);
  const answer = await readUntil(socket, '\n', ANSWER_BYTES_MAX, signal);
  if (answer.startsWith('NO ')) throw new LinkRefusedError('refused', `The other side refused: ${readReason(answer)}.`);
  if (!answer.startsWith('OK ')) throw new LinkRefusedError('malformed', 'The other side speaks another protocol.');
  checkAcceptance(answer.slice(3), peer.publicKey, nonce, identity.seed);
  return peer;
}

const REASONS: readonly LinkRefusal[] = ['malformed', 'untrusted', 'expired', 'revoked', 'role', 'proof', 'timeout'];

/** Only known words of the peer reach our logs. */
function readReason(answer: string): string {
  return REASONS.find((known) => answer === `NO ${known}`) ?? 'no known reason';
}

function readHead(head: string): Map<string, string> {
  const [status = '', ...lines] = head.split('\r\n');
  const code = /^HTTP\/1\.1 (\d{3})/.exec(status)?.[1];
  if (code !== '101') throw new LinkRefusedError('refused', `The other side answered ${code ?? 'no HTTP'}, not 101.`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  if (headers.get('upgrade') !== LINK_PROTOCOL) throw new LinkRefusedError('malformed', 'Not a link endpoint.');
  return headers;
}

function whenConnected(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      socket.off('connect', onConnect).off('error', onError);
      signal.removeEventListener('abort', onAbort);
    };
    const onConnect = () => {
      stop();
      resolve();
    };
    const onError = (cause: Error) => {
      stop();
      reject(cause);
    };
    const onAbort = () => {
      stop();
      reject(signal.reason);
    };
    if (signal.aborted) return onAbort();
    socket.on('connect', onConnect).on('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
