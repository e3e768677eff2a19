/**
 * Runs the tests of the planner and of the commit function for Stryker, in one process with every mutant, one after the other until one
 * fails: a mutant lives for milliseconds then, not for the start of a process.
 */
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

type Test = { readonly name: string; readonly run: () => unknown };
/** What Stryker's instrumented code asks for, and counts. */
type Switch = {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  hitCount?: number | undefined;
  hitLimit?: number | undefined;
  readonly mutantCoverage?: { readonly perTest: Record<string, object> };
};
type Asked = {
  readonly activeMutant: { readonly id: string };
  readonly testFilter?: readonly string[];
  readonly hitLimit?: number;
  readonly mutantActivation: 'static' | 'runtime';
};

const mutants: Switch = ((globalThis as { __stryker__?: Switch }).__stryker__ ??= {});
let loaded: readonly Test[] | null = null;

/** Those of the sandbox that this process works in. What is prepared for all tests is nothing that a mutant could be told by. */
async function tests(paths: readonly string[]): Promise<readonly Test[]> {
  if (loaded) return loaded;
  const urlOf = (path: string): string => pathToFileURL(join(process.cwd(), path)).href;
  const queue = urlOf('sim/mutation/queued-tests.ts');
  registerHooks({
    resolve: (name, context, next) => (name === 'node:test' ? { url: queue, shortCircuit: true } : next(name, context)),
  });
  const { queued } = (await import(queue)) as { readonly queued: Test[] };
  for (const path of paths) {
    const { prepare } = (await import(urlOf(path))) as { readonly prepare?: () => void };
    mutants.currentTestId = 'preparing';
    prepare?.();
    mutants.currentTestId = undefined;
  }
  delete mutants.mutantCoverage?.perTest['preparing'];
  loaded = queued;
  return loaded;
}

/** `tests`: files, those first that are quick: most mutants live no longer. `cases`: fewer than they have by themselves. */
type Options = { readonly core: { readonly tests: readonly string[]; readonly cases: number } };

class Runner {
  readonly #paths: readonly string[];

  constructor({ core }: Options) {
    this.#paths = core.tests;
    process.env['COMMIT_CASES'] = String(core.cases);
    process.env['PLANNER_CASES'] = String(core.cases);
  }

  capabilities(): object {
    return { reloadEnvironment: false };
  }

  async dryRun(): Promise<object> {
    const results: object[] = [];
    for (const { name, run } of await tests(this.#paths)) {
      mutants.currentTestId = name;
      const startedMs = performance.now();
      await run();
      results.push({ id: name, name, status: 0, timeSpentMs: performance.now() - startedMs });
    }
    mutants.currentTestId = undefined;
    return { status: 'complete', tests: results, mutantCoverage: mutants.mutantCoverage };
  }

  async mutantRun({ activeMutant, testFilter, hitLimit, mutantActivation }: Asked): Promise<object> {
    if (mutantActivation === 'runtime') await tests(this.#paths);
    mutants.activeMutant = activeMutant.id;
    mutants.hitLimit = hitLimit;
    mutants.hitCount = hitLimit === undefined ? undefined : 0;
    let at = 'the loading';
    let nrOfTests = 0;
    try {
      for (const { name, run } of await tests(this.#paths)) {
        if (testFilter && !testFilter.includes(name)) continue;
        at = name;
        nrOfTests++;
        await run();
      }
      return { status: 'survived', nrOfTests };
    } catch (error) {
      const failureMessage = error instanceof Error ? error.message : String(error);
      if (failureMessage.includes('Hit count limit reached')) return { status: 'timeout', reason: failureMessage };
      return { status: 'killed', killedBy: [at], failureMessage, nrOfTests };
    } finally {
      mutants.activeMutant = undefined;
    }
  }
}

/** By who is called: which of its arguments is a text that only people read, in the log of a process that stops. */
const MESSAGE_AT: Readonly<Record<string, number>> = { must: 1, assert: 1, Defect: 0, HoldfastError: 1 };

type Node = { readonly callee?: { readonly name?: string }; readonly arguments?: readonly unknown[] };

/** Such texts are left out of the count: to pin them would pin words. What is asserted is counted. */
function messageOf(path: { readonly node: unknown; readonly parent: Node | null }): string | undefined {
  const { callee, arguments: given = [] } = path.parent ?? {};
  const at = MESSAGE_AT[callee?.name ?? ''];
  return at !== undefined && given[at] === path.node ? 'only a message' : undefined;
}

export const strykerPlugins = [
  { kind: 'Ignore', name: 'messages', value: { shouldIgnore: messageOf } },
  {
    kind: 'TestRunner',
    name: 'core',
    factory: Object.assign((options: Options) => new Runner(options), { inject: ['options'] }),
  },
];
