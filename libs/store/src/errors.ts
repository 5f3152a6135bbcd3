/** Low-level errors of Postgres, translated once, at the edge of this library, into what the caller can do about them. */
import { QueryFailedError } from 'typeorm';
import { RefusedError, refuse } from '#domain';

/** Postgres cannot be reached, ended the connection, or has no free one in time. Nothing is known to be written. */
export class StoreUnreachableError extends Error {
  constructor(cause: unknown) {
    super(`the database cannot be reached: ${messageOf(cause)}; check that Postgres runs and that its URL is right`, {
      cause,
    });
    this.name = 'StoreUnreachableError';
  }
}

/** A statement or a lock took longer than its bound; the transaction was rolled back and may be tried again. */
export class StoreTimeoutError extends Error {
  constructor(cause: unknown) {
    super(`the database did not answer in time: ${messageOf(cause)}; try again`, { cause });
    this.name = 'StoreTimeoutError';
  }
}

/** Deadlock or serialization failure that was still there after the last retry; nothing was written. */
export class StoreContentionError extends Error {
  constructor(cause: unknown) {
    super(`transactions stood in each other's way too often: ${messageOf(cause)}; try again`, { cause });
    this.name = 'StoreContentionError';
  }
}

/** The schema is not the one that this program was built for. */
export class SchemaOutdatedError extends Error {
  constructor(readonly missing: readonly string[]) {
    super(`the database lacks ${missing.length} migration(s) (${missing.join(', ')}); run the migrate command first`);
    this.name = 'SchemaOutdatedError';
  }
}

/** A write on `Store.read`: a mistake in the program, not in its input. */
export class ReadOnlyRowsError extends Error {
  constructor() {
    super('writes and row locks need Store.transaction; Store.read only reads');
    this.name = 'ReadOnlyRowsError';
  }
}

/** A unique or foreign key stands against the write: a refusal, so the admin API answers 409 without more ado. */
export class ConflictError extends RefusedError {
  constructor(
    readonly constraint: string,
    reason: string,
    cause?: unknown,
  ) {
    super(refuse.conflict(reason));
    this.name = 'ConflictError';
    this.message = reason;
    this.cause = cause;
  }
}

/** Constraint → what it means to the person whose request met it. */
const CONSTRAINT_MEANING: Readonly<Record<string, string>> = {
  clusters_name_unique: 'a cluster with this name has already joined; choose another name or remove that cluster first',
  clusters_public_key_unique: 'this agent key already belongs to a cluster; make a new key for a new cluster',
  api_keys_name_unique: 'an API key with this name exists; choose another name or revoke that key first',
  models_name_unique: 'a model with this name exists; choose another name',
  deployments_name_unique: 'a deployment with this name exists or is still being removed; choose another name',
  deployments_model_fk: 'the model is used by a deployment, or does not exist any more',
  deployments_version_fk: 'the version is used by a deployment, or does not exist any more',
  deployments_queue_fk: 'the queue is used by a deployment, or does not exist any more',
  queues_name_unique: 'a queue with this name exists; choose another name',
  queues_parent_fk: 'the queue has queues below it, or its parent does not exist any more',
  priority_classes_name_unique: 'a priority class with this name exists; choose another name',
  budgets_name_unique: 'a budget with this name exists; choose another name',
  budgets_key_fk: 'the key does not exist',
  tenant_present: 'the tenant was removed',
  tenants_name_unique: 'a tenant with this name exists; choose another name',
  jobs_name_unique: 'a job with this name exists; choose another name or remove that job first',
  jobs_queue_fk: 'the queue is used by a job, or does not exist any more',
  job_mounts_version_fk: 'a version that the job mounts does not exist any more',
  attempts_job_fk: 'the job does not exist any more',
  attempts_live_unique: 'an attempt at this job is under way',
  placements_version_fk: 'the version is used by a placement, or does not exist any more',
  placements_deployment_fk: 'the deployment does not exist any more',
  placements_cluster_fk: 'the cluster does not exist any more',
};

const UNREACHABLE_NODE_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EAI_AGAIN',
  'ENOENT',
  'ENETUNREACH',
]);
const TIMEOUT_CODES = new Set(['57014', '55P03', '25P03', '25P04']);
const CONTENTION_CODES = new Set(['40001', '40P01']);
const UNSTORABLE = 'something in it cannot be stored: text that is not whole Unicode, or a number that is too large';
const UNSTORABLE_CODES = new Set(['22021', '22P05', '22P02', '22003']);

/** Whether the same transaction, run again, may well succeed. */
export function isContention(error: unknown): boolean {
  return CONTENTION_CODES.has(codeOf(error));
}

/** The caller's error for a driver's one; anything that did not come from the driver is returned as it is. */
export function translateError(error: unknown): unknown {
  const code = codeOf(error);
  if (isContention(error)) return new StoreContentionError(error);
  if (TIMEOUT_CODES.has(code)) return new StoreTimeoutError(error);
  if (code === '23505' || code === '23503') return conflictOf(error);
  if (UNSTORABLE_CODES.has(code)) return new RefusedError(refuse.invalid('body', UNSTORABLE));
  if (UNREACHABLE_NODE_CODES.has(code) || code.startsWith('08') || code.startsWith('57P') || code === '53300') {
    return new StoreUnreachableError(error);
  }
  return isLostConnection(error) ? new StoreUnreachableError(error) : error;
}

function conflictOf(error: unknown): ConflictError {
  const { constraint } = driverErrorOf(error) as { constraint?: string };
  const name = constraint ?? 'unknown';
  return new ConflictError(name, CONSTRAINT_MEANING[name] ?? `stands against ${name}`, error);
}

/** The driver gives no code for these, only words. */
function isLostConnection(error: unknown): boolean {
  if (error instanceof StoreUnreachableError) return false;
  return /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Query read timeout|Query ?runner already released|pool after calling end/i.test(
    messageOf(error),
  );
}

function driverErrorOf(error: unknown): object {
  if (error instanceof QueryFailedError) return error.driverError;
  return typeof error === 'object' && error !== null ? error : {};
}

function codeOf(error: unknown): string {
  const { code } = driverErrorOf(error) as { code?: unknown };
  return typeof code === 'string' ? code : '';
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
