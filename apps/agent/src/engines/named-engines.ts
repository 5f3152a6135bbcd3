// The engines that the configuration names: which kinds there are, and what makes an adapter of each.
import { z } from 'zod';
import { attachedEngineSchema } from './attach/configuration.ts';
import { kubernetesEngineSchema } from './kubernetes/configuration.ts';
import { processEngineSchema } from './process/configuration.ts';

export const namedEngineSchema = z.discriminatedUnion('kind', [
  processEngineSchema,
  attachedEngineSchema,
  kubernetesEngineSchema,
]);
export type NamedEngineConfiguration = z.output<typeof namedEngineSchema>;
