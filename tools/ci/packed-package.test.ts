import { expect, it } from 'vitest';
import { contentProblems, publicModules } from './packed-package.ts';

const COMPLETE = [
  'LICENSE',
  'NOTICE',
  'README.md',
  'CHANGELOG.md',
  'package.json',
  'bin/udit.js',
  'dist/cli/main.js',
  'dist/cli/main.d.ts',
  'dist/core/shape.js',
  'dist/engine/onnx/schema/onnx_pb.js',
  'dist/engine/runtime/session-worker-node.js',
  'dist/index.js',
];

const packed = (paths: readonly string[]) => ({
  filename: 'udit-0.1.0.tgz',
  size: 1,
  files: paths.map((path) => ({ path })),
});

it('finds nothing wrong with a complete package', () => {
  expect(contentProblems(packed(COMPLETE))).toEqual([]);
});

it('names what is missing and what does not belong', () => {
  const paths = COMPLETE.filter((path) => path !== 'NOTICE' && path !== 'dist/cli/main.js');
  expect(contentProblems(packed([...paths, 'dist/core/shape.test.js', 'src/core/shape.ts']))).toEqual([
    'the package misses NOTICE',
    'the package misses dist/cli/main.js',
    'the package should not hold dist/core/shape.test.js',
    'the package should not hold src/core/shape.ts',
  ]);
});

it('lists the modules that users may import', () => {
  const exports = { '.': { default: './dist/index.js' }, './graph': { default: './dist/doors/graph.js' } };
  expect(publicModules({ ...exports, './weights/*': './weights/*' })).toEqual(['udit', 'udit/graph']);
});
