import { expect, it } from '@jest/globals';
import { createMetrics, METRICS, type MetricsProcess, Registry } from './index.ts';

const processes = Object.keys(METRICS) as MetricsProcess[];

it.each(processes)('%s exposes its own metrics and no others', async (process) => {
  const registry = new Registry();
  createMetrics(process, registry);
  const exposed = (await registry.getMetricsAsJSON())
    .map(({ name }) => name)
    .filter((name) => name.startsWith('atoll_'));
  expect(exposed.sort()).toEqual(
    Object.values(METRICS[process])
      .map(({ name }) => name)
      .sort(),
  );
});

it.each(processes)('%s names them by the rules', (process) => {
  const wrong = Object.values(METRICS[process]).filter(({ kind, name }) => {
    const isNamed = /^atoll_[a-z]+(_[a-z]+)*$/.test(name);
    const hasUnit = kind === 'counter' ? name.endsWith('_total') : kind === 'gauge' || name.endsWith('_seconds');
    return !isNamed || !hasUnit;
  });
  expect(wrong).toEqual([]);
});

it("includes Node's own metrics, and keeps registries apart", async () => {
  const [first, second] = [new Registry(), new Registry()];
  createMetrics('agent', first).desiredRevision.set(7);
  createMetrics('agent', second);
  expect(await first.metrics()).toMatch(/^atoll_desired_revision 7$/m);
  expect(await second.metrics()).toMatch(/^atoll_desired_revision 0$/m);
  expect(await second.metrics()).toContain('process_cpu_seconds_total');
});
