/** Why a job waits in its queue, from its row and the scheduler's newest word about it. Pure. */
import { faultOf, type Job } from '#domain';

/** Between two tries how the last one ended is said first, then what is waited for. */
export function waitingReason({ retryAt, reason }: Pick<Job, 'retryAt' | 'reason'>, verdict: string): string {
  return retryAt === null ? verdict : `${faultOf(reason)}; ${verdict}`;
}
