import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { nodePrimitives as p } from '#world/real/primitives.ts';
import { goldenPattern, readGolden } from '../../test/golden.ts';
import { must } from './assert.ts';
import { concat, fromHex, toHex, utf8 } from './bytes.ts';
import { MIB } from './limits.ts';
import {
  SEAL_OVERHEAD_BYTES,
  blockIdOf,
  blockKeyOf,
  deriveSealKey,
  openBlock,
  openClaimedBlock,
  openForeignBlock,
  padmeLength,
  sealData,
  sealZstdFrame,
  type BlockKind,
} from './seal.ts';

type Golden = {
  keys: Record<string, string>;
  derived: { key: string; kind: BlockKind; sivKey: string; blockKeyKey: string }[];
  padme: [number, number][];
  blocks: {
    name: string;
    key: string;
    kind: BlockKind;
    codec: 'none' | 'zstd';
    padding: 'none' | 'padme';
    pattern?: number;
    plain?: string;
    frame?: string;
    siv: string;
    blockKey: string;
    block?: string;
    id: string;
  }[];
};
const golden = readGolden<Golden>('seal');
const hex = (text: string | undefined): Uint8Array => must(fromHex(must(text, 'a field')), 'hexadecimal');
const K1 = hex(golden.keys.K1);
const K2 = hex(golden.keys.K2);
const dataKey = deriveSealKey(p, K1, 'data');
const ample = 16 * MIB;

test('golden: derived keys and padding', () => {
  for (const row of golden.derived) {
    const key = deriveSealKey(p, hex(golden.keys[row.key]), row.kind);
    assert.equal(toHex(key.sivKey), row.sivKey);
    assert.equal(toHex(key.blockKeyKey), row.blockKeyKey);
  }
  for (const [length, padded] of golden.padme) assert.equal(padmeLength(length), padded);
});

for (const row of golden.blocks) {
  test(`golden block: ${row.name}`, () => {
    const key = deriveSealKey(p, hex(golden.keys[row.key]), row.kind);
    const plain = row.pattern === undefined ? hex(row.plain) : goldenPattern(row.pattern, (bytes) => p.sha256(bytes));
    const block =
      row.codec === 'zstd'
        ? sealZstdFrame(p, key, hex(row.frame), row.padding)
        : sealData(p, key, plain, { compression: 'none', padding: row.padding });
    assert.equal(toHex(block.subarray(8, 40)), row.siv);
    if (row.block !== undefined) assert.equal(toHex(block), row.block);
    assert.equal(blockIdOf(p, block), row.id);
    assert.equal(toHex(must(blockKeyOf(p, key, block), 'a whole block')), row.blockKey);
    assert.deepEqual(openBlock(p, key, block, plain.length), plain);
    assert.equal(openBlock(p, key, block, plain.length - 1), null);
  });
}

test('one chunk never meets one block key with other bytes', () => {
  const words = ['holdfast', 'kelp', 'strand', 'rock', 'anchor', 'tide', 'grip', 'root'];
  const plain = utf8([...goldenPattern(20_000, (bytes) => p.sha256(bytes))].map((byte) => words[byte & 7]).join(' '));
  const frames = [
    p.zstdCompress(plain, 1),
    p.zstdCompress(plain, 3),
    zstdCompressSync(plain, { pledgedSrcSize: plain.length, params: { [constants.ZSTD_c_compressionLevel]: 19 } }),
    // Without its size, as a stream writes it: no reader takes it, but no key may be shared even so.
    zstdCompressSync(plain, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } }),
  ];
  assert.equal(new Set(frames.map(toHex)).size, frames.length, 'the frames differ');
  const blockKeys: string[] = [];
  for (const kind of ['data', 'manifest', 'metadata'] as const) {
    for (const version of [K1, K2]) {
      const key = deriveSealKey(p, version, kind);
      for (const padding of ['none', 'padme'] as const) {
        const blocks = frames.map((frame) => sealZstdFrame(p, key, frame, padding));
        blocks.push(sealData(p, key, plain, { compression: 'none', padding }));
        blockKeys.push(...blocks.map((block) => toHex(must(blockKeyOf(p, key, block), 'a whole block'))));
      }
    }
  }
  assert.equal(blockKeys.length, 60);
  assert.equal(new Set(blockKeys).size, blockKeys.length);
});

