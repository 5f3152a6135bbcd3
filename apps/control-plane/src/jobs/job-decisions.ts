/**
 * Which decisions about jobs are worth storing: every start and every preemption, and why a job waits whenever that has
 * changed – not once a cycle, and only of the first of a queue: behind them the reason is their place.
 */
import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { CandidateVerdict, Decision, Job } from '#domain';
import type { WorkloadVerdict } from '#scheduling';

/** Waiting jobs of a queue whose decisions are stored. */
export const DECIDED_PLACES_MAX = 200;
/** Words with counts in them change with every report; they are stored at most so often. */
const SAME_STATE_MS = 30_000;
/** Of a decision; of more clusters than these the sentence has the counts. */
const CANDIDATES_MAX = 100;

interface Stored {
  readonly state: WorkloadVerdict['state'];
  readonly reason: string;
  readonly atMs: number;
}

export class JobDecisions {
  /** Job id → what was last stored for it in this term. */
  private readonly stored = new Map<string, Stored>();

  constructor(private readonly epoch: number) {}

  /** Null when the newest stored decision says this too. Call `remember` once it is committed. */
  decide(job: Job, verdict: WorkloadVerdict, nowMs: number): Decision | null {
    return this.isNews(job.id, verdict, nowMs) ? this.toDecision(job, verdict, nowMs) : null;
  }

  /** Of what starts nothing is kept: whatever is decided of it later is news. */
  remember(jobId: string, { state, reason }: WorkloadVerdict, nowMs: number): void {
    if (state === 'started') this.stored.delete(jobId);
    else this.stored.set(jobId, { state, reason, atMs: nowMs });
  }

  /** Keeps what is known of these only. */
  retain(jobIds: Pick<ReadonlySet<string>, 'has'>): void {
    for (const id of this.stored.keys()) if (!jobIds.has(id)) this.stored.delete(id);
  }

  private isNews(jobId: string, { state, reason, place }: WorkloadVerdict, nowMs: number): boolean {
    if (state === 'started') return true;
    const known = this.stored.get(jobId);
    if (known?.state === state) return known.reason !== reason && nowMs - known.atMs >= SAME_STATE_MS;
    return state === 'nominated' || (place ?? 1) <= DECIDED_PLACES_MAX;
  }

  private toDecision(job: Job, verdict: WorkloadVerdict, nowMs: number): Decision {
    const { reason, victims, changes, place, startsByMs } = verdict;
    const candidates: readonly CandidateVerdict[] = verdict.candidates.slice(0, CANDIDATES_MAX);
    return {
      id: uuidv7(),
      subjectKind: 'job',
      subjectId: job.id,
      epoch: this.epoch,
      inputsHash: hashOf(job, verdict),
      candidates,
      outcome: reason,
      detail: { victims, changes, place, startsBy: startsByMs === null ? null : new Date(startsByMs).toISOString() },
      decidedAt: new Date(nowMs),
    };
  }
}

/** What it was about: the job at its revision, and how the clusters stood to it. */
function hashOf({ id, revision }: Job, { state, candidates }: WorkloadVerdict): string {
  return createHash('sha256')
    .update(`${id} ${revision} ${state} ${standingsOf(candidates)}`)
    .digest('hex');
}

/** Equal requests of a cycle share their candidates. */
const standings = new WeakMap<readonly CandidateVerdict[], string>();

function standingsOf(candidates: readonly CandidateVerdict[]): string {
  const known = standings.get(candidates);
  if (known !== undefined) return known;
  const words = candidates.map(({ clusterId, rejectedBy }) => `${clusterId} ${rejectedBy ?? ''}`).join();
  standings.set(candidates, words);
  return words;
}
