/**
 * Runs the real command as real processes for the end-to-end tests: `bin/holdfast`, each with directories of its own, and
 * never leaves one behind.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
export const bin = join(checkout, 'bin', 'holdfast');

export type Ran = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** What a test or a benchmark can hang its clean-up on. */
export type Ending = { after(work: () => void | Promise<void>): void };
const endings = new WeakMap<Ending, (() => void | Promise<void>)[]>();

/** Runs `work` when the test ends, what was begun last first: processes end before the directories they work in go. */
export function atEnd(context: Ending, work: () => void | Promise<void>): void {
  const stack = endings.get(context) ?? [];
  if (stack.length === 0) {
    endings.set(context, stack);
    context.after(async () => {
      for (let next = stack.pop(); next; next = stack.pop()) await next();
    });
  }
  stack.push(work);
}

/** A temporary directory that is removed when the test ends. */
export function scratch(context: Ending, name = 'holdfast-test-'): string {
  const directory = mkdtempSync(join(tmpdir(), name));
  atEnd(context, () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

export type Surroundings = {
  readonly home: string;
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Put before the command, e.g. `['ip', 'netns', 'exec', 'host-a']`. */
  readonly prefix?: readonly string[];
};

function start(args: readonly string[], at: Surroundings): ChildProcess {
  const [command, ...rest] = [...(at.prefix ?? []), bin, ...args];
  return spawn(command as string, rest, {
    cwd: at.cwd,
    env: { ...process.env, HOLDFAST_DATA: '', ...at.env, HOLDFAST_HOME: at.home, NODE_TEST_CONTEXT: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs a command to its end. */
export async function run(args: readonly string[], at: Surroundings, timeoutMs = 60_000): Promise<Ran> {
  const child = start(args, at);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearTimeout(timer);
  return { code, stdout, stderr };
}

/** Runs a command whose output nobody reads: the pipe is closed before it says anything. */
export async function runUnread(args: readonly string[], at: Surroundings): Promise<Omit<Ran, 'stdout'>> {
  const child = start(args, at);
  child.stdout?.destroy();
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, stderr };
}

/** Runs a command that must succeed, and parses its JSON. */
export async function runJson<T>(args: readonly string[], at: Surroundings, timeoutMs?: number): Promise<T> {
  const ran = await run([...args, '--json'], at, timeoutMs);
  if (ran.code !== 0) throw new Error(`holdfast ${args.join(' ')} ended with ${ran.code}: ${ran.stderr}`);
  return JSON.parse(ran.stdout) as T;
}

export type Service = {
  readonly process: ChildProcess;
  /** The first JSON line that it printed. */
  readonly ready: Record<string, unknown>;
  stderr(): string;
  /** Ctrl-C, and the exit code; SIGKILL where it does not end in time. */
  stop(): Promise<number | null>;
  kill(): Promise<void>;
};

/** Starts a command that keeps running, and resolves when it has printed its first line. Killed when the test ends. */
export async function service(
  context: Ending,
  args: readonly string[],
  at: Surroundings,
  timeoutMs = 30_000,
): Promise<Service> {
  const child = start([...args, '--json'], at);
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const closed = new Promise<number | null>((resolve) =>
    child.once('close', resolve).once('error', () => resolve(null)),
  );
  const kill = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await closed;
  };
  atEnd(context, kill);
  const line = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`holdfast ${args[0] ?? ''} was not ready in ${timeoutMs} ms: ${stderr}`)),
      timeoutMs,
    );
    if (child.stdout)
      createInterface({ input: child.stdout }).once('line', (text) => (clearTimeout(timer), resolve(text)));
    void closed.then(
      (code) => (
        clearTimeout(timer),
        reject(new Error(`holdfast ${args.join(' ')} ended with ${code} before it was ready: ${stderr}`))
      ),
    );
  });
  const stop = async (): Promise<number | null> => {
    child.kill('SIGINT');
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
    const code = await closed;
    clearTimeout(timer);
    return code;
  };
  return { process: child, ready: JSON.parse(line) as Record<string, unknown>, stderr: () => stderr, stop, kill };
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve, reject) =>
        server.once('error', reject).listen(0, '127.0.0.1', () => resolve(server)),
      );
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/**
 * Asks again until it holds; says what was seen last when it does not in time. Between two questions it rests as long as the last one took: a
 * command costs half a second of a core, which those who are asked about need themselves.
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T> | T,
  holds: (value: T) => boolean,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const askedMs = performance.now();
    const value = await ask();
    if (holds(value)) return value;
    if (performance.now() > deadline)
      throw new Error(`${what}: not so within ${timeoutMs} ms; last seen: ${JSON.stringify(value)?.slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, Math.max(25, performance.now() - askedMs)));
  }
}
