#!/usr/bin/env node
// In a checkout the sources run as they are (no build step to forget); the published package ships dist/.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

if (existsSync(new URL('../src/cli/main.ts', import.meta.url))) {
  if (await learnTypeScript()) await import('../src/cli/main.ts');
  else fail('tsx is not installed', 'run npm ci in that folder');
} else if (existsSync(new URL('../dist/cli/main.js', import.meta.url))) {
  await import('../dist/cli/main.js');
} else {
  fail(
    'dist/cli/main.js is missing: scripts were switched off when the package was made',
    'install from git without --ignore-scripts, or make the archive with npm run pack',
  );
}

async function learnTypeScript() {
  try {
    const { register } = await import('tsx/esm/api');
    register();
    return true;
  } catch (error) {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return false;
    throw error;
  }
}

function fail(problem, fix) {
  console.error(`udit: ${fileURLToPath(new URL('..', import.meta.url))}: ${problem}\n  fix: ${fix}`);
  process.exitCode = 1;
}
