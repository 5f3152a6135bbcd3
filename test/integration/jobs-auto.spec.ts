// Claims that say `auto`, through the admin API: sized from the files of the real model and the devices that were reported.

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DEFAULT_TENANT_ID, type Node } from '#domain';
import { type Installation, startInstallation } from './admin.fixture.ts';
import { publishFiles, storeOf, tinyLlm } from './registry.fixture.ts';
import { aReport, insertCluster, observe } from './store.fixture.ts';

const MODEL = 'tiny-llm';
let installation: Installation;

/** Nodes of linked NPUs, so small that the tiny model's training states need more than one of them. */
const npus = (nodes: number, devices: number, memoryBytes: number): Node[] =>
  Array.from({ length: nodes }, (_, node) => ({
    name: `n${node}`,
    rack: 'r0',
    devices: Array.from({ length: devices }, (_device, index) => ({
      id: `n${node}-${index}`,
      deviceType: 'huawei.com/ascend-npu' as const,
      memoryBytes,
      linkDomain: `n${node}`,
    })),
  }));

beforeAll(async () => {
  installation = await startInstallation();
  const { 'config.json': _, ...withoutConfig } = await tinyLlm('v1');
  await installation.call('POST', '/api/v1/models', { body: { name: MODEL } });
  await installation.call('POST', '/api/v1/models', { body: { name: 'bare' } });
  await publishFiles(installation, MODEL, await tinyLlm('v1'));
  await publishFiles(installation, 'bare', withoutConfig);
  const store = storeOf(installation);
  for (const [name, nodes] of [
    ['large', npus(2, 6, 2e9)],
    ['small', npus(1, 2, 1e9)],
  ] as const) {
    const cluster = await insertCluster(store, { tenantId: DEFAULT_TENANT_ID, name, kind: 'central', phase: 'Ready' });
    await observe(store, cluster.id, { ...aReport(cluster.id), nodes });
  }
}, 60_000);
afterAll(() => installation?.stop(), 60_000);

const plan = (body: object) =>
  installation.call('POST', '/api/v1/jobs?dryRun=true', {
    body: {
      name: 'tune',
      kind: 'fine-tune',
      command: ['true'],
      claim: 'auto',
      mounts: { base: { model: MODEL } },
      ...body,
    },
  });
const submit = (body: object) =>
  installation.call('POST', '/api/v1/jobs', {
    body: { kind: 'fine-tune', command: ['true'], claim: 'auto', mounts: { base: { model: MODEL } }, ...body },
  });

describe('a claim that says auto', () => {
  it('becomes devices, members and arguments', async () => {
    const made = await submit({ name: 'tuned', launcher: 'msrun', selector: { clusterNames: ['large'] } });
    expect(made).toMatchObject({
      status: 201,
      body: {
        specification: {
          tasks: { size: 1, minimum: 1 },
          claim: { deviceType: 'huawei.com/ascend-npu', count: expect.any(Number) },
          environment: {
            ATOLL_TENSOR_PARALLEL: expect.stringMatching(/^[1236]$/),
            ATOLL_PIPELINE_PARALLEL: expect.stringMatching(/^\d+$/),
            ATOLL_PARALLEL_ARGUMENTS: expect.stringMatching(/^--model_parallel \d+ --pipeline_stage \d+$/),
          },
        },
      },
    });
    const { claim, environment } = made.body.specification;
    const devices = Number(environment.ATOLL_TENSOR_PARALLEL) * Number(environment.ATOLL_PIPELINE_PARALLEL);
    expect(claim.count).toBe(devices);
    expect(claim.memoryBytesPerDevice).toBeLessThanOrEqual(2e9);
  });

  it('a dry run and the events say what it came to, and why nothing smaller', async () => {
    const why = /a device; .*(does not fit|nothing smaller exists)/;
    const large = { selector: { clusterNames: ['large'] } };
    expect(await plan(large)).toMatchObject({ status: 200, body: { sized: expect.stringMatching(why) } });
    expect(await submit({ name: 'told', ...large })).toMatchObject({ status: 201 });
    const events = await installation.call('GET', '/api/v1/jobs/told/events');
    expect(events.body.items.at(-1)).toMatchObject({ kind: 'Submitted', message: expect.stringMatching(why) });
  });

  it('is worked out without a config.json too, from the tensors', async () => {
    const made = await submit({ name: 'bare', kind: 'batch-inference', mounts: { base: { model: 'bare' } } });
    expect(made).toMatchObject({
      status: 201,
      body: { specification: { environment: { ATOLL_TENSOR_PARALLEL: '1' } } },
    });
  });

  it('is refused with the reason where nothing fits', async () => {
    expect(await plan({ selector: { clusterNames: ['small'] } })).toMatchObject({
      status: 422,
      body: {
        detail: expect.stringMatching(/auto finds no split that fits: small: .* of weights do not fit on 2 huawei/),
      },
    });
    expect(await plan({ selector: { clusterNames: ['nobody'] } })).toMatchObject({
      status: 422,
      body: { detail: expect.stringMatching(/no cluster that may take it has reported devices/) },
    });
  });

  it('needs a base to be sized from', async () => {
    expect(await plan({ mounts: {} })).toMatchObject({
      status: 422,
      body: { errors: [{ field: 'claim', message: expect.stringMatching(/mount "base"/) }] },
    });
  });
});

describe('a deployment whose claim says auto', () => {
  it('gets the devices that its version needs to be served', async () => {
    const body = { name: 'served', model: MODEL, claim: 'auto', selector: { clusterNames: ['large'] } };
    const made = await installation.call('POST', '/api/v1/deployments', { body });
    expect(made).toMatchObject({
      status: 201,
      body: { claim: { deviceType: 'huawei.com/ascend-npu', count: 1, memoryBytesPerDevice: expect.any(Number) } },
    });
  });
});
