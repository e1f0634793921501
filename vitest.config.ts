import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{src,test,tools}/**/*.test.ts'],
    testTimeout: 60_000,
    pool: 'forks',
  },
});
