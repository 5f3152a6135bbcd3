// The machines and devices that the report tells of: what the configuration says, else this machine with a CPU device a core.
// Accelerators are claimed whole and cannot be guessed reliably, so they are configured.
import { cpus, hostname, totalmem } from 'node:os';
import type { Node } from '#domain';

/** Host names may hold what the schema does not allow; the report must not fail for that. */
export function readInventory(configured: readonly Node[] | undefined): readonly Node[] {
  if (configured !== undefined) return configured;
  const name = hostname().slice(0, 253) || 'localhost';
  const count = Math.min(64, Math.max(1, cpus().length));
  const memoryBytes = Math.floor(totalmem() / count);
  const devices = Array.from({ length: count }, (_, index) => ({
    id: `cpu-${index}`,
    deviceType: 'cpu' as const,
    memoryBytes,
  }));
  return [{ name, devices }];
}
