import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { cpuBackend } from '../src/engine/runtime/cpu-node.ts';
import { listFixtures, nameOf } from '../tools/parity/fixture.ts';
import { formatResult } from '../tools/parity/report.ts';
import { checkFixture } from '../tools/parity/run.ts';

const FOLDER = fileURLToPath(new URL('fixtures', import.meta.url));

/** What must be recognised and pass, so that nothing drops out unnoticed. */
const EXPECTED = {
  AutoencoderKL: ['vae/tiny_8_16_16_24_deprecated'],
  'AutoencoderKL at full size': ['vae/sd_vae_formula'],
  TAESD: ['vae/taesd_formula'],
  'centre crop': ['data/center_crop'],
  'checkpoint files': ['checkpoints/expected'],
  'diffusion steps and losses': ['diffusion/steps_and_losses', 'diffusion/steps_and_losses_other_types'],
  'full size': ['fullsize/DiT-S_4', 'fullsize/SiT-S_2'],
  'DINOv2 features': ['eval/dinov2_vits14_98x126'],
  metrics: [
    'eval/fid_500x64',
    'eval/fid_constant_feature',
    'eval/fid_signed_300x16',
    'eval/fid_singular_40x64',
  ],
  'Inception features': ['eval/inception_40x56'],
  'bilinear resize': ['eval/resize_tf1'],
  initialisation: ['init/DiT-S_2', 'init/U-DiT-S_part'],
  'keys of AutoencoderKL': ['vae/sd_vae_keys'],
  'model forward': [
    'models/dit/dit_p2_nosigma',
    'models/dit/dit_p4',
    'models/llama/dit_llama_p4',
    'models/udit/attn_none',
    'models/udit/attn_none_posemb_none_df1',
    'models/udit/base16',
    'models/udit/base16_intermediates',
    'models/udit/down_factor1',
    'models/udit/down_factor4',
    'models/udit/down_factor_list_42124',
    'models/udit/down_shortcut0',
    'models/udit/ffn_basic',
    'models/udit/learn_sigma0',
    'models/udit/posemb_none',
    'models/udit/rep0',
  ],
  'parameters and MACs': ['fullsize/macs_params'],
  positions: ['models/dit/pos_embed'],
  respacing: ['diffusion/respacing'],
  'sampling loop': ['diffusion/loop_ddpm10_nocfg_clip'],
  schedule: ['diffusion/schedule_cosine1000', 'diffusion/schedule_linear1000'],
  'transport likelihood': ['sit/likelihood'],
  'transport losses and conversions': ['sit/losses_and_conversions_gvp'],
  'transport sampling': ['sit/sampling_part'],
  training: ['training/dit_drop/expected', 'training/udit_drop/expected'],
};

const paths = await listFixtures(FOLDER);

describe.each(Object.entries(EXPECTED))('parity with the reference: %s', (kind, names) => {
  test.each(names)('%s', async (name) => {
    const path = paths.find((candidate) => nameOf(candidate, FOLDER) === name)!;
    const result = await checkFixture(path, FOLDER, cpuBackend);
    expect(result.status, formatResult(result)).toBe('passed');
    expect(result.kind).toBe(kind);
  });
});
