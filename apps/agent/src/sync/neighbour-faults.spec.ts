import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { config, openStory, type PlannedStory, second } from '../../test/planned-story.ts';

jest.setTimeout(60_000);

describe('neighbours that are not at fault, and those that are', () => {
  let story: PlannedStory;
  beforeEach(async () => {
    story = await openStory();
  });
  afterEach(() => story.stop());

  it('a token that came of age on the way: the same neighbour goes on with that of the next plan', async () => {
    const { world, sync, v2 } = story;
    const [model, small] = [world.whole(second), world.whole(config)];
    world.answers.set(`edge-2 ${small.digest}`, [(_request, response) => void response.writeHead(403).end()]);
    const plan = () => world.go([world.step([model, small], { source: 'edge-2' })], { path: 'whole-files' });
    world.plans = [plan(), plan()];
    expect(await world.settle(sync, v2)).toMatchObject({ phase: 'Held' });
    expect(world.avoided).toEqual([]);
    expect(world.requests).toEqual(['edge-2 model.safetensors@2', 'edge-2 config.json@3', 'edge-2 config.json@3']);
  });
});
