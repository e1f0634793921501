import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{src,test,tools,bench}/**/*.test.ts'],
    // Ends a test that hangs; none depends on how busy the machine is.
    testTimeout: 240_000,
    hookTimeout: 240_000,
    pool: 'forks',
    // Vitest leaves a core idle by default, which on two cores is half of them.
    maxWorkers: '100%',
  },
});
