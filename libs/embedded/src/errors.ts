/** A server that Atoll brings along could not be found or started; the message says what to do. */
export class EmbeddedServerError extends Error {
  constructor(
    message: string,
    /** The end of the server's own log, empty when there is none. */
    readonly logTail = '',
    options?: ErrorOptions,
  ) {
    super(logTail === '' ? message : `${message}\n${logTail}`, options);
    this.name = 'EmbeddedServerError';
  }
}
