// Names, labels and annotations of what the agent makes in Kubernetes. Pure.
//
// Invariant: nothing is changed or removed that does not carry our two ownership labels: who manages it, and which agent.
import { createHash } from 'node:crypto';
import type { KubernetesObject } from './kinds.ts';

const PREFIX = 'atoll.dev';
export const MANAGED_BY = 'app.kubernetes.io/managed-by';
export const LABELS = {
  agent: `${PREFIX}/agent`,
  instance: `${PREFIX}/instance`,
  replica: `${PREFIX}/replica`,
  engine: `${PREFIX}/engine`,
  attempt: `${PREFIX}/attempt`,
  job: `${PREFIX}/job`,
} as const;
export const ANNOTATIONS = {
  spec: `${PREFIX}/spec`,
  specHash: `${PREFIX}/spec-hash`,
  objectHash: `${PREFIX}/object-hash`,
  generation: `${PREFIX}/generation`,
  epoch: `${PREFIX}/epoch`,
  proven: `${PREFIX}/proven`,
} as const;

export type Labels = Readonly<Record<string, string>>;

/** `agent`: the agent's public key, a valid label value. */
export function ownershipLabels(agent: string): Labels {
  return { [MANAGED_BY]: 'atoll', [LABELS.agent]: agent };
}

export function isOwned(object: KubernetesObject, agent: string): boolean {
  const labels = object.metadata?.labels ?? {};
  return Object.entries(ownershipLabels(agent)).every(([key, value]) => labels[key] === value);
}

/** `a=b,c=d`; a key alone asks that it is there. */
export function selectorOf(labels: Labels, ...keys: readonly string[]): string {
  return [...Object.entries(labels).map(([key, value]) => `${key}=${value}`), ...keys].join(',');
}

/** A DNS label that begins with a letter: `atoll-<id>`, cut and hashed where it would be too long or holds other characters. */
export function objectName(id: string): string {
  const plain = `atoll-${id.toLowerCase()}`;
  if (plain.length <= 63 && /^[a-z0-9-]*[a-z0-9]$/.test(plain)) return plain;
  const cleaned = plain.replaceAll(/[^a-z0-9-]+/g, '-').slice(0, 52);
  return `${cleaned.replace(/-+$/, '')}-${shortHash(id)}`;
}

/** A label value out of any text; what cannot stand in one is replaced, and what is too long is cut. */
export function labelValue(text: string): string {
  return text
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .slice(0, 63)
    .replaceAll(/^[._-]+|[._-]+$/g, '');
}

/** Of an object as it is sent: its keys in whatever order give the same. */
export function objectHash(...objects: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(objects, sortedKeys)).digest('hex');
}

function sortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)));
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 10);
}
