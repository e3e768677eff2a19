/**
 * A network between simulated processes. It loses, delays, repeats and reorders messages, and cuts lines, as the seed says; messages are
 * copied, and errors cross as problem documents, as over every transport.
 */
import { HoldfastError } from '#core/errors.ts';
import { utf8 } from '#core/bytes.ts';
import { bodyText, limitMessage } from '#protocol/frame.ts';
import { givenUp } from '#protocol/given-up.ts';
import { errorOfProblem, problemOf } from '#protocol/problem.ts';
import type { Caller, Handler, Peer, Wire } from '#protocol/wire.ts';
import { notSent } from '../not-sent.ts';
import type { Scheduler, SimProcess } from './scheduler.ts';
import type { SimRandom } from './sim-random.ts';

/** What a line does to messages, in shares of one. */
export type Weather = {
  readonly loss: number;
  readonly repeat: number;
  readonly delayMsMax: number;
  /**
   * Answers with a bit changed in a part. Transports keep messages whole; what may be damaged before it is sent, in memory or on a disk, are
   * sealed blocks.
   */
  readonly damage: number;
};

export const FAIR: Weather = { loss: 0, repeat: 0, delayMsMax: 2, damage: 0 };

/** Not a storage node's answers: one that sends other bytes than asked for is taken for a liar after the third, as it should be. */
const CARRYING_BLOCKS = new Set(['contents', 'blocks']);
/** Who waits for an answer that was lost learns of it after so long, as from a transport's own limit. */
const LOST_MS_MAX = 4000;

type Host = {
  readonly actor: SimProcess;
  readonly handler: Handler;
  readonly open: Set<(error: HoldfastError) => void>;
};

export type SimNetOptions = {
  readonly scheduler: Scheduler;
  readonly random: SimRandom;
  /** Hears of every message that was lost, repeated, cut off or damaged, and of every request that was handled. */
  readonly onEvent?: (event: string, verbName: string) => void;
  /** Sees every answer on its way, for checks. */
  readonly onAnswer?: (host: string, verbName: string, request: Wire, answer: Wire) => void;
};

export class SimNet {
  readonly #options: SimNetOptions;
  readonly #hosts = new Map<string, Host>();
  /** `from>to`, for each direction by itself. */
  readonly #cuts = new Set<string>();
  weather: Weather = FAIR;

  constructor(options: SimNetOptions) {
    this.#options = options;
  }

  /** That process answers at this address from now on, until it ends. */
  listen(address: string, actor: SimProcess, handler: Handler): void {
    const host: Host = { actor, handler, open: new Set() };
    this.#hosts.set(address, host);
    actor.onEnd(() => {
      if (this.#hosts.get(address) === host) this.#hosts.delete(address);
      for (const reset of host.open) reset(new HoldfastError('unreachable', 'the connection was reset'));
    });
  }

  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  mend(from: string, to: string): void {
    this.#cuts.delete(`${from}>${to}`);
  }

  mendAll(): void {
    this.#cuts.clear();
  }

  /** `here`: the name of the machine that asks. */
  peer(actor: SimProcess, here: string, address: string, caller: () => Caller): Peer {
    return new SimPeer(this, actor, here, address, caller);
  }

  call(actor: SimProcess, line: Line, verbName: string, message: Wire, signal: AbortSignal): Promise<Wire> {
    if (signal.aborted) return Promise.reject(givenUp(signal));
    let request: Wire;
    try {
      request = copyOf(message);
    } catch (error) {
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      const call = new Call(actor, resolve, reject, signal);
      this.#send(call, line, verbName, request, true);
      if (this.#happens('repeat', this.weather.repeat, verbName)) this.#send(call, line, verbName, request, false);
    });
  }

  #send(call: Call, line: Line, verbName: string, request: Wire, mayLose: boolean): void {
    const { scheduler } = this.#options;
    scheduler.after(null, this.#delayMs(), `send ${verbName}`, () => {
      const isLost = mayLose && this.#happens('lose request', this.weather.loss, verbName);
      if (isLost || this.#cuts.has(`${line.here}>${line.address}`)) return this.#lose(call, verbName);
      const host = this.#hosts.get(line.address);
      if (!host) return call.fail(notSent(new HoldfastError('unreachable', `nobody answers at ${line.address}`)));
      this.#handle(call, host, line, verbName, request);
    });
  }

