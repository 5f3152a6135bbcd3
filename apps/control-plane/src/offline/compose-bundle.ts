/** An offline bundle from what was read for it. Pure: the same content, sequence and time give the same text anywhere. */
import {
  BUNDLE_VALID_SECONDS,
  type BundleContent,
  budgetTitle,
  DEFAULT_ROUTING_POLICY,
  type OfflineBundle,
} from '#domain';

export type BundleBody = Omit<OfflineBundle, 'issuedAt' | 'sequence'>;

/** @param keyPepper what keys are checked with, base64url */
export function bundleBody(clusterId: string, content: BundleContent, keyPepper: string): BundleBody {
  return {
    clusterId,
    validForSeconds: BUNDLE_VALID_SECONDS,
    keyPepper,
    keys: content.keys,
    deployments: content.deployments.map((deployment) => ({
      ...deployment,
      routing: deployment.routing ?? DEFAULT_ROUTING_POLICY,
    })),
    budgets: content.budgets.map((budget) => ({
      budgetId: budget.id,
      title: budgetTitle(budget),
      period: budget.period,
    })),
  };
}

export function bundleText(body: BundleBody, { sequence, issuedAt }: { sequence: number; issuedAt: Date }): string {
  const bundle: OfflineBundle = { ...body, sequence, issuedAt: issuedAt.toISOString() };
  return JSON.stringify(bundle);
}
