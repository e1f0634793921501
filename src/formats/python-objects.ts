/** @file What stands for the containers of Python in a pickle, and for all else that no tensor is made of. */
import { PickleBytes, PickleGlobal, PickleRecord, type PickleValue } from './pickle.ts';

type PickleFunction = (args: readonly PickleValue[]) => PickleValue;

/** Names that Python 2 and pickles of protocols 0 to 2 have for modules. */
const MODULES_OF_PYTHON_2: Readonly<Record<string, string>> = {
  __builtin__: 'builtins',
  copy_reg: 'copyreg',
  UserDict: 'collections',
};

/** As Python 3 calls it. */
export function modernName(name: string): string {
  const dot = name.indexOf('.');
  const module = name.slice(0, Math.max(dot, 0));
  return Object.hasOwn(MODULES_OF_PYTHON_2, module)
    ? `${MODULES_OF_PYTHON_2[module]}${name.slice(dot)}`
    : name;
}

/** A list or tuple is not copied: what an argument was made of is not looked at again. */
const asList: PickleFunction = ([items = []]) => (Array.isArray(items) ? items : []);
const asDict: PickleFunction = ([items = []]) => {
  if (items instanceof Map) return items;
  const pairs = Array.isArray(items) ? items.filter((pair) => Array.isArray(pair) && pair.length === 2) : [];
  return new Map(pairs as [PickleValue, PickleValue][]);
};

/** Containers and plain objects, by the names of what makes them. */
export const PYTHON_FUNCTIONS: Readonly<Record<string, PickleFunction>> = {
  'builtins.list': asList,
  'builtins.tuple': asList,
  'builtins.set': asList,
  'builtins.frozenset': asList,
  'collections.deque': asList,
  'builtins.dict': asDict,
  'collections.OrderedDict': asDict,
  'collections.Counter': asDict,
  'collections.defaultdict': () => new Map(),
  'argparse.Namespace': () => new PickleRecord('argparse.Namespace'),
  'types.SimpleNamespace': () => new PickleRecord('types.SimpleNamespace'),
  '_codecs.encode': ([text = null]) => (typeof text === 'string' ? new PickleBytes(text) : text),
  // Objects in protocols before 2: their class, the built-in class below it, and what that holds.
  'copyreg._reconstructor': ([type = null, , state = null]) =>
    new PickleRecord(nameOf(type), state instanceof Map ? state : undefined),
  'copyreg.__newobj__': ([type = null]) => new PickleRecord(nameOf(type)),
  'copyreg.__newobj_ex__': ([type = null]) => new PickleRecord(nameOf(type)),
};

function nameOf(type: PickleValue): string {
  if (type instanceof PickleGlobal) return type.name;
  return type instanceof PickleRecord ? type.className : 'an object';
}

/** Modules whose functions run programs, change files or load code. */
const MODULES_OF_PROGRAMS = new Set([
  ...[
    'bdb',
    'cProfile',
    'code',
    'codeop',
    'commands',
    'ctypes',
    'imp',
    'importlib',
    'marshal',
    'nt',
    'os',
    'pdb',
  ],
  ...[
    'pickle',
    'pip',
    'popen2',
    'posix',
    'profile',
    'pty',
    'requests',
    'runpy',
    'shutil',
    'socket',
    'subprocess',
  ],
  ...['timeit', 'urllib', 'webbrowser'],
]);
const PROGRAMS_ELSEWHERE = new Set([
  ...[
    '__import__',
    'breakpoint',
    'compile',
    'delattr',
    'eval',
    'exec',
    'execfile',
    'input',
    'open',
    'setattr',
  ].map((name) => `builtins.${name}`),
  ...['_io.open', 'io.open', 'subprocess.Popen'],
]);

/** Would a call of it run a program, so that the file is one to beware of? */
export function runsPrograms(name: string): boolean {
  if (PROGRAMS_ELSEWHERE.has(name)) return true;
  const isFunction = !/[A-Z]/.test(name.slice(name.lastIndexOf('.')));
  return isFunction && MODULES_OF_PROGRAMS.has(name.split('.', 1)[0]!);
}
