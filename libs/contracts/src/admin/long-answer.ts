/**
 * One GET whose answer may be long, or grow for days: a file, a log that is followed. By Node's own HTTP, because `fetch`
 * gives up after five minutes without a byte, and a log may be silent for longer than that.
 *
 * Silence alone ends no answer that is followed; but one whose other end is gone, its machine without power too, must end:
 * TCP asks there after `keepAliveMs` of silence, and breaks off some 10 s later when nothing answers.
 */
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

export interface AnswerWaits {
  /** Until the answer begins. */
  readonly beginMs: number;
  /** Between two pieces of an answer that is not followed. */
  readonly silenceMs: number;
  readonly keepAliveMs: number;
}

export const ANSWER_WAITS: AnswerWaits = { beginMs: 30_000, silenceMs: 300_000, keepAliveMs: 30_000 };

export interface LongQuestion {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** True: it may be silent for as long as it likes once it has begun. */
  readonly isFollowed: boolean;
  readonly signal: AbortSignal | undefined;
  readonly waits: AnswerWaits;
}

/** Its end of an answer has said nothing for too long. */
export class SilentError extends Error {
  constructor(readonly seconds: number) {
    super(`nothing came for ${seconds} s`);
    this.name = 'SilentError';
  }
}

/**
 * Resolves once the answer begins, whatever its status; redirects are not followed. Its body fails with what broke it, with
 * SilentError at the bound.
 */
export function beginLongAnswer(question: LongQuestion): Promise<IncomingMessage> {
  const { url, headers, isFollowed, signal, waits } = question;
  const request = url.startsWith('https:') ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    // A connection of its own, which ends with the answer.
    const asked = request(url, { headers, agent: false, ...(signal === undefined ? {} : { signal }) });
    asked.once('socket', (socket) => socket.setKeepAlive(true, waits.keepAliveMs));
    endAfterSilence(asked, asked, waits.beginMs);
    asked.once('error', reject);
    asked.once('response', (answer) => {
      asked.removeAllListeners('timeout');
      endAfterSilence(asked, answer, isFollowed ? 0 : waits.silenceMs);
      resolve(answer);
    });
    asked.end();
  });
}

/** 0: never. */
function endAfterSilence(asked: ClientRequest, ended: ClientRequest | IncomingMessage, silenceMs: number): void {
  asked.setTimeout(silenceMs);
  if (silenceMs > 0) asked.once('timeout', () => ended.destroy(new SilentError(silenceMs / 1_000)));
}
