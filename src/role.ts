/** A role as its thread runs it, and the thread as the rest of the process sees it. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { HoldfastError } from '#core/errors.ts';
import type { Peer } from '#protocol/wire.ts';
import { portPeer } from '#world/real/port.ts';

export type RoleName = 'server' | 'nodes' | 'device';

/** What a role's module makes of its plan. `info` and what `control` answers are JSON. */
export type Role = {
  readonly info: unknown;
  control(verb: string, body: unknown): Promise<unknown>;
  /** A port whose other end another role got; `purpose` is JSON and says which. */
  accept(purpose: unknown, port: MessagePort): void;
  close(): Promise<void>;
};
export type RoleModule = { start(plan: unknown): Promise<Role> };
export type RoleData = { readonly role: RoleName; readonly control: MessagePort };
export type Gift = { readonly purpose: unknown; readonly port: MessagePort };

export interface RoleThread<Info> {
  readonly info: Info;
  readonly failed: Promise<Error>;
  control(verb: string, body: unknown, signal?: AbortSignal): Promise<unknown>;
  give(purpose: unknown, port: MessagePort): void;
  close(): Promise<void>;
}

/** Starts a role on a thread of its own and resolves when it works. Rejects with the role's own error. */
export async function startRole<Info>(role: RoleName, plan: unknown): Promise<RoleThread<Info>> {
  const { port1: mine, port2: theirs } = new MessageChannel();
  const data: RoleData = { role, control: theirs };
  const worker = new Worker(new URL('./role-thread.ts', import.meta.url), { workerData: data, transferList: [theirs] });
  const failed = failureOf(worker, role);
  const peer = portPeer(mine);
  const never = new AbortController().signal;
  const control = async (verb: string, body: unknown, signal: AbortSignal = never): Promise<unknown> =>
    (await callUnlessFailed(peer, failed, verb, body, signal)).body;
  try {
    const info = (await control('start', plan)) as Info;
    return {
      info,
      failed,
      control,
      give: (purpose, port) => worker.postMessage({ purpose, port } satisfies Gift, [port]),
      close: async () => {
        await control('close', {}).catch(() => undefined);
        await worker.terminate();
      },
    };
  } catch (error) {
    await worker.terminate();
    throw error;
  }
}

async function callUnlessFailed(peer: Peer, failed: Promise<Error>, verb: string, body: unknown, signal: AbortSignal) {
  const failure = failed.then((error) => Promise.reject(error));
  return Promise.race([peer.call(verb, { body, parts: [] }, signal), failure]);
}

/** Resolves when the thread ends by itself. `worker.terminate` also ends it, but by then nobody listens. */
function failureOf(worker: Worker, role: RoleName): Promise<Error> {
  return new Promise((resolve) => {
    worker.once('error', (error) => resolve(error instanceof Error ? error : new Error(String(error))));
    worker.once('exit', (code) => resolve(new HoldfastError('defect', `the thread of the ${role} ended with ${code}`)));
  });
}
