/** What the agent counts, as nouns of its own; the names of the metrics stand in the telemetry lib. Must not throw. */
export interface AgentMetrics {
  /** A state document was truncated or flipped, and an older generation (or nothing) was used instead. */
  stateDamaged(document: string): void;
  /** A desired document was refused by the fence, or a message was not of the contract. */
  desiredRefused(reason: string): void;
  syncedBytes(bytes: number): void;
  syncFailed(): void;
  /** Bytes of files sent to a neighbour. */
  neighbourServed(bytes: number): void;
  neighbourRefused(status: number): void;
  /** Bytes of held versions that were hashed again. */
  verifiedBytes(bytes: number): void;
  versionDrifted(): void;
  engineStarted(): void;
  engineFailed(): void;
  engineAdopted(): void;
  /** An engine process of nobody's was ended. */
  orphanEnded(): void;
  requestFinished(outcome: string, seconds: number): void;
  linkRefused(): void;
  reportPublished(): void;
  eventsDropped(count: number): void;
}

const nothing = () => undefined;

/** Counts nothing: for tests of parts. */
export const silentMetrics: AgentMetrics = {
  stateDamaged: nothing,
  desiredRefused: nothing,
  syncedBytes: nothing,
  syncFailed: nothing,
  neighbourServed: nothing,
  neighbourRefused: nothing,
  verifiedBytes: nothing,
  versionDrifted: nothing,
  engineStarted: nothing,
  engineFailed: nothing,
  engineAdopted: nothing,
  orphanEnded: nothing,
  requestFinished: nothing,
  linkRefused: nothing,
  reportPublished: nothing,
  eventsDropped: nothing,
};
