/** The process cannot start; the message says what to do. Printed as it is, without a stack. */
export class StartError extends Error {
  override readonly name = 'StartError';
}

/** A refusal of a request that is no refusal of intent: authentication, rate, size, range. Becomes a problem as it is. */
export class RequestError extends Error {
  override readonly name = 'RequestError';

  constructor(
    readonly status: number,
    /** Last part of `urn:atoll:problem:<code>`. */
    readonly code: string,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
    readonly errors: readonly { field: string; message: string }[] = [],
    /** Further members of the problem, for programs. */
    readonly extension: Readonly<Record<string, number | string>> = {},
  ) {
    super(message);
  }
}
