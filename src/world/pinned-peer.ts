/**
 * A cluster as a peer: tried at each of its addresses, trusted by what its identity signed. Where a server shows a key that is
 * not known, the key list is fetched from it without showing anything; only a newer list that the cluster's identity signed
 * counts, it is kept before it is used, and the call goes on only if the shown key is in it.
 */
import { assert } from '#core/assert.ts';
import { hasCode, HoldfastError } from '#core/errors.ts';
import type { ClusterId, Pin } from '#core/ids.ts';
import { isNewer, verifyKeyList, type KeyList } from '#core/key-list.ts';
import type { Primitives } from '#core/primitives.ts';
import { keys } from '#protocol/account.ts';
import { ask } from '#protocol/call.ts';
import { givenUp } from '#protocol/given-up.ts';
import type { Peer, Wire } from '#protocol/wire.ts';
import type { Net, Proof, TlsIdentity } from './net.ts';
import { wasNotSent } from './not-sent.ts';

export type PinnedPeerOptions = {
  readonly primitives: Primitives;
  /** `https://host:port`, or `http://host:port` of this very machine. The one that answered last is tried first. */
  readonly addresses: readonly string[];
  readonly cluster: ClusterId;
  /** The newest list at hand. Null before there is one: then `pins` are all that is known. */
  readonly keyList: KeyList | null;
  /** An invite's. Of no account once there is a list. */
  readonly pins?: readonly Pin[];
  /** The server stands behind a certificate that the system trusts: that is verified, and no pin is looked at. */
  readonly webpki?: boolean;
  readonly credential?: string;
  readonly show?: TlsIdentity;
  /** Keeps a newer list. The list is used once this has resolved, so it must be durable by then; where it rejects, so does the call. */
  onKeyList(list: KeyList, bytes: Uint8Array): Promise<void>;
};

/**
 * Another address is tried only where the request never left this machine. Where none could be reached: `unreachable` if any
 * of them may be again later, else `unknown_pin`.
 */
export function pinnedPeer(net: Net, options: PinnedPeerOptions): Peer {
  return new PinnedPeer(net, options);
}

type Trust = { readonly list: KeyList | null; readonly pins: readonly Pin[] };

class PinnedPeer implements Peer {
  readonly #net: Net;
  readonly #options: PinnedPeerOptions;
  #trust: Trust;
  /** Made under the present trust. */
  readonly #peers = new Map<string, Peer>();
  /** One at a time: what the first caller learns, the others need not ask for. */
  #learning: Promise<void> = Promise.resolve();
  #preferred = 0;
  #closed = false;

  constructor(net: Net, options: PinnedPeerOptions) {
    assert(options.addresses.length > 0, 'a peer has an address');
    const { keyList, pins } = options;
    this.#net = net;
    this.#options = options;
    this.#trust = { list: keyList, pins: keyList?.pins ?? pins ?? [] };
  }

  async call(verbName: string, message: Wire, signal: AbortSignal): Promise<Wire> {
    const { addresses } = this.#options;
    const failures: HoldfastError[] = [];
    const first = this.#preferred;
    for (let offset = 0; offset < addresses.length; offset++) {
      const index = (first + offset) % addresses.length;
      try {
        const answer = await this.#callAt(addresses[index] as string, verbName, message, signal);
        this.#preferred = index;
        return answer;
      } catch (error) {
        if (signal.aborted || this.#closed || !isAboutTheAddress(error)) throw error;
        failures.push(error);
      }
    }
    throw failures.find((error) => error.retry === 'later') ?? failures[0];
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#closePeers();
  }

  async #callAt(address: string, verbName: string, message: Wire, signal: AbortSignal): Promise<Wire> {
    const trust = this.#trust;
    try {
      return await this.#peerAt(address).call(verbName, message, signal);
    } catch (error) {
      if (!hasCode(error, 'unknown_pin') || !wasNotSent(error) || proofKind(address, this.#options) !== 'pinned')
        throw error;
      await this.#learn(address, trust, signal);
      if (this.#trust === trust) throw error;
      return this.#peerAt(address).call(verbName, message, signal);
    }
  }

  #peerAt(address: string): Peer {
    if (this.#closed) throw new HoldfastError('unreachable', 'the connection was closed');
    const known = this.#peers.get(address);
    if (known) return known;
    const { credential, show } = this.#options;
    const peer = this.#net.connect(address, this.#proof(address), {
      ...(credential === undefined ? {} : { credential }),
      ...(show === undefined ? {} : { show }),
    });
    this.#peers.set(address, peer);
    return peer;
  }

  #proof(address: string): Proof {
    const kind = proofKind(address, this.#options);
    return kind === 'pinned' ? { kind, pins: this.#trust.pins } : { kind };
  }

  /** Afterwards `#trust` is another one where a newer list was found (by this call, or by one before it). */
  #learn(address: string, outdated: Trust, signal: AbortSignal): Promise<void> {
    const turn = this.#learning.then(async () => {
      if (this.#trust !== outdated || this.#closed) return;
      const bytes = await this.#askForKeys(address, signal);
      const list = bytes && verifyKeyList(this.#options.primitives, bytes, this.#options.cluster);
      if (!bytes || !list || (outdated.list && !isNewer(list, outdated.list))) return;
      await this.#options.onKeyList(list, bytes);
      this.#trust = { list, pins: list.pins };
      // Connections under the old trust end, too: a key that is no longer signed for may be in other hands.
      await this.#closePeers();
    });
    this.#learning = turn.catch(() => {});
    return turn;
  }

  /** Null where it has none to show: its key is then unknown for good. */
  async #askForKeys(address: string, signal: AbortSignal): Promise<Uint8Array | null> {
    const stranger = this.#net.connect(address, { kind: 'unverified' }, {});
    try {
      const { parts } = await ask(stranger, keys, {}, signal);
      return parts[0] ?? null;
    } catch (error) {
      if (signal.aborted) throw givenUp(signal);
      if (error instanceof HoldfastError) return null;
      throw error;
    } finally {
      await stranger.close();
    }
  }

  async #closePeers(): Promise<void> {
    const peers = [...this.#peers.values()];
    this.#peers.clear();
    await Promise.all(peers.map((peer) => peer.close()));
  }
}

function proofKind(address: string, { webpki }: PinnedPeerOptions): 'loopback' | 'public' | 'pinned' {
  if (address.startsWith('http:')) return 'loopback';
  return webpki ? 'public' : 'pinned';
}

/** Nothing was sent, and the reason lies with this one address. `invalid_field`: no connection can be made to such an address at all. */
function isAboutTheAddress(error: unknown): error is HoldfastError {
  return hasCode(error, 'unreachable', 'unknown_pin', 'invalid_field') && wasNotSent(error);
}
