// The accepting end of a link: for an http.Server's 'upgrade' event.
//
//   GET /link + Upgrade: atoll-link/1 + x-atoll-nonce   →   101 + x-atoll-nonce + x-atoll-identity
//   <user JWT> <proof>\n                                →   OK <proof>\n   or   NO <reason>\n and the end

import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { UserIdentity } from '../credentials.ts';
import { LinkRefusedError } from '../errors.ts';
import { JWT_CHARACTERS_MAX } from '../nats-jwt.ts';
import { boundHandshake, readUntil } from './socket-reader.ts';
import {
  checkDial,
  checkNonce,
  checkPeer,
  createNonce,
  IDENTITY_HEADER,
  LINK_PATH,
  LINK_PROBE_AFTER_MS,
  LINK_PROTOCOL,
  type LinkTrust,
  NONCE_HEADER,
  signAcceptance,
} from './trust.ts';

const LINE_BYTES_MAX = JWT_CHARACTERS_MAX + 128;
const TIMEOUT_MS = 5000;

export interface AcceptLinkOptions extends LinkTrust {
  /** For the whole handshake. Default 5000. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Whether an upgrade request asks for a link; others are the caller's to refuse. */
export function isLinkRequest(request: Pick<IncomingMessage, 'method' | 'url' | 'headers'>): boolean {
  return (
    request.method === 'GET' && request.url === LINK_PATH && request.headers.upgrade?.toLowerCase() === LINK_PROTOCOL
  );
}

/**
 * Runs the handshake on a socket that just upgraded. Afterwards the socket is open, in paused mode, and holds every
 * byte that came after the handshake. It has no error listener: without an await in between, hand it to `httpServer.emit('connection', socket)` (agent) or a pool (gateway).
 *
 * @param head what Node read past the request's head
 * @returns the verified peer
 * @throws LinkRefusedError; the peer was told `NO <refusal>` where possible and the socket is destroyed
 */
export async function acceptLink(
  request: Pick<IncomingMessage, 'method' | 'url' | 'headers'>,
  socket: Duplex,
  head: Buffer,
  options: AcceptLinkOptions,
): Promise<UserIdentity> {
  const link = socket as Socket;
  const bound = boundHandshake(options.timeoutMs ?? TIMEOUT_MS, options.signal);
  const ignoreError = () => undefined; // a reset while refusing; 'close' follows
  link.on('error', ignoreError);
  let isUpgraded = false;
  try {
    link.setTimeout(0);
    link.setKeepAlive(true, LINK_PROBE_AFTER_MS);
    if (head.length > 0) link.unshift(head);
    if (!isLinkRequest(request)) throw new LinkRefusedError('malformed', 'Not a link request.');
    const dialerNonce = checkNonce(request.headers[NONCE_HEADER]);
    const nonce = createNonce();
    link.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LINK_PROTOCOL}\r\n` +
        `${NONCE_HEADER}: ${nonce}\r\n${IDENTITY_HEADER}: ${options.identity.jwt}\r\n\r\n`,
    );
    isUpgraded = true;
    const line = await readUntil(link, '\n', LINE_BYTES_MAX, bound.signal);
    const [token = '', signature = '', ...rest] = line.split(' ');
    if (rest.length > 0) throw new LinkRefusedError('malformed', 'Not a link line.');
    const peer = checkPeer(token, options);
    checkDial(signature, peer.publicKey, nonce, options.identity.seed);
    link.write(`OK ${signAcceptance(options.identity.seed, dialerNonce, peer.publicKey)}\n`);
    return peer;
  } catch (cause) {
    const refusal =
      cause instanceof LinkRefusedError ? cause : new LinkRefusedError('closed', String(cause), { cause });
    end(link, isUpgraded ? `NO ${refusal.refusal}\n` : NOT_A_LINK);
    throw refusal;
  } finally {
    bound.release();
    link.off('error', ignoreError);
  }
}

const NOT_A_LINK = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';
const FAREWELL_MS = 1000;

/** Says the last word and destroys, also when the peer does not read it. The error listener outlives the refusal. */
function end(link: Socket, lastWord: string): void {
  link.on('error', () => undefined);
  if (link.destroyed || !link.writable) {
    link.destroy();
    return;
  }
  const timer = setTimeout(() => link.destroy(), FAREWELL_MS);
  timer.unref();
  link.end(lastWord, () => {
    clearTimeout(timer);
    link.destroySoon();
  });
}
