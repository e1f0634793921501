// What may import what. docs/ARCHITECTURE.md says why; test/architecture.test.ts proves that each rule reports.

/**
 * Districts (the folders of src/), lowest floor first. A district imports itself and the floors below; those of one floor
 * do not know each other.
 */
const FLOORS = [
  ['core'],
  ['host', 'metrics'],
  ['engine', 'formats', 'charts'],
  ['networks', 'diffusion', 'data'],
  ['models'],
  ['tasks'],
  ['web', 'studio'],
  ['cli'],
  // The package's entries; src/index.ts is one too.
  ['doors'],
];

/** Rooms of a district with the rooms that each may import beside itself and the district's own files. */
const ROOMS = {
  host: { machine: [], files: ['machine'], ranks: ['files', 'machine'] },
  engine: {
    graph: [],
    interp: ['graph'],
    onnx: ['graph'],
    runtime: ['graph', 'onnx'],
    compile: ['graph', 'onnx', 'runtime'],
  },
  networks: { nn: [], denoisers: ['nn'], autoencoders: ['nn'], features: ['nn'] },
  data: { images: [], datasets: ['images'] },
  tasks: {
    sampling: [],
    training: [],
    encoding: [],
    inspection: ['sampling'],
    evaluation: ['sampling'],
    export: ['sampling'],
    ablation: ['sampling', 'training', 'inspection', 'evaluation'],
    bench: ['sampling', 'training', 'encoding'],
  },
};

/** Places that always run in Node; everywhere else a file that needs Node is called `*-node.ts`. */
const NODE_PLACES = ['tasks/training/run', 'tasks/ablation', 'tasks/bench', 'studio', 'cli'];
const NODE_FILES = ['-node\\.ts$', `^src/${anyOf(NODE_PLACES)}/`, '^src/doors/(?:node|train)\\.ts$'];

/** Packages that run in a browser as they do in Node. A package is added here only after a look at what it imports. */
const PORTABLE_PACKAGES = [
  '@bufbuild/protobuf',
  '@observablehq/plot',
  'fastest-levenshtein',
  'fflate',
  'linkedom',
  'onnxruntime-common',
  'onnxruntime-web',
  'p-map',
  'valibot',
];

/** Read by every command, before its own modules. */
const START = '(?:commands|failures|main|program|terminal)\\.ts$';

const TESTS = '\\.test\\.ts$';

function anyOf(names) {
  return `(?:${names.join('|')})`;
}

/** Matches a package by its resolved path, and by its bare name where it is not installed. */
function packagePath(names) {
  return `(?:^|/node_modules/|^node_modules/)${anyOf(names)}(?:/|$)`;
}

const districtRules = FLOORS.flatMap((floor, level) => {
  const below = FLOORS.slice(0, level).flat();
  return floor.map((district) => ({
    name: `district-${district}`,
    comment:
      below.length === 0
        ? `${district} imports no other district.`
        : `${district} imports only the floors below it: ${below.join(', ')}.`,
    severity: 'error',
    from: { path: `^src/${district}/`, pathNot: TESTS },
    to: { path: '^src/', pathNot: `^src/${anyOf([district, ...below])}/` },
  }));
});

const roomRules = Object.entries(ROOMS).flatMap(([district, rooms]) =>
  Object.entries(rooms).map(([room, neighbours]) => {
    const open = [room, ...neighbours];
    return {
      name: `room-${district}-${room}`,
      comment: `Inside ${district}, ${room} imports only ${open.join(', ')}.`,
      severity: 'error',
      from: { path: `^src/${district}/${room}/`, pathNot: TESTS },
      to: { path: `^src/${district}/`, pathNot: `^src/${district}/${anyOf(open)}/` },
    };
  }),
);

module.exports = {
  forbidden: [
    ...districtRules,
    ...roomRules,
    {
      name: 'district-unknown',
      comment: 'A folder of src/ gets its place in FLOORS before it imports anything.',
      severity: 'error',
      from: { path: '^src/[^/]+/', pathNot: `^src/${anyOf(FLOORS.flat())}/` },
      to: {},
    },
    {
      name: 'room-unknown',
      comment: 'A folder of a district that has rooms gets its place in ROOMS before it imports anything.',
      severity: 'error',
      from: {
        path: `^src/${anyOf(Object.keys(ROOMS))}/[^/]+/`,
        pathNot: Object.entries(ROOMS).map(
          ([district, rooms]) => `^src/${district}/${anyOf(Object.keys(rooms))}/`,
        ),
      },
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
      name: 'web-never-reaches-host',
      comment: 'A page has no files, processes or ranks.',
      severity: 'error',
      from: { path: '^src/web/', pathNot: TESTS },
      to: { path: '^src/host/', reachable: true },
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
      to: { path: ['^src/.*-node\\.ts$', `^src/${anyOf(NODE_PLACES)}/`] },
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
      comment: 'All else speaks to the Session of src/engine/runtime.',
      severity: 'error',
      from: { pathNot: '^src/engine/runtime/' },
      to: { path: packagePath(['onnxruntime-[a-z]+']) },
    },
    {
      name: 'native-library-in-one-file',
      comment: 'It is loaded once its telemetry is off, and in no other way.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/engine/runtime/native-library-node\\.ts$' },
      to: { path: packagePath(['onnxruntime-node']) },
    },
    {
      name: 'commands-on-demand',
      comment: 'A command starts as soon as its own modules are read: others are imported dynamically.',
      severity: 'error',
      from: { path: `^src/cli/${START}` },
      to: {
        path: '^src/',
        pathNot: `^src/(?:core/|cli/${START})`,
        dependencyTypesNot: ['dynamic-import'],
      },
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
