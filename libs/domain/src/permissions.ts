/** Who may do what. A permission is `noun:verb`; a role is a set of them; a key has a role, or only inference. */
export const PERMISSIONS = [
  'clusters:read',
  'clusters:write',
  'join-tokens:write',
  'models:read',
  'models:write',
  'deployments:read',
  'deployments:write',
  'jobs:read',
  'jobs:write',
  'queues:read',
  'queues:write',
  'tenants:write',
  'budgets:read',
  'budgets:write',
  'api-keys:read',
  'api-keys:write',
  'metrics:read',
  'audit:read',
  'inference',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

export const ROLES = ['owner', 'admin', 'operator', 'viewer', 'inference'] as const;
export type Role = (typeof ROLES)[number];

const READ: readonly Permission[] = [
  'clusters:read',
  'models:read',
  'deployments:read',
  'jobs:read',
  'queues:read',
  'budgets:read',
  'metrics:read',
];

export const ROLE_PERMISSIONS: Readonly<Record<Role, readonly Permission[]>> = {
  owner: PERMISSIONS,
  admin: PERMISSIONS,
  operator: [...READ, 'clusters:write', 'models:write', 'deployments:write', 'jobs:write', 'inference'],
  viewer: READ,
  inference: ['inference'],
};

export function roleAllows(role: Role, permission: Permission): boolean {
  return ROLE_PERMISSIONS[role].includes(permission);
}

/** True when every permission of `granted` is also in `granter`: nobody can hand out more than they have (S4). */
export function mayGrant(granter: Role, granted: Role): boolean {
  return (
    ROLE_PERMISSIONS[granted].every((permission) => roleAllows(granter, permission)) &&
    (granted !== 'owner' || granter === 'owner')
  );
}
