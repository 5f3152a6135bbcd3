import type { Role } from '#domain';

/** Who does something, as far as the rest of the application may know: never the secret. */
export interface Actor {
  readonly tenantId: string;
  readonly keyId: string;
  /** `key:<publicId>`, as it stands in the audit log. */
  readonly name: string;
  readonly role: Role;
}
