/** The command line itself is wrong: exit 2. The message says what would be right. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** What was asked for could not be done: exit 1. The message is fit to be shown as it is. */
export class FailedError extends Error {
  override readonly name = 'FailedError';
}

/** The user pressed Ctrl-C: exit 130. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}
