import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError } from '#core/errors.ts';
import { stderrLog, type LogLevel } from './log.ts';

function recorded(level: LogLevel) {
  const lines: string[] = [];
  return { lines, log: stderrLog(level, { write: (line) => lines.push(line) }, () => 0) };
}

test('an event is one line: time, level, message, facts', () => {
  const { log, lines } = recorded('info');
  log.info('listening', { port: 12345, at: 'any address', error: new HoldfastError('busy', 'later') });
  assert.deepEqual(lines, [
    '1970-01-01T00:00:00.000Z info  listening port=12345 at="any address" error="busy: later"\n',
  ]);
});

test('what lies below the level is not written', () => {
  const { log, lines } = recorded('error');
  log.info('a');
  log.warn('b');
  log.error('c');
  assert.equal(lines.length, 1);
});

test('no text forges a line or reaches the terminal as a control sequence', () => {
  const { log, lines } = recorded('info');
  log.warn('a\nb\u001b[2J', { name: 'x\u2028y\r', error: new Error('first\nsecond') });
  assert.equal(lines.length, 1);
  // oxlint-disable-next-line no-control-regex
  assert.match(lines[0] as string, /^[^\u0000-\u001f\u2028]*\n$/);
});

test('credentials are cut out of messages and facts', () => {
  const { log, lines } = recorded('info');
  log.info('token hfd1.abc.SECRETx refused', {
    header: 'Bearer SECRETy',
    link: 'https://h:1/join#SECRETz',
    ticket: 'hfn1.SECRETw',
    nested: { token: 'hfd1.abc.SECRETv' },
  });
  assert.doesNotMatch(lines.join(), /SECRET/);
  assert.match(lines.join(), /hfd1\.abc\.\[secret\]/);
});

test('facts that JSON cannot say are still one line', () => {
  const { log, lines } = recorded('info');
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  log.error('odd', { circle, nothing: undefined, big: 3n });
  assert.equal(lines[0], '1970-01-01T00:00:00.000Z error odd circle=[object Object] nothing=undefined big=3\n');
});
