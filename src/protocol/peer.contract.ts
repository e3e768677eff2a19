/** What every transport between a caller and a handler promises. */
import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { test } from 'node:test';
import { hasCode, HoldfastError, type ErrorCode } from '#core/errors.ts';
import { limits, MIB } from '#core/limits.ts';
import type { Caller, Handler, Peer, Wire } from './wire.ts';

export type PeerPair = { readonly peer: Peer; readonly end: () => Promise<void> };
/** A peer that reaches `handler`, which sees the caller as `bearer` with this token where one is given. */
export type PeerFactory = (handler: Handler, credential?: string) => Promise<PeerPair>;

const never = () => new AbortController().signal;
const echo: Handler = async (_, message) => message;

export function peerContract(transport: string, connect: PeerFactory): void {
  const paired = (name: string, handler: Handler, run: (peer: Peer) => Promise<void>, credential?: string) =>
    test(`${transport}: ${name}`, { timeout: 20_000 }, async () => {
      const { peer, end } = await connect(handler, credential);
      try {
        await run(peer);
      } finally {
        await end();
      }
    });

  messagesCross(paired);
  errorsCross(paired);
  callsAreIndependent(paired);
  callsEnd(paired);
}

type Paired = (
  name: string,
  handler: Handler,
  run: (peer: Peer) => Promise<void>,
  credential?: string,
) => Promise<void>;

function messagesCross(paired: Paired): void {
  paired('body and parts arrive as they were sent, in both directions', echo, async (peer) => {
    const sent: Wire = {
      body: { text: 'ä\u0000\u2028"', list: [1, null, true], nested: { a: [] } },
      parts: [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(255)],
    };
    const got = await peer.call('echo', sent, never());
    assert.deepEqual(got.body, sent.body);
    assert.deepEqual(got.parts.map(numbers), sent.parts.map(numbers));
  });

  paired('a message without parts, and a body of many kilobytes', echo, async (peer) => {
    const body = { ids: Array.from({ length: 20_000 }, (_, index) => `id-${index}`) };
    assert.deepEqual(await peer.call('echo', { body, parts: [] }, never()), { body, parts: [] });
  });

  paired('a body is what JSON says it is', echo, async (peer) => {
    const got = await peer.call('echo', { body: { there: 1, absent: undefined }, parts: [] }, never());
    assert.deepEqual(got.body, { there: 1 });
  });

  const plain: Handler = async (_, message) => {
    for (const part of message.parts) assert.equal(Object.getPrototypeOf(part), Uint8Array.prototype);
    return { body: {}, parts: message.parts.map((part) => Buffer.from(part)) };
  };
  paired('parts are plain arrays on both sides, whose slice is a copy, whatever was sent', plain, async (peer) => {
    for (const length of [10, 300_000]) {
      const { parts } = await peer.call('x', { body: {}, parts: [Buffer.alloc(length, 5)] }, never());
      assert.equal(Object.getPrototypeOf(parts[0]), Uint8Array.prototype);
      assert.equal(parts[0]?.length, length);
    }
  });

  const large = (seed: number) => {
    const bytes = new Uint8Array(4 * MIB + 7);
    for (let index = 0; index < bytes.length; index++) bytes[index] = (index * seed) >> 3;
    return bytes;
  };
  paired(
    'large parts arrive whole, and stay the callers to send again',
    async (_, message) => {
      const parts = message.parts.map((part) => part.slice());
      for (const part of message.parts) part.fill(0);
      return { body: {}, parts };
    },
    async (peer) => {
      const parts = [large(3), large(5)];
      for (const attempt of [1, 2]) {
        const got = await peer.call('echo', { body: { attempt }, parts }, never());
        assert.equal(got.parts.length, 2);
        for (const [index, part] of got.parts.entries()) {
          assert.equal(Buffer.compare(part, large([3, 5][index] as number)), 0);
        }
      }
    },
  );

  paired(
    'views into a larger buffer cross as what they show',
    async () => ({ body: {}, parts: [whole.subarray(100_000, 300_000), whole.subarray(5, 7)] }),
    async (peer) => {
      for (let attempt = 0; attempt < 2; attempt++) {
        const got = await peer.call('view', { body: {}, parts: [whole.subarray(0, 2)] }, never());
        assert.deepEqual(
          got.parts.map((part) => part.length),
          [200_000, 2],
        );
        assert.deepEqual(numbers(got.parts[1] as Uint8Array), [5, 6]);
      }
      assert.equal(whole.length, 400_000);
    },
  );

  const seen: { verb: string; caller: Caller }[] = [];
  const note: Handler = async (verb, message, caller) => {
    seen.push({ verb, caller });
    return message;
  };
  paired(
    'the handler sees the verb, and the token as the caller',
    note,
    async (peer) => {
      await peer.call('some-verb', { body: {}, parts: [] }, never());
      const { verb, caller } = seen.at(-1) as (typeof seen)[0];
      assert.equal(verb, 'some-verb');
      assert.equal(caller.kind === 'bearer' && caller.token, 'hfd1.id.secret');
    },
    'hfd1.id.secret',
  );
  paired('without a token the caller is no bearer', note, async (peer) => {
    await peer.call('some-verb', { body: {}, parts: [] }, never());
    assert.notEqual(seen.at(-1)?.caller.kind, 'bearer');
  });
}

const whole = Uint8Array.from({ length: 400_000 }, (_, index) => index & 255);

