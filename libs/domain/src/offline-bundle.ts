/**
 * What an agent must know to serve without the centre: who may ask, for what, from which budget, until when. The
 * control plane signs it (Ed25519, the key that also proves blob tokens); an agent uses no other.
 *
 * Clocks (R22): the bundle says how long it is good from its issue. The agent counts on its monotonic clock while it
 * runs, and across restarts on the wall clock, which it allows to be CLOCK_SKEW_MS_MAX wrong in either direction.
 */
import type { BudgetPeriod } from './budgets.ts';
import type { Role } from './permissions.ts';
import type { AdapterReference, RoutingPolicy } from './serving.ts';

/** Ten minutes, and a little more. */
export const CLOCK_SKEW_MS_MAX = 11 * 60_000;
/** Default 7 days. */
export const BUNDLE_VALID_SECONDS = 7 * 86_400;
/** Stands before the text that is signed, so that no other signature of the key can be taken for one of a bundle. */
export const BUNDLE_SIGNATURE_CONTEXT = 'atoll-offline-bundle-v1\n';

export interface BundleKey {
  readonly publicId: string;
  /** HMAC-SHA-256 of the secret under the bundle's `keyPepper`, hex; null: made before keys could be checked offline. */
  readonly offlineHash: string | null;
  readonly tenantId: string;
  readonly role: Role;
  /** Null: all. */
  readonly models: readonly string[] | null;
  /** Unix milliseconds; null: never. */
  readonly expiresAtMs: number | null;
  /** Budgets that its requests are charged to; all must have room. */
  readonly budgetIds: readonly string[];
}

/** A deployment with a replica in the cluster. */
export interface BundleDeployment {
  readonly deploymentId: string;
  readonly tenantId: string;
  readonly name: string;
  readonly servedModel: string;
  readonly versionDigest: string;
  readonly versionNumber: number;
  readonly adapters: readonly AdapterReference[];
  readonly routing: RoutingPolicy;
  /** Unix seconds, for `/v1/models`. */
  readonly createdAtSeconds: number;
}

export interface BundleBudget {
  readonly budgetId: string;
  /** As people name it, for refusals: "tenant acme, 1,000,000 tokens a day". */
  readonly title: string;
  readonly period: BudgetPeriod;
}

export interface OfflineBundle {
  readonly clusterId: string;
  /** RFC 3339, the control plane's clock. */
  readonly issuedAt: string;
  readonly validForSeconds: number;
  /** Rises with every bundle of the cluster; an agent takes no lower one. */
  readonly sequence: number;
  /** Base64url; only good for `offlineHash`. */
  readonly keyPepper: string;
  readonly keys: readonly BundleKey[];
  readonly deployments: readonly BundleDeployment[];
  readonly budgets: readonly BundleBudget[];
}
