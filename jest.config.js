// One configuration, four projects, in the order of what they cost to run. Started by `./atoll test`,
// which sets --experimental-vm-modules (Jest's ESM mode) and brings the servers' binaries.
const shared = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^#(.*)$': '<rootDir>/libs/$1/src/index.ts' },
  transform: { '^.+\\.ts$': '<rootDir>/test/intrinsics.transform.js' },
  cacheDirectory: '<rootDir>/.cache/jest',
  modulePathIgnorePatterns: ['<rootDir>/.cache', '<rootDir>/.atoll'],
};

export default {
  // Of specs that say that they may run side by side: those that mostly wait, for processes.
  maxConcurrency: 4,
  testSequencer: '<rootDir>/test/heaviest-first.sequencer.js',
  // Two milliseconds after its last spec a worker leaves its event loop; but a busy machine needs more than Jest's half second
  // to take down the heap of some hundred specs, and Jest then says that something was left open. What is left open keeps a
  // worker for ever, and is still told.
  workerGracefulExitTimeout: 10_000,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/{apps,libs,deploy}/**/*.spec.ts', '<rootDir>/test/{architecture,docs}.spec.ts'],
    },
    {
      ...shared,
      displayName: 'simulation',
      testMatch: ['<rootDir>/test/simulation/**/*.spec.ts'],
      moduleNameMapper: { ...shared.moduleNameMapper, '^uuid$': '<rootDir>/test/simulation/seeded-ids.ts' },
    },
    {
      ...shared,
      displayName: 'integration',
      testMatch: ['<rootDir>/test/integration/**/*.spec.ts'],
      globalSetup: '<rootDir>/test/integration/servers.setup.ts',
      globalTeardown: '<rootDir>/test/integration/servers.teardown.ts',
    },
    {
      ...shared,
      displayName: 'e2e',
      testMatch: ['<rootDir>/test/e2e/**/*.spec.ts'],
      runner: '<rootDir>/test/e2e/one-at-a-time.runner.js',
    },
  ],
};
