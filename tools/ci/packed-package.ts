/** @file What `npm pack --json` says of a package, and what has to be true of ours. */

export interface PackedPackage {
  readonly filename: string;
  /** Bytes of the archive. */
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

const REQUIRED = ['LICENSE', 'NOTICE', 'README.md', 'CHANGELOG.md', 'bin/udit.js', 'dist/cli/main.js'];
const UNWANTED = /^(?:src|test|tools|bench|runs)\/|\.test\.|\.tsbuildinfo$/;

/** Missing and unwanted files, one line each. */
export function contentProblems({ files }: PackedPackage): string[] {
  const paths = files.map(({ path }) => path);
  return [
    ...REQUIRED.filter((path) => !paths.includes(path)).map((path) => `the package misses ${path}`),
    ...paths.filter((path) => UNWANTED.test(path)).map((path) => `the package should not hold ${path}`),
  ];
}

/** Specifiers of the modules that `exports` of package.json offers. */
export function publicModules(exports: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([entry]) => `udit${entry.slice(1)}`);
}
