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

/** Specifiers of all modules that `exports` offers: those in dist/ except the command line and generated code. */
export function publicModules({ files }: PackedPackage): string[] {
  return files
    .map(
      ({ path }) =>
        /^dist\/(?!cli\/|onnx\/schema\/|runtime\/session-worker-node|bench\/workload-process)(.+)\.js$/.exec(
          path,
        )?.[1],
    )
    .filter((name) => name !== undefined)
    .map((name) => (name === 'index' ? 'udit' : `udit/${name}`));
}
