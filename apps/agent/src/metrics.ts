/** What the agent counts, as nouns of its own; the names of the metrics stand in the telemetry lib. Must not throw. */
export interface AgentMetrics {
  /** A state document was truncated or flipped, and an older generation (or nothing) was used instead. */
  stateDamaged(document: string): void;
  /** A desired document was refused by the fence, or a message was not of the contract. */
  desiredRefused(reason: string): void;
  /** `source`: `registry` or `neighbour`. */
  syncedBytes(bytes: number, source: string): void;
  /** A file of so many bytes was made from an encoding of this profile. */
  fileMade(profile: string, bytes: number): void;
  syncFailed(): void;
  /** A fetch had to go another way than planned: `bad-artifact`, `bad-neighbour`, `bad-base`, `bad-plan`, `no-plan`. */
  syncDiverted(cause: string): void;
  /** Content on disk was not what it should be. */
  versionDrifted(): void;
  /** Bytes of files sent to a neighbour. */
  neighbourServed(bytes: number): void;
  neighbourRefused(status: number): void;
  /** Bytes of held versions that were hashed again. */
  verifiedBytes(bytes: number): void;
  engineStarted(): void;
  engineFailed(): void;
  engineAdopted(): void;
  /** An engine process of nobody's was ended. */
  orphanEnded(): void;
  requestFinished(outcome: string, seconds: number): void;
  linkRefused(): void;
  reportPublished(): void;
  eventsDropped(count: number): void;
  taskStarted(): void;
  taskAdopted(): void;
  /** `outcome`: the phase that it ended in. */
  taskEnded(outcome: string): void;
  /** A checkpoint of so many bytes is in the registry. */
  checkpointSaved(bytes: number): void;
}

const nothing = () => undefined;

/** Counts nothing: for tests of parts. */
export const silentMetrics: AgentMetrics = {
  stateDamaged: nothing,
  desiredRefused: nothing,
  syncedBytes: nothing,
  fileMade: nothing,
  syncFailed: nothing,
  syncDiverted: nothing,
  versionDrifted: nothing,
  neighbourServed: nothing,
  neighbourRefused: nothing,
  verifiedBytes: nothing,
  engineStarted: nothing,
  engineFailed: nothing,
  engineAdopted: nothing,
  orphanEnded: nothing,
  requestFinished: nothing,
  linkRefused: nothing,
  reportPublished: nothing,
  eventsDropped: nothing,
  taskStarted: nothing,
  taskAdopted: nothing,
  taskEnded: nothing,
  checkpointSaved: nothing,
};
