/**
 * What a transfer and an apply are taken to cost where the cluster has not measured it yet. Pure.
 *
 * | what | bytes a second | why |
 * | --- | --- | --- |
 * | registry → edge | 12.5 MB/s | 100 Mbit/s: a common uplink of a site |
 * | registry → central | 125 MB/s | 1 Gbit/s |
 * | neighbour → any | 125 MB/s | 1 Gbit/s within a site |
 * | apply `fast` | 150 MB/s | grouped decodes at 300 MB/s a core and more; half, because the disk writes too |
 * | apply `small` | 30 MB/s | coded decodes dense differences at 40 MB/s a core and more |
 * | apply `snapshot` | 200 MB/s | joins exponents and mantissas |
 * | apply `whole` | 400 MB/s | only hashed and written |
 *
 * Apply speeds are bytes of result. A measure replaces its default; the policy's limit caps every transfer.
 */
import type { ArtifactProfile, ClusterKind, SyncMeasures, SyncPolicy } from '#domain';

const REGISTRY_BYTES_PER_SECOND: Readonly<Record<ClusterKind, number>> = { central: 125e6, edge: 12.5e6 };
const NEIGHBOUR_BYTES_PER_SECOND = 125e6;

export type StepProfile = ArtifactProfile | 'whole';

const APPLY_BYTES_PER_SECOND: Readonly<Record<StepProfile, number>> = {
  fast: 150e6,
  small: 30e6,
  snapshot: 200e6,
  whole: 400e6,
};

export interface Speeds {
  readonly registryBytesPerSecond: number;
  readonly neighbourBytesPerSecond: number;
  readonly applyBytesPerSecond: Readonly<Record<StepProfile, number>>;
}

/** @param measures null: the cluster never reported any */
export function speedsOf(
  cluster: { readonly kind: ClusterKind; readonly sync: Pick<SyncPolicy, 'bytesPerSecondMax'> },
  measures: Omit<SyncMeasures, 'diskFreeBytes'> | null,
): Speeds {
  const cap = cluster.sync.bytesPerSecondMax ?? Number.POSITIVE_INFINITY;
  const registry = measures?.registryBytesPerSecond ?? REGISTRY_BYTES_PER_SECOND[cluster.kind];
  const neighbour = measures?.neighbourBytesPerSecond ?? NEIGHBOUR_BYTES_PER_SECOND;
  return {
    registryBytesPerSecond: Math.min(registry, cap),
    neighbourBytesPerSecond: Math.min(neighbour, cap),
    applyBytesPerSecond: { ...APPLY_BYTES_PER_SECOND, ...measures?.applyBytesPerSecond },
  };
}
