import { afterEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { Store } from '#domain';
import { createNatsOperator } from '#messaging';
import type { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { AccountClaimsPusher } from './account-claims-pusher.ts';

const operator = await createNatsOperator();
const KEY = 'UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const REVOKED_AT_SECONDS = 1_767_225_600;

let pusher: AccountClaimsPusher;

/** Its pauses outlast any test. */
class PatientPusher extends AccountClaimsPusher {
  protected override readonly retryMs = 3_600_000;
}

/** A server that refuses its first `failures` pushes. */
function start(failures: number) {
  const pushed: string[] = [];
  let tries = 0;
  let connected: () => void = () => undefined;
  const nats = {
    operator,
    onStatus: (listener: (who: string, status: { state: string }) => void) => {
      connected = () => listener('system', { state: 'connected' });
      return () => undefined;
    },
    systemConnection: {
      request: async (_subject: string, jwt: string) => {
        tries += 1;
        if (tries <= failures) throw new Error('away');
        pushed.push(jwt);
        return { json: () => ({ data: { code: 200 } }) };
      },
    },
  };
  const revoked = [{ publicKey: KEY, revokedAtSeconds: REVOKED_AT_SECONDS }];
  const store = { read: { revocations: { all: async () => revoked } } };
  pusher = new PatientPusher(store as unknown as Store, nats as unknown as ControlPlaneNats);
  Logger.overrideLogger(false);
  pusher.onApplicationBootstrap();
  return { pushed, tries: () => tries, connected: () => connected() };
}

afterEach(() => pusher.onModuleDestroy());

const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[1]!, 'base64url').toString());

describe('S2: revocations', () => {
  it('R22: are dated behind every JWT that the key can hold, whatever the clocks', async () => {
    const server = start(0);
    await pusher.request();
    expect(claimsOf(server.pushed[0]!).nats.revocations).toEqual({ [KEY]: REVOKED_AT_SECONDS + 86_400 });
  });

  it('are pushed at once when NATS is back, not after what is left of a long pause', async () => {
    const server = start(1);
    while (server.tries() < 1) await new Promise(setImmediate);
    server.connected();
    // Nobody else asks: asking would end the pause too.
    while (server.pushed.length < 1) await new Promise(setImmediate);
    expect(server.tries()).toBe(2);
  });
});
