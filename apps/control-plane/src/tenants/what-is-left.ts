import type { TenantHolding } from '#domain';

/** Why a tenant of which this is left is not removed. Pure. */
export function leftWords(name: string, left: readonly TenantHolding[]): string {
  const parts = left.map(({ kind, count, names }) => {
    const what = count === 1 ? kind.slice(0, -1) : kind;
    return `${count} ${what} (${names.join(', ')}${count > names.length ? ' and others' : ''})`;
  });
  return `of the tenant ${name} there are still ${parts.join(', ')}; remove these first, ended jobs too`;
}