test('what is sealed opens, with and without compression and padding, and is the same each time', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom('none' as const, 'usual' as const, 'strong' as const),
      fc.constantFrom('none' as const, 'padme' as const),
      (piece, times, compression, padding) => {
        const plain = concat(...Array.from({ length: times }, () => piece));
        const plainHash = p.sha256(plain);
        const block = sealData(p, dataKey, plain, { compression, padding });
        assert.deepEqual(sealData(p, dataKey, plain, { compression, padding, plainHash }), block);
        assert.deepEqual(openBlock(p, dataKey, block, plain.length), plain);
        assert.deepEqual(openClaimedBlock(p, dataKey, block, { plainLength: plain.length, plainHash }), plain);
        const blockKey = must(blockKeyOf(p, dataKey, block), 'a whole block');
        assert.deepEqual(openForeignBlock(p, blockKey, block, { plainLength: plain.length, plainHash }), plain);
      },
    ),
  );
});

test('compression is kept where it helps, and only there', () => {
  const text = utf8('compressible '.repeat(20_000));
  const noise = goldenPattern(200_000, (bytes) => p.sha256(bytes));
  assert(sealData(p, dataKey, text).length < text.length / 4);
  assert.equal(sealData(p, dataKey, noise).length, noise.length + 64);
  // The first 64 KiB decide: what looks like noise there is not tried further.
  assert.equal(sealData(p, dataKey, concat(noise, text)).length, noise.length + text.length + 64);
  assert.equal(sealData(p, deriveSealKey(p, K1, 'manifest'), text).length, text.length + 64);
});

test('a claim that is not true is refused', () => {
  for (const plain of [utf8('short'), utf8('compressible '.repeat(100))]) {
    const block = sealData(p, dataKey, plain);
    const blockKey = must(blockKeyOf(p, dataKey, block), 'a whole block');
    const plainHash = p.sha256(plain);
    const lies = [
      { plainLength: plain.length, plainHash: p.sha256(utf8('x')) },
      { plainLength: plain.length + 1, plainHash },
      { plainLength: plain.length - 1, plainHash },
    ];
    for (const lie of lies) {
      assert.equal(openClaimedBlock(p, dataKey, block, lie), null);
      assert.equal(openForeignBlock(p, blockKey, block, lie), null);
    }
  }
});

test('open refuses every flipped bit, every cut and every addition', () => {
  for (const plain of [utf8('holdfast'), utf8('compressible '.repeat(30))]) {
    const block = sealData(p, dataKey, plain, { padding: 'padme' });
    for (let index = 0; index < block.length; index++) {
      for (const bit of [1, 128]) {
        const changed = block.slice();
        changed[index] = (changed[index] as number) ^ bit;
        assert.equal(openBlock(p, dataKey, changed, ample), null, `byte ${index}`);
      }
    }
    for (let length = 0; length < block.length; length++) {
      assert.equal(openBlock(p, dataKey, block.subarray(0, length), ample), null, `cut to ${length}`);
    }
    assert.equal(openBlock(p, dataKey, concat(block, Uint8Array.of(0)), ample), null);
    // A tag of four bytes must not pass for one of sixteen.
    assert.equal(openBlock(p, dataKey, block.subarray(0, block.length - 12), ample), null);
  }
});

test('open refuses another key, kind or version', () => {
  const block = sealData(p, dataKey, utf8('holdfast'));
  assert.equal(openBlock(p, deriveSealKey(p, K2, 'data'), block, ample), null);
  assert.equal(openBlock(p, deriveSealKey(p, K1, 'manifest'), block, ample), null);
  // Even under its very keys, a block of one kind is none of another.
  assert.equal(openBlock(p, { ...dataKey, kind: 'manifest' }, block, ample), null);
  for (const prefix of ['4846420201000000', '4846420104000000', '4846420101000001', '4846430101000000']) {
    assert.equal(openBlock(p, dataKey, forge({ prefix: hex(prefix) }), ample), null, prefix);
  }
  assert.deepEqual(openBlock(p, dataKey, forge({}), ample), utf8('holdfast'), 'the forger forges rightly');
});

/** A block with a valid tag whose sealer, who has the keys, departs from the format in one point. */
function forge(change: {
  readonly prefix?: Uint8Array;
  readonly innerHead?: Uint8Array;
  readonly data?: Uint8Array;
  readonly padding?: Uint8Array;
  readonly siv?: Uint8Array;
}): Uint8Array {
  const prefix = change.prefix ?? hex('4846420101000000');
  const data = change.data ?? utf8('holdfast');
  const padding = change.padding ?? new Uint8Array(0);
  const innerHead = change.innerHead ?? Uint8Array.of(0, 0, 0, 0, 0, 0, 0, data.length);
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, innerHead.length + data.length + padding.length);
  const siv = change.siv ?? p.hmacSha256(dataKey.sivKey, prefix, innerHead, length, p.sha256(data));
  const head = concat(prefix, siv);
  const blockKey = p.hmacSha256(dataKey.blockKeyKey, siv);
  return p.aes256GcmSeal(blockKey, new Uint8Array(12), head, [innerHead, data, padding], head);
}

