// Every error that this library throws, and the one place where a low-level NATS error becomes advice.

import { errors as nats } from '@nats-io/transport-node';

/** What a messaging failure is about; callers switch on this, never on message texts. */
export type MessagingFailure =
  | 'unauthorized' // credentials unknown, expired or revoked
  | 'forbidden' // the credentials do not cover the subject
  | 'unreachable' // no server answered
  | 'closed' // this side closed the connection
  | 'no-responder' // nobody listens on the subject
  | 'overloaded' // too much waits on this side
  | 'timeout' // somebody may listen, nobody answered in time
  | 'unknown';

/** A NATS operation failed; `message` says what to do about it. */
export class MessagingError extends Error {
  override readonly name = 'MessagingError';
  readonly failure: MessagingFailure;

  constructor(failure: MessagingFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** The other side answered `{error: {code, message}}`. */
export class RequestRefusedError extends Error {
  override readonly name = 'RequestRefusedError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** A payload that cannot be read: not JSON, not zstd, or beyond its size bound. */
export class PayloadError extends Error {
  override readonly name = 'PayloadError';
  readonly reason: 'malformed' | 'too-large' | 'undecodable';

  constructor(reason: PayloadError['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** A key, seed or JWT that is not what it should be. `message` never contains a seed. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
}

/** Stored operator files are missing, unreadable or do not fit together. */
export class OperatorFilesError extends Error {
  override readonly name = 'OperatorFilesError';
}

/** The NATS server did not accept a claims update. */
export class ClaimsUpdateError extends Error {
  override readonly name = 'ClaimsUpdateError';
}

/** Why a link handshake ended without a link. The code is also what the refused side reads. */
export type LinkRefusal =
  | 'malformed' // not the protocol, or a part of it too long
  | 'untrusted' // JWT not signed by the trusted account, or its signature is wrong
  | 'expired'
  | 'revoked'
  | 'role' // a role (or cluster) that may not be here
  | 'proof' // the nonce was not signed by the key in the JWT
  | 'timeout'
  | 'closed' // the socket ended or was aborted on the way
  | 'refused'; // the other side said no; see the message

/** A link handshake failed; the socket is already destroyed. */
export class LinkRefusedError extends Error {
  override readonly name = 'LinkRefusedError';
  readonly refusal: LinkRefusal;

  constructor(refusal: LinkRefusal, message: string, options?: ErrorOptions) {
    super(message, options);
    this.refusal = refusal;
  }
}

const SOCKET_CODES = /ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|EPIPE|ETIMEDOUT/;

function isKind(cause: unknown, ...kinds: (abstract new (...parameters: never[]) => Error)[]): boolean {
  return kinds.some((kind) => cause instanceof kind);
}

/**
 * Translates whatever the NATS client threw into a `MessagingError` with advice. A `MessagingError` passes unchanged.
 *
 * @param subject what was asked for, named in the message when known
 */
export function translateNatsError(cause: unknown, subject = ''): MessagingError {
  if (cause instanceof MessagingError) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  const inner = cause instanceof Error ? cause.cause : undefined;
  const on = subject === '' ? '' : ` on ${subject}`;
  const options = { cause };
  if (cause instanceof nats.PermissionViolationError || inner instanceof nats.PermissionViolationError) {
    const advice = `NATS refused the subject${on}: these credentials do not cover it. Check which identity this process uses.`;
    return new MessagingError('forbidden', advice, options);
  }
  if (isKind(cause, nats.AuthorizationError, nats.UserAuthenticationExpiredError) || /revoked/i.test(text)) {
    const advice = `NATS refused the credentials (${text}): they are unknown, expired or revoked. Renew them or join again.`;
    return new MessagingError('unauthorized', advice, options);
  }
  if (cause instanceof Error && cause.message === 'jetstream is not enabled') {
    const advice = `No stream takes what is published${on}: the control plane makes it anew; keep the event and try again.`;
    return new MessagingError('no-responder', advice, options);
  }
  if (isKind(cause, nats.NoRespondersError) || (cause instanceof nats.RequestError && cause.isNoResponders())) {
    return new MessagingError('no-responder', `Nobody answers${on}: is the control plane running?`, options);
  }
  if (isKind(cause, nats.TimeoutError) || inner instanceof nats.TimeoutError) {
    return new MessagingError('timeout', `No answer in time${on}; it is safe to ask again.`, options);
  }
  if (isKind(cause, nats.ClosedConnectionError, nats.DrainingConnectionError)) {
    return new MessagingError('closed', `The NATS connection is closed${on}; this process is stopping.`, options);
  }
  if (
    isKind(cause, nats.ConnectionError) ||
    SOCKET_CODES.test(text) ||
    /connection (refused|disconnected)/.test(text)
  ) {
    return new MessagingError(
      'unreachable',
      `No NATS server can be reached (${text}). Check address and firewall.`,
      options,
    );
  }
  return new MessagingError('unknown', `NATS failed${on}: ${text}`, options);
}
