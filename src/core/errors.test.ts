import { describe, expect, it } from 'vitest';
import {
  CheckpointError,
  ConfigError,
  DataError,
  DownloadError,
  DTypeError,
  NumericsError,
  RuntimeUnavailableError,
  ShapeError,
  UditError,
} from './errors.ts';

describe('errors', () => {
  it('as text name their class once', () => {
    expect(String(new ConfigError({ where: 'sampling', problem: 'steps is 0' }))).toBe(
      'ConfigError: sampling: steps is 0',
    );
  });

  it('read as one line, then aligned facts, then one fix', () => {
    const error = new ShapeError({
      where: 'modulate',
      problem: 'axis D differs: x has 192, shift has 384',
      facts: [
        ['x', 'f32[2,1024,192]  encoder_level_1.0.norm1'],
        ['shift', 'f32[2,384]       t_embedder_2'],
      ],
      fix: 'level 1 takes the level-1 condition (width 192)',
    });
    expect(error.message).toMatchInlineSnapshot(`
      "ShapeError: modulate: axis D differs: x has 192, shift has 384
        x      f32[2,1024,192]  encoder_level_1.0.norm1
        shift  f32[2,384]       t_embedder_2
        fix: level 1 takes the level-1 condition (width 192)"
    `);
  });

  it('are one line without facts and fix', () => {
    const error = new ConfigError({ where: '--image-size', problem: '33 is not a multiple of 8' });
    expect(error.message).toMatchInlineSnapshot(`"ConfigError: --image-size: 33 is not a multiple of 8"`);
    expect(error.facts).toEqual([]);
    expect(error.fix).toBeUndefined();
    expect('cause' in error).toBe(false);
  });

  it.each([
    ShapeError,
    DTypeError,
    ConfigError,
    CheckpointError,
    DataError,
    DownloadError,
    RuntimeUnavailableError,
    NumericsError,
  ])('%o carries its name, its parts and its cause', (kind) => {
    const cause = new Error('below');
    const error = new kind({
      where: 'here',
      problem: '1 is not 2',
      facts: [['a', '1']],
      fix: 'use 2',
      cause,
    });
    expect(error).toBeInstanceOf(UditError);
    expect(error.name).toBe(kind.name);
    expect(error.message.startsWith(`${kind.name}: here: 1 is not 2`)).toBe(true);
    expect({ ...error }).toMatchObject({
      where: 'here',
      problem: '1 is not 2',
      facts: [['a', '1']],
      fix: 'use 2',
    });
    expect(error.cause).toBe(cause);
  });
});
