// Bundles as the control plane makes them, and clocks that specs turn.
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import {
  BUNDLE_SIGNATURE_CONTEXT,
  type BundleDeployment,
  type BundleKey,
  DEFAULT_ROUTING_POLICY,
  type OfflineBundle,
} from '#domain';
import type { OfflineClock } from '../src/offline/offline-clock.ts';

export const CLUSTER_ID = '01900000-0000-7000-8000-00000000c001';
export const TENANT_ID = '01900000-0000-7000-8000-00000000e001';
export const DEPLOYMENT_ID = '01900000-0000-7000-8000-00000000d001';
export const BUDGET_ID = '01900000-0000-7000-8000-00000000bd01';
export const DIGEST = 'a'.repeat(64);
export const START_MS = Date.parse('2026-11-30T00:00:00Z');
const PEPPER = Buffer.alloc(32, 7);

export interface KnownKey {
  readonly token: string;
  readonly key: BundleKey;
}

export function keyOf(publicId: string, change: Partial<BundleKey> = {}): KnownKey {
  const secret = publicId.padEnd(32, 's');
  const offlineHash = createHmac('sha256', PEPPER).update(secret).digest('hex');
  const key: BundleKey = {
    publicId,
    offlineHash,
    tenantId: TENANT_ID,
    role: 'inference',
    models: null,
    expiresAtMs: null,
    budgetIds: [],
    ...change,
  };
  return { token: `atoll_${publicId}_${secret}`, key };
}

export function deploymentOf(change: Partial<BundleDeployment> = {}): BundleDeployment {
  return {
    deploymentId: DEPLOYMENT_ID,
    tenantId: TENANT_ID,
    name: 'tiny',
    servedModel: 'tiny',
    versionDigest: DIGEST,
    versionNumber: 3,
    adapters: [],
    routing: DEFAULT_ROUTING_POLICY,
    createdAtSeconds: START_MS / 1_000,
    ...change,
  };
}

export function bundleOf(change: Partial<OfflineBundle> = {}): OfflineBundle {
  return {
    clusterId: CLUSTER_ID,
    issuedAt: new Date(START_MS).toISOString(),
    validForSeconds: 7 * 86_400,
    sequence: 5,
    keyPepper: PEPPER.toString('base64url'),
    keys: [],
    deployments: [deploymentOf()],
    budgets: [],
    ...change,
  };
}

/** The centre's key, and what it signs. */
export class Signer {
  readonly #pair = generateKeyPairSync('ed25519');

  get verifyingKey(): string {
    return this.#pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  sign(bundle: OfflineBundle): { text: string; signature: string } {
    const text = JSON.stringify(bundle);
    return { text, signature: this.signText(text) };
  }

  signText(text: string): string {
    return sign(null, Buffer.from(BUNDLE_SIGNATURE_CONTEXT + text), this.#pair.privateKey).toString('base64url');
  }
}

export class TurnedClock implements OfflineClock {
  #elapsedMs = 1_000;
  wall = START_MS;

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  wallMs(): number {
    return this.wall;
  }

  /** Both clocks go on. */
  advance(ms: number): void {
    this.#elapsedMs += ms;
    this.wall += ms;
  }

  /** A new process after so long, of which only the wall clock knows. */
  restartAfter(ms: number): void {
    this.#elapsedMs = 0;
    this.wall += ms;
  }
}

/** Keeps what is written, as a state document does. */
export function memoryDocument<Value>() {
  const stored: { value: Value | null; isFull: boolean } = { value: null, isFull: false };
  return {
    stored,
    read: () => Promise.resolve(stored.value),
    write: (value: Value) => {
      if (stored.isFull) return Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
      stored.value = value;
      return Promise.resolve();
    },
  };
}
