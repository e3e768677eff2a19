/** `Folder` on a real file system: a proxy on the caller's thread, and one worker in which everything happens. */
import { resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Defect } from '#core/assert.ts';
import { HoldfastError } from '#core/errors.ts';
import type { Folder, Sealing } from '../folder.ts';
import {
  packBlocks,
  packSteps,
  type Input,
  type Output,
  type Reply,
  type Request,
  type VerbName,
} from './folder/messages.ts';

/** `rootPath` need not exist: `claim` makes it. The worker ends with `close`. */
export function openFolder(rootPath: string): Folder {
  const calls = new Calls(resolve(rootPath));
  return {
    root: () => calls.call('root', []),
    claim: (rootId) => calls.call('claim', [rootId]),
    list: (directories) => calls.call('list', [directories]),
    names: () => calls.call('names', []),
    look: (paths) => calls.call('look', [paths]),
    seal: (files, keys) => calls.call('seal', [files, keys]),
    openSealing: async (file, keys, previous) => {
      const opened = await calls.call('openSealing', [file, keys, previous]);
      return opened.kind === 'open' ? new ProxySealing(calls, opened.sealing) : opened;
    },
    stage: (id, manifest, contentId, old, keys) => calls.call('stage', [id, manifest, contentId, old, keys]),
    stageBlocks: (id, blocks) => {
      const packed = packBlocks(blocks);
      return calls.call('stageBlocks', [id, packed.blocks], packed.buffer);
    },
    apply: (steps, keys) => {
      const packed = packSteps(steps);
      return calls.call('apply', [packed.steps, keys], packed.buffer);
    },
    flush: async (alsoAt = []) => {
      await calls.call('flush', [alsoAt]);
    },
    sweep: async (keepStaged, trashDaysMax) => {
      await calls.call('sweep', [keepStaged, trashDaysMax]);
    },
    close: () => calls.close(),
  };
}

type Waiting = { readonly resolve: (output: unknown) => void; readonly reject: (error: unknown) => void };

class Calls {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;
  #ended: Error | null = null;
  readonly #exit: Promise<void>;

  constructor(rootPath: string) {
    this.#worker = new Worker(new URL('./folder/worker.ts', import.meta.url), { workerData: { rootPath } });
    this.#worker.on('message', (reply: Reply) => this.#settle(reply));
    this.#worker.on('error', (error: unknown) => this.#end(new Defect(`the folder's worker failed: ${said(error)}`)));
    this.#exit = new Promise((done) => {
      this.#worker.once('exit', () => {
        this.#end(new HoldfastError('stopping', 'the folder is closed'));
        done();
      });
    });
  }

  call<Name extends VerbName>(verb: Name, input: Input<Name>, buffer?: ArrayBuffer): Promise<Output<Name>> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const call = ++this.#count;
      this.#waiting.set(call, { resolve: resolve as (output: unknown) => void, reject });
      const request: Request = { call, verb, input };
      this.#worker.postMessage(request, buffer === undefined ? [] : [buffer]);
    });
  }

  async close(): Promise<void> {
    if (this.#ended === null) await this.call('close', []).catch(() => undefined);
    await this.#exit;
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.call);
    this.#waiting.delete(reply.call);
    if (reply.kind === 'answer') waiting?.resolve(reply.output);
    else waiting?.reject(new HoldfastError(reply.code, reply.detail));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(this.#ended);
    this.#waiting.clear();
  }
}

/** Asks for the next step while the caller still sends the last one off. */
class ProxySealing implements Sealing {
  readonly #calls: Calls;
  readonly #sealing: number;
  #ahead: Promise<Output<'nextOfSealing'>> | null = null;

  constructor(calls: Calls, sealing: number) {
    this.#calls = calls;
    this.#sealing = sealing;
  }

  async next(signal: AbortSignal): Promise<Output<'nextOfSealing'>> {
    signal.throwIfAborted();
    const step = await (this.#ahead ?? this.#ask());
    this.#ahead = null;
    if (step.kind === 'blocks') {
      this.#ahead = this.#ask();
      // Whoever asks next hears of it; a caller that closes instead need not.
      this.#ahead.catch(() => undefined);
    } else {
      // The end and every failure are final.
      this.#ahead = Promise.resolve(step);
    }
    return step;
  }

  async close(): Promise<void> {
    await this.#calls.call('closeSealing', [this.#sealing]);
  }

  #ask(): Promise<Output<'nextOfSealing'>> {
    return this.#calls.call('nextOfSealing', [this.#sealing]);
  }
}

function said(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
