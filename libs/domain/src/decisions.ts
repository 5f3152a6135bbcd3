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

export interface Decision {
  readonly id: string;
  readonly subjectKind: 'deployment';
  readonly subjectId: string;
  readonly epoch: number;
  /** SHA-256 of the canonical inputs: the same inputs give the same decision. */
  readonly inputsHash: string;
  readonly candidates: readonly CandidateVerdict[];
  /** One sentence: "placed 2/2 …" or "0/12 clusters fit: 5 lack …". */
  readonly outcome: string;
  readonly decidedAt: Date;
}
