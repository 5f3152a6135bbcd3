export { type ConfigurationDefinition, type ConfigurationInput, defineConfiguration } from './definition.ts';
export { renderEffective } from './effective.ts';
export { ConfigurationDefinitionError, ConfigurationError, type ConfigurationProblem } from './errors.ts';
export type { ConfigurationFile, ReadFile } from './file.ts';
export {
  type Configuration,
  type DeepReadonly,
  foreignVariables,
  type LoadOptions,
  loadConfiguration,
} from './load.ts';
export { listenOn, listenSchema, logSchema, natsSchema, portSchema, shutdownSchema } from './pieces.ts';
export { type RunProcessOptions, runProcess } from './run-process.ts';
export { Secret, secret } from './secret.ts';
