/** The page that a browser gets at `/`: what runs and how to add a device. For strangers too, so it names no file, device or address. */
import { utf8 } from '#core/bytes.ts';
import type { Primitives } from '#core/primitives.ts';
import { devicesOf, firstAccount } from '#meta/accounts.ts';
import { allPools } from '#meta/clusters.ts';
import type { NodeRow } from '#protocol/cluster.ts';
import type { Page } from '#world/net.ts';
import { describeHealth } from './cluster-view.ts';
import type { Jobs } from './jobs.ts';
import type { ServerContext } from './server-context.ts';

const STYLE = `
:root { color-scheme: light dark; --ink: #16211d; --soft: #5b6b65; --paper: #f6f8f6; --card: #ffffff; --line: #dde5e1; --kelp: #1f7a5c; --amber: #a86400; --red: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eeea; --soft: #93a49d; --paper: #0f1513; --card: #171f1c; --line: #27332e; --kelp: #5cc79f; --amber: #e0a23c; --red: #ff8a80; } }
* { box-sizing: border-box; margin: 0; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); padding: 3rem 1.25rem; }
main { max-width: 46rem; margin: 0 auto; display: grid; gap: 1.5rem; }
h1 { font-size: 1.6rem; letter-spacing: -0.01em; }
h2 { font-size: 0.8rem; text-transform: uppercase; letter-spacing: 0.08em; color: var(--soft); margin-bottom: 0.75rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 0.75rem; padding: 1.25rem; }
.lead { color: var(--soft); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; }
.facts b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: 0.875rem; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: 0.875rem; }
th, td { padding: 0.4rem 0.5rem 0.4rem 0; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; }
.ok { color: var(--kelp); } .warn { color: var(--amber); } .bad { color: var(--red); }
code { font: 0.9em/1.5 ui-monospace, monospace; background: var(--paper); border: 1px solid var(--line); border-radius: 0.375rem; padding: 0.1rem 0.4rem; }
p + p { margin-top: 0.5rem; }
.wide { overflow-x: auto; }
`;

export async function renderStatusPage(context: ServerContext, jobs: Jobs): Promise<Page> {
  const status = await describeHealth(context, jobs);
  const { pools, devices } = await context.meta.read(async (reader) => {
    const account = await firstAccount(reader);
    return { pools: await allPools(reader), devices: account ? await devicesOf(reader, account.account) : [] };
  });
  const linked = devices.filter(({ revokedMs }) => revokedMs === null).length;
  const sound = status.problems.length === 0 && status.copiesAtRisk === 0;
  const lead = sound
    ? '<span class="ok">●</span> Everything is well.'
    : `<span class="warn">●</span> ${escape(status.problems[0]?.message ?? 'some blocks have fewer copies than they should')}.`;
  const storedBytes = status.nodes.reduce((sum, node) => sum + node.storedBytes, 0);
  const facts = [
    [String(linked), linked === 1 ? 'device linked' : 'devices linked'],
    [String(status.uploading), 'uploads under way'],
    [bytesText(storedBytes), 'stored, sealed'],
    [durationText(context.clock.nowMs() - context.startedMs), 'running'],
  ];
  const body = `<main>
<header><h1>Holdfast</h1><p class="lead">${lead}</p></header>
<section class="facts">${facts.map(([value, name]) => `<div><b>${escape(value ?? '')}</b><span>${name}</span></div>`).join('')}</section>
<section class="wide"><h2>Storage</h2><table><tr><th>Pool</th><th>Storage node</th><th>State</th><th class="number">Blocks</th><th class="number">Stored</th><th class="number">Free</th></tr>
${pools.map(({ pool, copies }) => poolRows(pool, copies, status.nodes)).join('\n')}
</table></section>
<section><h2>Add a device</h2><p>On a machine that is linked already, run <code>holdfast invite</code>.</p><p>On the new device, run <code>holdfast join <i>link</i> <i>folder</i></code> with the link that it prints.</p></section>
<p class="lead">Holdfast ${escape(context.version)}, cluster ${context.cluster.cluster.slice(0, 8)}</p>
</main>`;
  return page(context.primitives, body);
}

function poolRows(pool: string, copies: number, nodes: readonly NodeRow[]): string {
  const own = nodes.filter((node) => node.pool === pool);
  const name = `${escape(pool)} <span class="lead">${copies === 1 ? '1 copy, not protected' : `${copies} copies`}</span>`;
  if (own.length === 0) return `<tr><td>${name}</td><td colspan="5" class="warn">no storage node yet</td></tr>`;
  return own
    .map(
      (node, index) =>
        `<tr><td>${index === 0 ? name : ''}</td><td>${escape(node.name)}</td><td class="${toneOf(node)}">${stateText(node)}</td>` +
        `<td class="number">${node.blocks}</td><td class="number">${bytesText(node.storedBytes)}</td><td class="number">${bytesText(node.freeBytes)}</td></tr>`,
    )
    .join('\n');
}

function toneOf({ state, standing, lies }: NodeRow): string {
  if (standing === 'distrusted' || lies) return 'bad';
  if (state === 'ok') return 'ok';
  return state === 'failed' ? 'bad' : 'warn';
}

function stateText({ state, standing, lies }: NodeRow): string {
  if (standing === 'distrusted') return 'out of service: wrong answers';
  if (lies) return 'wrong answers';
  return { ok: 'well', read_only: 'full', failed: 'disk errors', unreachable: 'not reachable' }[state];
}

/** The policy names the style by its hash: nothing else runs or loads, whatever a name in the page may hold. */
function page(primitives: Primitives, body: string): Page {
  const policy = `default-src 'none'; style-src 'sha256-${toBase64(primitives.sha256(utf8(STYLE)))}'; base-uri 'none'; form-action 'none'`;
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}"><meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="15"><title>Holdfast</title><style>${STYLE}</style></head>
<body>${body}</body></html>
`;
  return { status: 200, contentType: 'text/html; charset=utf-8', body: utf8(html) };
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export function bytesText(bytes: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function durationText(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / 60_000));
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** RFC 4648 section 4, with padding, as content security policies want it. */
function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (let index = 0; index < bytes.length; index += 3) {
    const [first = 0, second, third] = bytes.subarray(index, index + 3);
    const bits = (first << 16) | ((second ?? 0) << 8) | (third ?? 0);
    text += BASE64.charAt(bits >>> 18) + BASE64.charAt((bits >>> 12) & 63);
    text += second === undefined ? '=' : BASE64.charAt((bits >>> 6) & 63);
    text += third === undefined ? '=' : BASE64.charAt(bits & 63);
  }
  return text;
}