test('open refuses what a sealer with the keys got wrong', () => {
  const refused = (why: string, change: Parameters<typeof forge>[0]): void =>
    assert.equal(openBlock(p, dataKey, forge(change), ample), null, why);
  refused('a siv of other content', { siv: p.sha256(utf8('another')) });
  refused('padding that is not zero', { padding: Uint8Array.of(0, 0, 1) });
  refused('an unknown codec', { innerHead: Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 8) });
  refused('a reserved byte', { innerHead: Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 8) });
  refused('a length beyond the end', { innerHead: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 9) });
  refused('a length before the end', { innerHead: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 7) });
  refused('no data', { data: new Uint8Array(0) });
  refused('no data, but padding', { data: new Uint8Array(0), padding: new Uint8Array(1) });
  const frame = p.zstdCompress(utf8('holdfast'), 1);
  const frameHead = (codec: number): Uint8Array => Uint8Array.of(codec, 0, 0, 0, 0, 0, 0, frame.length);
  refused('a frame under an unknown codec', { data: frame, innerHead: frameHead(2) });
  assert.deepEqual(openBlock(p, dataKey, forge({ data: frame, innerHead: frameHead(1) }), ample), utf8('holdfast'));
  assert.deepEqual(openBlock(p, dataKey, forge({ padding: new Uint8Array(5) }), ample), utf8('holdfast'));
});

test('open refuses every frame that is not one whole honest one', () => {
  const frame = p.zstdCompress(utf8('compressible '.repeat(100)), 1);
  const refused = (why: string, bytes: Uint8Array): void =>
    assert.equal(openBlock(p, dataKey, sealZstdFrame(p, dataKey, bytes), ample), null, why);
  refused('two frames', concat(frame, frame));
  refused('bytes behind it', concat(frame, utf8('x')));
  refused('cut', frame.subarray(0, frame.length - 1));
  refused('no frame at all', utf8('holdfast'));
  refused('a bomb', p.zstdCompress(new Uint8Array(ample + 1), 1));
  const full = new Uint8Array(ample);
  assert.deepEqual(openBlock(p, dataKey, sealZstdFrame(p, dataKey, p.zstdCompress(full, 1)), ample), full);
});

test('data beyond the limits is a defect of the caller', () => {
  assert.throws(() => sealData(p, dataKey, new Uint8Array(0)), { name: 'Defect' });
  assert.throws(() => sealData(p, dataKey, new Uint8Array(ample + 1)), { name: 'Defect' });
});

test('compression: never, as usual, or strong; each opens to the same bytes, and what is not worth it is left alone', () => {
  const words = Array.from({ length: 500 }, (_, at) => toHex(p.sha256(utf8(String(at)))).slice(0, 3 + (at % 6)));
  const picks = Array.from({ length: 1500 }, (_, at) => [...p.sha256(utf8(`pick ${at}`)).subarray(0, 8)]).flat();
  const text = utf8(picks.map((pick, at) => words[(pick * (at % 7)) % words.length]).join(' '));
  const sealed = (plain: Uint8Array, compression?: 'none' | 'usual' | 'strong') =>
    sealData(p, dataKey, plain, compression === undefined ? {} : { compression });
  const [none, usual, strong] = [sealed(text, 'none'), sealed(text, 'usual'), sealed(text, 'strong')];
  assert.equal(none.length, text.length + SEAL_OVERHEAD_BYTES);
  assert.ok(usual.length < 0.7 * text.length && strong.length < usual.length, `${usual.length} ${strong.length}`);
  assert.deepEqual(sealed(text), usual);
  for (const block of [none, usual, strong]) assert.deepEqual(openBlock(p, dataKey, block, text.length), text);
  const noise = concat(...Array.from({ length: 400 }, (_, index) => p.sha256(utf8(String(index)))));
  assert.deepEqual(sealed(noise, 'strong'), sealed(noise, 'none'));
  assert.equal(sealed(new Uint8Array(5000), 'none').length, 5000 + SEAL_OVERHEAD_BYTES);
});
