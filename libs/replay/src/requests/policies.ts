/** What can be compared on a request trace: each row is an order of the production table with its options. */
import type { QueueOrder } from '#domain';
import type { OrderOptions } from '#scheduling';

export interface RequestPolicy {
  readonly meaning: string;
  readonly order: QueueOrder;
  readonly options: OrderOptions;
}

/** A hard cap on waiting, far above the deadline of the high class and at that of the low one. */
const WAIT_CAP_SECONDS = 60;

export const REQUEST_POLICIES = {
  fcfs: {
    meaning: 'first come, first served; what the others are compared with',
    order: 'fcfs',
    options: {},
  },
  'static-priority': { meaning: 'by class, then first come', order: 'static-priority', options: {} },
  'dynamic-weighted': {
    meaning: 'the reference formula with levels 1..5',
    order: 'dynamic-weighted',
    options: { levels: [1, 5] },
  },
  'dynamic-weighted-0-1': {
    meaning: 'the reference formula with levels 0..1, in which waiting outweighs the class',
    order: 'dynamic-weighted',
    options: { levels: [0, 1] },
  },
  'class-shortest': { meaning: 'by class, then least worker-time', order: 'class-shortest', options: {} },
  'class-shortest-capped': {
    meaning: 'by class, then least worker-time, but who waited a minute goes first in its class',
    order: 'class-shortest',
    options: { waitCapSeconds: WAIT_CAP_SECONDS },
  },
  'c-mu': { meaning: 'class weight over predicted worker-time', order: 'c-mu', options: {} },
} as const satisfies Readonly<Record<string, RequestPolicy>>;

export type RequestPolicyName = keyof typeof REQUEST_POLICIES;
export const REQUEST_POLICY_NAMES = Object.keys(REQUEST_POLICIES) as RequestPolicyName[];
export const REQUEST_BASELINE: RequestPolicyName = 'fcfs';