  #handle(call: Call, host: Host, line: Line, verbName: string, request: Wire): void {
    const { scheduler, onAnswer } = this.#options;
    const controller = new AbortController();
    const reset = (error: HoldfastError) => {
      host.open.delete(reset);
      scheduler.after(null, this.#delayMs(), `reset ${verbName}`, () => call.fail(error));
    };
    const arrive = (name: string, answer: () => void) => {
      if (!host.open.delete(reset)) return;
      scheduler.after(null, this.#delayMs(), `${name} ${verbName}`, () => {
        const isLost = this.#happens('lose answer', this.weather.loss, verbName);
        if (isLost || this.#cuts.has(`${line.address}>${line.here}`)) this.#lose(call, verbName);
        else answer();
      });
    };
    host.open.add(reset);
    call.onGivenUp(() => {
      scheduler.after(host.actor, this.#delayMs(), `hang up ${verbName}`, () => {
        controller.abort(new HoldfastError('unreachable', 'the caller went away'));
      });
    });
    void scheduler
      .step(host.actor, `serve ${verbName}`, () => this.#event('serve', verbName))
      .then(() => host.handler(verbName, copyOf(request), line.caller(), controller.signal))
      .then((wire) => scheduler.step(host.actor, `answer ${verbName}`, () => copyOf(wire)))
      .then(
        (wire) => {
          onAnswer?.(line.address, verbName, request, wire);
          arrive('answer', () => call.answer(this.#damaged(verbName, wire)));
        },
        (error: unknown) => {
          const problem = problemOf(error);
          if (problem.code === 'defect') throw error;
          this.#event(`refuse ${problem.code}`, verbName);
          arrive('refuse', () => call.fail(errorOfProblem(problem, 'an error')));
        },
      );
  }

  #damaged(verbName: string, wire: Wire): Wire {
    if (this.weather.damage === 0 || wire.parts.length === 0 || !CARRYING_BLOCKS.has(verbName)) return wire;
    if (!this.#happens('damage', this.weather.damage, verbName)) return wire;
    const parts = wire.parts.map((part) => new Uint8Array(part));
    const part = this.#options.random.pick(parts);
    if (part.length > 0) part[this.#options.random.below(part.length)]! ^= 1 << this.#options.random.below(8);
    return { body: wire.body, parts };
  }

  #lose(call: Call, verbName: string): void {
    const { scheduler, random } = this.#options;
    const afterMs = 1 + random.below(LOST_MS_MAX);
    scheduler.after(null, afterMs, `miss ${verbName}`, () =>
      call.fail(new HoldfastError('timeout', 'no answer came in time')),
    );
  }

  #happens(event: string, share: number, verbName: string): boolean {
    if (share === 0 || !this.#options.random.chance(share)) return false;
    this.#event(event, verbName);
    return true;
  }

  #event(event: string, verbName: string): void {
    this.#options.onEvent?.(event, verbName);
  }

  #delayMs(): number {
    return (this.#options.random.below(1000) / 1000) * this.weather.delayMsMax;
  }
}

type Line = { readonly here: string; readonly address: string; readonly caller: () => Caller };

/** One request that somebody waits for, whatever becomes of its copies. */
class Call {
  readonly #actor: SimProcess;
  readonly #signal: AbortSignal;
  #resolve: ((wire: Wire) => void) | null;
  #reject: (error: HoldfastError) => void;
  #givenUp: (() => void)[] = [];
  readonly #abort: () => void;

  constructor(
    actor: SimProcess,
    resolve: (wire: Wire) => void,
    reject: (error: HoldfastError) => void,
    signal: AbortSignal,
  ) {
    this.#actor = actor;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal = signal;
    this.#abort = () => {
      const givenUpBy = this.#givenUp;
      this.#givenUp = [];
      this.fail(givenUp(signal));
      for (const hangUp of givenUpBy) hangUp();
    };
    signal.addEventListener('abort', this.#abort, { once: true });
    actor.onEnd(() => {
      for (const hangUp of this.#givenUp) hangUp();
      this.#end();
    });
  }

  onGivenUp(hangUp: () => void): void {
    if (this.#resolve) this.#givenUp.push(hangUp);
  }

  answer(wire: Wire): void {
    const resolve = this.#resolve;
    if (!resolve || !this.#actor.alive) return;
    this.#end();
    resolve(wire);
  }

  fail(error: HoldfastError): void {
    if (!this.#resolve || !this.#actor.alive) return;
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.#resolve = null;
    this.#givenUp = [];
    this.#signal.removeEventListener('abort', this.#abort);
  }
}

class SimPeer implements Peer {
  readonly #net: SimNet;
  readonly #actor: SimProcess;
  readonly #line: Line;
  readonly #open = new Set<AbortController>();
  #closed = false;

  constructor(net: SimNet, actor: SimProcess, here: string, address: string, caller: () => Caller) {
    this.#net = net;
    this.#actor = actor;
    this.#line = { here, address, caller };
  }

  async call(verbName: string, message: Wire, signal: AbortSignal): Promise<Wire> {
    if (this.#closed) throw connectionClosed();
    const closing = new AbortController();
    const forward = () => closing.abort(signal.reason);
    if (signal.aborted) forward();
    else signal.addEventListener('abort', forward, { once: true });
    this.#open.add(closing);
    try {
      return await this.#net.call(this.#actor, this.#line, verbName, message, closing.signal);
    } finally {
      this.#open.delete(closing);
      signal.removeEventListener('abort', forward);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const closing of this.#open) closing.abort(connectionClosed());
  }
}

function copyOf(message: Wire): Wire {
  const text = bodyText(message);
  limitMessage(utf8(text).length, message.parts);
  return { body: JSON.parse(text), parts: message.parts.map((part) => new Uint8Array(part)) };
}

function connectionClosed(): HoldfastError {
  return new HoldfastError('unreachable', 'the connection was closed');
}
