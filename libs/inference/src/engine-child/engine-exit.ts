// Reasons for the engine to end, each with the exit code by which the agent tells them apart.

export class EngineExit extends Error {
  constructor(
    message: string,
    readonly exitCode: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'EngineExit';
  }
}

/** The environment, `spec.json` or `token` is missing or not valid. */
export const exitInvalidSpec = 2;
/** `spec.json` is gone: the agent withdrew this instance. */
export const exitWithdrawn = 3;
/** node-llama-cpp is not installed where it was looked for. */
export const exitModulesAbsent = 4;
/** The model file could not be loaded. */
export const exitModelFailed = 5;
