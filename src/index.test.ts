import { expect, test } from 'vitest';
import * as udit from './index.ts';

test('offers what it means to, and no more', () => {
  expect(Object.keys(udit).sort().join(' ')).toMatchInlineSnapshot(
    `"CheckpointError ConfigError DTypeError DataError DownloadError NumericsError PRESETS RuntimeUnavailableError SAMPLERS ShapeError UditError compileInference compileTraining createModel createObjective createSampler fold formatGraph gradients graphOf initialise input normal openSavedModel parseSafetensors presetSpec randomKey tensorOf toNumbers toPixels"`,
  );
});
