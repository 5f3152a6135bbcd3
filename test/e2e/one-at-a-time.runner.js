// Jest runs the tests of this runner one after the other, apart from all other tests: each e2e spec starts a whole
// fleet of processes, whose timings mean nothing when several fleets share two cores.
import TestRunner from 'jest-runner';

export default class OneAtATimeRunner extends TestRunner {
  isSerial = true;
}
