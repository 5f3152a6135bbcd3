/** Which clusters a wave opens. Names are sorted, so that the same fleet always gives the same canaries. */
import type { Labels, Rollout, RolloutWave } from '#domain';

export interface WaveCluster {
  readonly id: string;
  readonly name: string;
  readonly labels: Labels;
  /** Live placements of the deployment are here. */
  readonly holds: boolean;
}

export interface OpenedWave {
  /** All that are open now, those of earlier waves first, then by name. */
  readonly clusterIds: readonly string[];
  /** True for the last wave, which is extended to every cluster, later ones too. */
  readonly isOpenToAll: boolean;
}

/**
 * Opens wave `index` (0-based) of a rollout. `percent` is of the clusters that hold the deployment, rounded up, those
 * already open counted; names and labels match clusters whether or not they hold it yet.
 */
export function openWave(
  { policy, openClusterIds }: Pick<Rollout, 'policy' | 'openClusterIds'>,
  index: number,
  clusters: readonly WaveCluster[],
): OpenedWave {
  const wave = policy.waves[index];
  if (wave === undefined) throw new RangeError(`wave ${index} of ${policy.waves.length}`);
  const isOpenToAll = index === policy.waves.length - 1;
  const byName = [...clusters].sort(({ name: left }, { name: right }) => (left < right ? -1 : left > right ? 1 : 0));
  const open = new Set(openClusterIds);
  for (const { id } of isOpenToAll ? byName.filter(({ holds }) => holds) : chosen(wave, byName, open)) open.add(id);
  return { clusterIds: [...open], isOpenToAll };
}

function chosen(wave: RolloutWave, byName: readonly WaveCluster[], open: ReadonlySet<string>): readonly WaveCluster[] {
  const { clusterNames, labels, percent } = wave;
  if (clusterNames !== undefined) return byName.filter(({ name }) => clusterNames.includes(name));
  if (labels !== undefined) {
    const wanted = Object.entries(labels);
    return byName.filter((cluster) => wanted.every(([key, value]) => cluster.labels[key] === value));
  }
  const holding = byName.filter(({ holds }) => holds);
  const isOpen = ({ id }: WaveCluster) => open.has(id);
  // The subtraction is for products such as 7 % of 100, which are a hair above 7.
  const target = Math.ceil(((percent ?? 100) * holding.length) / 100 - 1e-9);
  const missing = Math.max(0, target - holding.filter(isOpen).length);
  return holding.filter((cluster) => !isOpen(cluster)).slice(0, missing);
}
