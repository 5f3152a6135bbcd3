// In which order Jest starts the spec files: those that failed last time, then the slowest. Where it does not know yet
// what takes how long, as in a fresh clone, it would go by the size of the file; but the simulations are short files that
// run for a minute, and one that starts last is waited for with nothing beside it. So the projects decide first there.
import Sequencer from '@jest/test-sequencer';

/** By what a file of theirs costs; those of e2e run alone, after all others, whatever their place. */
const HEAVIEST_FIRST = ['simulation', 'integration', 'unit', 'e2e'];
const FAILED = -1;
const KNOWN = HEAVIEST_FIRST.length;

export default class HeaviestFirstSequencer extends Sequencer {
  sort(tests) {
    // The sort is stable: within a place Jest's own order stays.
    return [...super.sort(tests)].sort((one, other) => this.placeOf(one) - this.placeOf(other));
  }

  /** Jest's own order has what it does not know between what failed and what it knows; so has this. */
  placeOf(test) {
    if (this.hasFailed(test)) return FAILED;
    return this.time(test) === undefined ? HEAVIEST_FIRST.indexOf(test.context.config.displayName?.name) : KNOWN;
  }
}
