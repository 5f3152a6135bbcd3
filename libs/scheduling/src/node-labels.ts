/** A12: required labels filter nodes, preferred ones score them. */
import type { Labels, Node, NodePreferences } from '#domain';

export const ANY_NODE: NodePreferences = { required: {}, preferred: {} };

export function isNodeAllowed({ labels = {} }: Pick<Node, 'labels'>, { required }: NodePreferences): boolean {
  return Object.entries(required).every(([key, value]) => labels[key] === value);
}

/** Share of the preferred labels that the node has, 0..1; 0 when none is preferred. */
export function nodePreference({ labels = {} }: Pick<Node, 'labels'>, { preferred }: NodePreferences): number {
  const wanted = Object.entries(preferred);
  if (wanted.length === 0) return 0;
  return wanted.filter(([key, value]) => labels[key] === value).length / wanted.length;
}

/** `disk=nvme, room=cold`; empty for none. */
export function describeLabels(labels: Labels): string {
  const words = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return words.sort().join(', ');
}
