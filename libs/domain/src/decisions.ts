/** A stored record of why something was decided, so that it can be explained later. */
export interface CandidateVerdict {
  readonly clusterId: string;
  readonly clusterName: string;
  /** Null when the candidate was rejected. */
  readonly score: number | null;
  /** Scorer → number, for accepted candidates. */
  readonly scores: Readonly<Record<string, number>>;
  /** The first filter that said no, in words that name what to change; null when none did. */
  readonly rejectedBecause: string | null;
  /** The name of that filter. */
  readonly rejectedBy: string | null;
}

/** Who made room, and what that cost. */
export interface DecisionVictim {
  readonly jobId: string;
  /** As the subject's tenant may know it: another tenant's job is not named. */
  readonly jobName: string;
  readonly attemptId: string;
  readonly priority: number;
  /** Device-seconds run since its last checkpoint when it was chosen. */
  readonly lostDeviceSeconds: number;
}

/** Of jobs; deployments have none. */
export interface DecisionDetail {
  readonly victims: readonly DecisionVictim[];
  /** What would have to change for it to run, each a sentence; empty when it runs. */
  readonly changes: readonly string[];
  /** Its place in its queue, 1 is next; null when it does not wait there. */
  readonly place: number | null;
  /** RFC 3339: when it starts at the latest, if what runs keeps its word; null when that cannot be told. */
  readonly startsBy: string | null;
}

export const DECISION_SUBJECTS = ['deployment', 'job'] as const;

export interface Decision {
  readonly id: string;
  readonly subjectKind: (typeof DECISION_SUBJECTS)[number];
  readonly subjectId: string;
  readonly epoch: number;
  /** SHA-256 of the canonical inputs: the same inputs give the same decision. */
  readonly inputsHash: string;
  readonly candidates: readonly CandidateVerdict[];
  /** One sentence: "placed 2/2 …" or "0/12 clusters fit: 5 lack …". */
  readonly outcome: string;
  readonly detail: DecisionDetail | null;
  readonly decidedAt: Date;
}
