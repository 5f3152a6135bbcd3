/** Fills in a claim that says `auto`: the cheapest split over the clusters that may take the work. */
import { DEVICE_TYPES, type DeviceType, type Node } from '#domain';
import type { Purpose } from './costs.ts';
import type { ModelShape } from './model-shape.ts';
import { type ParallelPlan, planParallel } from './plan-parallel.ts';

export interface AutoClaimCluster {
  readonly name: string;
  readonly nodes: readonly Node[];
}

export interface AutoClaim {
  readonly clusterName: string;
  readonly deviceType: DeviceType;
  readonly plan: ParallelPlan;
}

/** Accelerators before processors: a core is no place for a model that fits on an accelerator. */
const ACCELERATORS = DEVICE_TYPES.filter((deviceType) => deviceType !== 'cpu');

/** A sentence for each cluster and device type when nothing fits anywhere. */
export function autoClaim(
  shape: ModelShape,
  purpose: Purpose,
  clusters: readonly AutoClaimCluster[],
): AutoClaim | { readonly impossible: readonly string[] } {
  const impossible: string[] = [];
  for (const deviceTypes of [ACCELERATORS, ['cpu'] as const]) {
    const found: AutoClaim[] = [];
    for (const { name, nodes } of clusters) {
      for (const deviceType of deviceTypes) {
        if (!nodes.some(({ devices }) => devices.some((device) => device.deviceType === deviceType))) continue;
        const plan = planParallel(shape, purpose, nodes, deviceType);
        if ('impossible' in plan) impossible.push(`${name}: ${plan.impossible}`);
        else found.push({ clusterName: name, deviceType, plan });
      }
    }
    const [best] = found.sort((left, right) => left.plan.cost - right.plan.cost);
    if (best !== undefined) return best;
  }
  return { impossible: impossible.length > 0 ? impossible : ['no cluster that may take it has reported devices'] };
}
