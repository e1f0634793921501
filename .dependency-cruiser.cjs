// What may import what. docs/ARCHITECTURE.md says why; test/architecture.test.ts proves that each rule reports.

/** Every layer (a folder of src/) with the layers it may import beside itself. A folder that is not here is an error. */
const LAYERS_BELOW = {
  core: [],
  graph: ['core'],
  interp: ['core', 'graph'],
  onnx: ['core', 'graph'],
  runtime: ['core', 'graph', 'onnx'],
  nn: ['core', 'graph'],
  models: ['core', 'graph', 'nn'],
  diffusion: ['core', 'graph'],
  optim: ['core', 'graph'],
  files: ['core'],
  compile: ['core', 'graph', 'onnx', 'runtime', 'files'],
  checkpoint: ['core', 'files'],
  data: ['core', 'files'],
  hub: ['core', 'files', 'data'],
  metrics: ['core'],
  plot: ['core', 'files'],
  'saved-model': ['files', 'core', 'graph', 'nn', 'models', 'diffusion', 'checkpoint'],
  inspect: ['core', 'graph', 'nn', 'models'],
};
const LIBRARY_LAYERS = Object.keys(LAYERS_BELOW);
LAYERS_BELOW.sampling = LIBRARY_LAYERS;
LAYERS_BELOW.spectrum = [...LIBRARY_LAYERS, 'sampling'];
LAYERS_BELOW.train = [...LIBRARY_LAYERS, 'sampling'];
LAYERS_BELOW.export = [...LIBRARY_LAYERS, 'sampling'];
LAYERS_BELOW.ablation = [...LIBRARY_LAYERS, 'sampling', 'train'];
LAYERS_BELOW.bench = [...LIBRARY_LAYERS, 'sampling', 'train'];
LAYERS_BELOW.web = [...LIBRARY_LAYERS, 'sampling'];
LAYERS_BELOW.cli = [...LIBRARY_LAYERS, 'sampling', 'spectrum', 'export', 'train', 'ablation', 'bench'];
LAYERS_BELOW.doors = Object.keys(LAYERS_BELOW);

/** Layers that always run in Node; everywhere else a file that needs Node is called `*-node.ts`. */
const NODE_LAYERS = ['train', 'ablation', 'bench', 'cli'];
const NODE_FILES = ['-node\\.ts$', `^src/${anyOf(NODE_LAYERS)}/`, '^src/doors/(?:node|train)\\.ts$'];

/** Packages that run in a browser as they do in Node. A package is added here only after a look at what it imports. */
const PORTABLE_PACKAGES = [
  '@bufbuild/protobuf',
  '@observablehq/plot',
  'fastest-levenshtein',
  'fflate',
  'linkedom',
  'ml-matrix',
  'onnxruntime-common',
  'onnxruntime-web',
  'p-map',
  'valibot',
];

const TESTS = '\\.test\\.ts$';

function anyOf(names) {
  return `(?:${names.join('|')})`;
}

/** Matches a package by its resolved path, and by its bare name where it is not installed. */
function packagePath(names) {
  return `(?:^|/node_modules/|^node_modules/)${anyOf(names)}(?:/|$)`;
}

const layerRules = Object.entries(LAYERS_BELOW).map(([layer, below]) => ({
  name: `layer-${layer}`,
  comment:
    below.length === 0
      ? `${layer} imports no other layer.`
      : `${layer} imports only what stands below it: ${below.join(', ')}.`,
  severity: 'error',
  from: { path: `^src/${layer}/`, pathNot: TESTS },
  to: { path: '^src/', pathNot: `^src/${anyOf([layer, ...below])}/` },
}));

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'layer-unknown',
      comment: 'A folder of src/ gets its place in LAYERS_BELOW before it imports anything.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: `^src/${anyOf(Object.keys(LAYERS_BELOW))}/` },
      to: {},
    },
    {
      name: 'no-cycle',
      comment: 'Files that import each other are one file, or miss a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-node-in-portable-code',
      comment:
        'From model to ONNX bytes everything also runs in a browser; files for Node are called *-node.ts.',
      severity: 'error',
      from: { path: '^src/', pathNot: [TESTS, ...NODE_FILES] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-node-file-in-portable-code',
      comment: 'A file that also runs in a browser cannot import one that needs Node.',
      severity: 'error',
      from: { path: '^src/', pathNot: [TESTS, ...NODE_FILES] },
      to: { path: '^src/.*-node\\.ts$' },
    },
    {
      name: 'no-node-package-in-portable-code',
      comment: 'Code that also runs in a browser imports only the packages listed as portable.',
      severity: 'error',
      from: { path: '^src/', pathNot: [TESTS, ...NODE_FILES] },
      to: {
        dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'],
        pathNot: packagePath(PORTABLE_PACKAGES),
      },
    },
    {
      name: 'onnxruntime-in-runtime-only',
      comment: 'All else speaks to the Session of src/runtime.',
      severity: 'error',
      from: { pathNot: '^src/runtime/' },
      to: { path: packagePath(['onnxruntime-[a-z]+']) },
    },
    {
      name: 'native-library-in-one-file',
      comment: 'It is loaded once its telemetry is off, and in no other way.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/runtime/native-library-node\\.ts$' },
      to: { path: packagePath(['onnxruntime-node']) },
    },
    {
      name: 'no-test-code-in-sources',
      comment: 'What is published stands on src/ alone.',
      severity: 'error',
      from: { path: '^(?:src|bin)/', pathNot: TESTS },
      to: { path: ['^(?:test|tools|bench)/', TESTS] },
    },
    {
      name: 'no-development-package-in-sources',
      comment: 'Users do not get devDependencies.',
      severity: 'error',
      // In a checkout the command runs the TypeScript sources through tsx; the published one does not reach that line.
      from: { path: '^(?:src|bin)/', pathNot: [TESTS, '^bin/udit\\.js$'] },
      to: { dependencyTypes: ['npm-dev'] },
    },
    {
      name: 'no-unresolvable',
      comment: 'The file or package does not exist, or package.json does not name it.',
      severity: 'error',
      from: { path: '^(?:src|bin|test|tools|bench)/', pathNot: '^bin/udit\\.js$' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    // `dist` is there once the package has been built, and is reached by its own name.
    doNotFollow: { path: ['node_modules', '^dist/'] },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
