import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Place } from '../workloads.ts';

/** A system that makes folder B of a place like folder A of it. */
export type System = {
  readonly id: string;
  readonly title: string;
  /** The version, or why it is left out. */
  version(): { readonly version: string } | { readonly missing: string };
  /** Starts it on two empty folders. Everything that it starts stays below this process, where it is found and killed. */
  start(place: Place): Promise<Running>;
};

export type Running = {
  /** Tells that A has changed, where the system does not watch it itself; resolves when the system is done with it. */
  tell(): Promise<void>;
  /** Why it cannot work any more; null while it can. */
  trouble(): string | null;
};

/** What a command prints for its version or help; null where it is not installed. */
export function output(command: string, args: readonly string[]): string | null {
  const ran = spawnSync(command, args, { encoding: 'utf8' });
  return ran.error || ran.status !== 0 ? null : ran.stdout;
}

export type Started = { readonly child: ChildProcess; readonly closed: Promise<number | null>; log(): string };

/** Starts a command, and keeps the end of what it prints, for when it fails. */
export function startCommand(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Started {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-500)));
  }
  child.once('error', (error) => (log += String(error)));
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  return { child, closed, log: () => log };
}

/** The first of these that has ended, in words. */
export function firstEnded(
  started: Iterable<{ readonly name: string; readonly child: ChildProcess; log(): string }>,
): string | null {
  for (const { name, child, log } of started) {
    const how = child.signalCode ?? child.exitCode;
    if (how !== null) return `${name} ended (${how}): ${log().trim().slice(-200)}`;
  }
  return null;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => resolve(true));
    socket.once('connect', () => socket.destroy());
  });
}

export async function untilAccepting(port: number): Promise<void> {
  for (let turn = 0; turn < 500; turn++) {
    if (await accepts(port)) return;
    await sleep(20);
  }
  throw new Error(`nothing listens on port ${port}`);
}
