// `x-atoll-min-version: 3` on an inference request: only version 3 or a newer one of the model may answer it.
import { type OpenAiError, openAiError } from './errors.ts';

export const MIN_VERSION_HEADER = 'x-atoll-min-version';

/** 0 without the header: any version will do. A header that is no whole number of at least 1, or is there twice, is a 400. */
export function readMinVersion(header: string | string[] | undefined): number | OpenAiError {
  if (header === undefined) return 0;
  if (typeof header === 'string' && /^\d{1,15}$/.test(header) && Number(header) >= 1) return Number(header);
  return openAiError('invalid_request', {
    param: MIN_VERSION_HEADER,
    message: `The header '${MIN_VERSION_HEADER}' must be the number of a version: one whole number of at least 1.`,
  });
}

/** 503: who asks again may find it. `newest` is the highest number that serves; 0 when none does, or it is not known. */
export function versionNotAvailable(model: string, wanted: number, newest: number, why: string): OpenAiError {
  const serves = newest > 0 ? `the newest that serves is version ${newest}` : 'no version serves';
  const replicas = why === '' ? '' : ` (replicas: ${why})`;
  return openAiError('version_not_available', {
    param: MIN_VERSION_HEADER,
    message: `Version ${wanted} of '${model}' or a newer one cannot answer now; ${serves}${replicas}.`,
  });
}
