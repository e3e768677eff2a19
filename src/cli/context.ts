import { hostname } from 'node:os';
import type { Bytes } from '#core/bytes.ts';
import type { Primitives } from '#core/primitives.ts';
import type { Launcher } from './launcher.ts';
import { makeOutput, type Output } from './output.ts';

/** Everything a command may touch. */
export type Context = {
  readonly launcher: Launcher;
  readonly home: string;
  readonly output: Output;
  readonly primitives: Primitives;
  readonly randomBytes: (length: number) => Bytes;
  readonly deviceName: string;
  /** Aborted by Ctrl-C (SIGINT) and SIGTERM: commands end in order and exit 0. */
  readonly stop: AbortSignal;
};

export type Surroundings = Omit<Context, 'output' | 'deviceName'>;

export function makeContext(surroundings: Surroundings, options: { readonly json?: boolean }): Context {
  return {
    ...surroundings,
    output: makeOutput(options.json === true),
    deviceName: process.env['HOLDFAST_DEVICE_NAME'] || hostname() || 'device',
  };
}

/** Resolves when the person, or the system, asks the process to end. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
