import 'reflect-metadata';
import { runProcess } from '#configuration';
import { MessagingError, OperatorFilesError } from '#messaging';
import { SchemaOutdatedError, StoreUnreachableError } from '#store';
import { createLogger, installSignalHandlers } from '#telemetry';
import { startControlPlane } from './application.ts';
import { controlPlaneConfiguration } from './configuration.ts';
import { StartError } from './errors.ts';

/** `node main.js --config control-plane.yaml` */
await runProcess(controlPlaneConfiguration, async (configuration) => {
  const logger = createLogger({ process: 'control-plane', level: configuration.log.level });
  const starting = new AbortController();
  const giveUp = () => starting.abort();
  process.once('SIGTERM', giveUp).once('SIGINT', giveUp);
  try {
    const { shutdown } = await startControlPlane(configuration, { logger, signal: starting.signal });
    process.off('SIGTERM', giveUp).off('SIGINT', giveUp);
    installSignalHandlers(shutdown, logger);
    if (starting.signal.aborted) process.kill(process.pid, 'SIGTERM');
  } catch (error) {
    if (!isAdvice(error)) throw error;
    process.stderr.write(`${error.message}\n`, () => process.exit(1));
  }
});

/** Errors whose message is advice already; a stack would only hide it. */
function isAdvice(error: unknown): error is Error {
  const kinds = [StartError, StoreUnreachableError, SchemaOutdatedError, OperatorFilesError, MessagingError];
  return kinds.some((kind) => error instanceof kind);
}
