import { runProcess } from '#configuration';
import { createLogger, installSignalHandlers } from '#telemetry';
import { startGateway } from './application.ts';
import { gatewayConfiguration } from './configuration.ts';

/** The gateway process: `node main.js --config gateway.yaml`. */
await runProcess(gatewayConfiguration, async (settings) => {
  const logger = createLogger({ process: 'gateway', level: settings.log.level });
  const { shutdown } = await startGateway(settings, logger);
  installSignalHandlers(shutdown, logger);
});
