import { describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { Store } from '#domain';
import { jobOf } from '#testing';
import type { BlobStore } from '../blobs/blob-store.ts';
import type { FleetDevices, FleetDevicesReader } from '../queues/fleet-devices.ts';
import { JobForesight } from './job-foresight.ts';

Logger.overrideLogger(false);

const job = jobOf({ name: 'count' });

function foresight(read: () => Promise<FleetDevices>): JobForesight {
  const store = { read: { jobs: { find: async () => job } } } as unknown as Store;
  return new JobForesight(store, { read } as FleetDevicesReader, {} as BlobStore);
}

describe('what is said of a job that was taken', () => {
  it('is nothing while no cluster has reported', async () => {
    const warned = foresight(async () => ({ totals: {}, clusters: [] })).warn(job.tenantId, job.name);
    expect(await warned).toBeNull();
  });

  it('is that nothing is known, when the fleet cannot be looked at: it is taken all the same', async () => {
    const warned = foresight(() => Promise.reject(new Error('no database'))).warn(job.tenantId, job.name);
    expect(await warned).toMatch(/^whether it can ever run is not known/);
  });
});
