/**
 * Folders that programs fill and empty again by themselves. What goes in them is nobody's work and is never asked about. Known by the
 * folder's own name, exactly as the tools write it, or by that and the name of the folder above it.
 */
const NAMES: ReadonlySet<string> = new Set([
  // What is built.
  'build',
  'dist',
  'target',
  'out',
  'obj',
  'DerivedData',
  'CMakeFiles',
  'cmake-build-debug',
  'cmake-build-release',
  '.next',
  '.nuxt',
  '.svelte-kit',
  '.output',
  '.docusaurus',
  'coverage',
  '.nyc_output',
  // What is installed.
  'node_modules',
  'bower_components',
  'jspm_packages',
  '.pnpm-store',
  'Pods',
  'site-packages',
  'venv',
  '.venv',
  '.tox',
  '.nox',
  '.terraform',
  '.gradle',
  '.m2',
  '.cargo',
  '.bundle',
  // What is kept to be quicker the next time.
  '.cache',
  '.parcel-cache',
  '.turbo',
  '.angular',
  '.vite',
  '.sass-cache',
  '__pycache__',
  '.mypy_cache',
  '.pytest_cache',
  '.ruff_cache',
  '.hypothesis',
  '.ipynb_checkpoints',
]);

/** The folder above, then the folder. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['.git', 'objects'],
  ['.git', 'lfs'],
  ['.git', 'modules'],
  ['.hg', 'store'],
  ['.yarn', 'cache'],
  ['.yarn', 'unplugged'],
];

/** `above`: the name of the folder it lies in, '' for the root. */
export function isGenerated(name: string, above: string): boolean {
  return NAMES.has(name) || PAIRS.some(([outer, inner]) => outer === above && inner === name);
}
