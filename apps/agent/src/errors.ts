// Every error that the agent throws. What is expected at run time is a value; these end something.

/** The state folder belongs to another living agent. */
export class StateFolderInUseError extends Error {
  override readonly name = 'StateFolderInUseError';
}

/** The centre said, not merely did not say, that this cluster is no longer a member. The process exits with code 3. */
export class ClusterRemovedError extends Error {
  override readonly name = 'ClusterRemovedError';
}

/** A newer agent with the same identity serves the cluster. The process exits with code 4. */
export class AgentFencedError extends Error {
  override readonly name = 'AgentFencedError';
}

/** The centre refused the join for good: the token is used, expired or foreign, or the name is taken. Exit code 2. */
export class JoinRefusedError extends Error {
  override readonly name = 'JoinRefusedError';
}

/** The control plane answered with a problem document. */
export class ControlPlaneProblemError extends Error {
  override readonly name = 'ControlPlaneProblemError';
  readonly status: number;
  /** The part after `urn:atoll:problem:`; empty when there was none. */
  readonly code: string;

  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/**
 * What a broken transfer is about; callers switch on this, never on message texts.
 * unauthorized: the token was refused. wrong-bytes: the source has other bytes, or fewer or more, than it should; torn:
 * so it seems, but an earlier try left the first of them. gone: the source has no such blob. unreachable: no answer, a
 * broken one, or a status that may pass. disk-full: this side cannot take it.
 */
export type SyncFault = 'unauthorized' | 'wrong-bytes' | 'torn' | 'gone' | 'unreachable' | 'disk-full' | 'other';

/** Why a version could not be fetched. */
export class SyncError extends Error {
  override readonly name = 'SyncError';
  readonly fault: SyncFault;

  constructor(message: string, options: { fault?: SyncFault; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.fault = options.fault ?? 'other';
  }

  /** A new blob token may help. */
  get isUnauthorized(): boolean {
    return this.fault === 'unauthorized';
  }
}

/** An encoding came as it was promised and does not make the file that it should: it is no good, wherever it is from. */
export class BadArtifactError extends Error {
  override readonly name = 'BadArtifactError';
}

/** An engine did not become ready, or ended; the message holds the last line of its log. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
}

/** A folder that a job left cannot be kept as it is; the message says which path and why. */
export class ContentRefusedError extends Error {
  override readonly name = 'ContentRefusedError';
}

/**
 * Why bytes of a job are not in the registry. refused: it says no, and will again. changed: they are other bytes than
 * those that were hashed. unreachable: no answer, or one that may pass.
 */
export type UploadFault = 'refused' | 'changed' | 'unreachable';

export class UploadError extends Error {
  override readonly name = 'UploadError';
  readonly fault: UploadFault;

  constructor(fault: UploadFault, message: string, cause?: unknown) {
    super(message, { cause });
    this.fault = fault;
  }
}

/** The Kubernetes API refused, or gave no answer. */
export class KubernetesError extends Error {
  override readonly name = 'KubernetesError';
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** As the API names it: `Conflict`, `Expired`, `Forbidden` …; empty when it did not. */
  readonly reason: string;
  /** Fields that another manager owns, when that is why: `conflict with "kubectl" using apps/v1: .spec.replicas`. */
  readonly conflicts: readonly string[];

  constructor(
    status: number,
    reason: string,
    message: string,
    options: { conflicts?: string[]; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.status = status;
    this.reason = reason;
    this.conflicts = options.conflicts ?? [];
  }

  /** What the caller has seen of the collection is too old to go on from. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone';
  }
}

/** The message of anything that was thrown. By shape: an error of another realm is no instance of our Error. */
export function messageOf(cause: unknown): string {
  const message = (cause as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' ? message : String(cause);
}

export function hasCode(cause: unknown, ...codes: string[]): boolean {
  return codes.includes((cause as NodeJS.ErrnoException | null | undefined)?.code ?? '');
}

/** Whether the disk, or what this user may have of it, is full. Looks at the causes too. */
export function isDiskFull(cause: unknown): boolean {
  for (let each = cause, depth = 0; each && depth < 5; each = (each as { cause?: unknown }).cause, depth += 1) {
    if (hasCode(each, 'ENOSPC', 'EDQUOT')) return true;
  }
  return false;
}
