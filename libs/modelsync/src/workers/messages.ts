import type { DecodeWork, EncodedBlock, EncodeWork, FitWork } from '../codecs/work.ts';
import { CorruptDiffError, ModelSyncError } from '../errors.ts';

export type WorkerRequest =
  | { readonly id: number; readonly kind: 'encode'; readonly work: EncodeWork }
  | { readonly id: number; readonly kind: 'decode'; readonly work: DecodeWork }
  | { readonly id: number; readonly kind: 'fit'; readonly work: FitWork };

export interface WorkerAnswer {
  readonly id: number;
  readonly result?: EncodedBlock | Uint8Array;
  readonly error?: WorkerError;
}

/** An error on its way between threads, which keep messages but not classes. */
export interface WorkerError {
  readonly name: string;
  readonly message: string;
  readonly isBadInput: boolean;
}

export function describeError(error: unknown): WorkerError {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, message, isBadInput: error instanceof ModelSyncError };
}

/** Bad input is a CorruptDiffError again; everything else stays a plain error of the same name. */
export function reviveError({ name, message, isBadInput }: WorkerError): Error {
  const error = isBadInput ? Object.create(CorruptDiffError.prototype) : new Error(message);
  return Object.assign(error, { name, message });
}
