// Port to what knows the machines and devices of this cluster: this machine's own inventory (`device-inventory.ts`), or the
// API of a cluster of many machines (`kubernetes/nodes.ts`).
import type { Node } from '#domain';

export abstract class NodeSource {
  /** As known now; changes are told by whoever made it. */
  abstract get nodes(): readonly Node[];
  /** Resolves once there is something to tell, or it is plain that there is nothing yet. Never throws. */
  abstract open(): Promise<void>;
  abstract start(): void;
  abstract stop(): Promise<void>;
}
