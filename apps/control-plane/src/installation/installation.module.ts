// What exists once in the process and is made before Nest: database, lease, NATS, secrets, blobs, configuration.

import { type DynamicModule, Global, Module } from '@nestjs/common';
import { LeaderLease, Store } from '#domain';
import { BlobStore } from '../blobs/blob-store.ts';
import { BlobTokens } from '../blobs/blob-tokens.ts';
import { Staging } from '../blobs/staging.ts';
import { ControlPlaneMetrics } from '../federation/metrics.ts';
import { Mutations } from '../mutations/mutations.ts';
import { ControlPlaneNats } from '../nats/control-plane-nats.ts';
import { Secrets } from '../secrets/secrets.ts';
import { PublicAddress, Settings } from './settings.ts';

export interface InstallationParts {
  readonly store: Store;
  readonly lease: LeaderLease;
  readonly nats: ControlPlaneNats;
  readonly secrets: Secrets;
  readonly metrics: ControlPlaneMetrics;
  readonly blobs: BlobStore;
  readonly staging: Staging;
  readonly settings: Settings;
  readonly address: PublicAddress;
}

@Global()
@Module({})
class InstallationModule {}

export function installationModule(parts: InstallationParts): DynamicModule {
  const providers = [
    { provide: Store, useValue: parts.store },
    { provide: LeaderLease, useValue: parts.lease },
    { provide: ControlPlaneNats, useValue: parts.nats },
    { provide: Secrets, useValue: parts.secrets },
    { provide: ControlPlaneMetrics, useValue: parts.metrics },
    { provide: BlobStore, useValue: parts.blobs },
    { provide: Staging, useValue: parts.staging },
    { provide: Settings, useValue: parts.settings },
    { provide: PublicAddress, useValue: parts.address },
    BlobTokens,
    Mutations,
  ];
  return { module: InstallationModule, providers, exports: providers };
}
