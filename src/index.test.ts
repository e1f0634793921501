import { expect, test } from 'vitest';
import * as udit from './index.ts';

test('offers what it means to, and no more', () => {
  expect(Object.keys(udit).sort().join(' ')).toMatchInlineSnapshot(
    `"CheckpointError ConfigError DTypeError DataError DownloadError NumericsError PRESETS RuntimeUnavailableError SAMPLERS ShapeError UditError bytesInMemory bytesOfBlob compileInference compileTraining createModel createObjective createSampler findModel fold formatGraph gradients graphOf initialise input logLikelihood normal openModel openSavedModel openTensors parseSafetensors presetSpec randomKey readTensors tensorOf toNumbers toPixels"`,
  );
});