function errorsCross(paired: Paired): void {
  paired(
    'an error arrives with code, words and facts',
    async () => {
      throw new HoldfastError('blocks_missing', 'two blocks “ä” are missing', { facts: { missing: ['a', 'b'] } });
    },
    async (peer) => {
      const error = await rejected(peer.call('x', { body: {}, parts: [] }, never()), 'blocks_missing');
      assert.equal(error.message, 'two blocks “ä” are missing');
      assert.deepEqual(error.facts, { missing: ['a', 'b'] });
    },
  );

  paired(
    'a defect arrives as one, without its words',
    async () => {
      throw new TypeError('secret path /etc');
    },
    async (peer) => {
      const error = await rejected(peer.call('x', { body: {}, parts: [] }, never()), 'defect');
      assert.doesNotMatch(error.message, /secret|etc/);
    },
  );

  paired('a message above the limit is refused before it is sent', echo, async (peer) => {
    const part = new Uint8Array(limits.messageBytesMax / 2 + 1);
    await rejected(peer.call('echo', { body: {}, parts: [part, part] }, never()), 'too_large');
    const parts = Array.from({ length: limits.messagePartsMax + 1 }, () => Uint8Array.of(1));
    await rejected(peer.call('echo', { body: {}, parts }, never()), 'too_large');
    assert.deepEqual(await peer.call('echo', { body: { still: 'here' }, parts: [] }, never()), {
      body: { still: 'here' },
      parts: [],
    });
  });
}

function callsAreIndependent(paired: Paired): void {
  const gates = new Map<string, () => void>();
  const gated: Handler = async (verb, message) => {
    if (verb === 'open') gates.get((message.body as { gate: string }).gate)?.();
    else await new Promise<void>((resolve) => gates.set(verb, resolve));
    return { body: { verb }, parts: [] };
  };
  paired('answers come in the order of their completion, each to its own call', gated, async (peer) => {
    const order: string[] = [];
    const call = (verb: string) =>
      peer.call(verb, { body: {}, parts: [] }, never()).then((answer) => {
        assert.deepEqual(answer.body, { verb });
        order.push(verb);
      });
    const held = [call('first'), call('second')];
    await until(() => gates.size === 2);
    for (const gate of ['second', 'first']) {
      await peer.call('open', { body: { gate }, parts: [] }, never());
      await until(() => order.includes(gate));
    }
    await Promise.all(held);
    assert.deepEqual(order, ['second', 'first']);
  });
}

/** A handler that answers nothing before it is aborted, and what it has seen. */
function holding() {
  const seen = { started: 0, aborted: 0 };
  const handler: Handler = async (_, __, ___, signal) => {
    seen.started += 1;
    if (!signal.aborted) await once(signal, 'abort');
    seen.aborted += 1;
    throw new HoldfastError('stopping', 'aborted');
  };
  return { seen, handler };
}

function callsEnd(paired: Paired): void {
  const hold = (peer: Peer, signal = never()) => peer.call('hold', { body: {}, parts: [] }, signal);

  const givenUp = holding();
  paired('giving a call up ends it, and aborts the handler', givenUp.handler, async (peer) => {
    const controller = new AbortController();
    const call = rejected(hold(peer, controller.signal), 'timeout');
    await until(() => givenUp.seen.started === 1);
    controller.abort();
    await call;
    await until(() => givenUp.seen.aborted === 1);
    await until(() => getEventListeners(controller.signal, 'abort').length === 0);
  });

  const withReason = holding();
  paired('a call that was given up rejects with the reason that was given', withReason.handler, async (peer) => {
    const controller = new AbortController();
    const call = rejected(hold(peer, controller.signal), 'busy');
    await until(() => withReason.seen.started === 1);
    controller.abort(new HoldfastError('busy', 'something else to do'));
    await call;
  });

  const before = holding();
  paired('a call that was given up before it began reaches nobody', before.handler, async (peer) => {
    await rejected(hold(peer, AbortSignal.abort()), 'timeout');
    assert.equal(before.seen.started, 0);
  });

  const closing = holding();
  paired('closing ends what is pending as unreachable, and aborts its handlers', closing.handler, async (peer) => {
    const calls = [1, 2].map(() => rejected(hold(peer), 'unreachable'));
    await until(() => closing.seen.started === 2);
    await peer.close();
    await Promise.all(calls);
    await until(() => closing.seen.aborted === 2);
    await rejected(hold(peer), 'unreachable');
    await peer.close();
  });

  paired('a signal that outlives its calls keeps none of their listeners', echo, async (peer) => {
    const { signal } = new AbortController();
    for (let call = 0; call < 5; call++) await peer.call('echo', { body: {}, parts: [] }, signal);
    await until(() => getEventListeners(signal, 'abort').length === 0);
  });
}

/** The error, which must be one of Holdfast's with that code. */
export async function rejected(call: Promise<unknown>, code: ErrorCode): Promise<HoldfastError> {
  const outcome = await call.then(
    () => 'no error',
    (error: unknown) => error,
  );
  assert.ok(hasCode(outcome, code), `expected ${code}, got ${describe(outcome)}`);
  return outcome;
}

function describe(outcome: unknown): string {
  return outcome instanceof HoldfastError ? `${outcome.code}: ${outcome.message}` : String(outcome);
}

/** Polls, so that no test depends on how long something takes. */
export async function until(condition: () => boolean, deadlineMs = 10_000): Promise<void> {
  const endMs = Date.now() + deadlineMs;
  while (!condition()) {
    assert.ok(Date.now() < endMs, `not within ${deadlineMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const numbers = (bytes: Uint8Array) => [...bytes];
