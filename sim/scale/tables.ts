/** Figures as the tables of docs/scale.md. */
import type { Case } from './case.ts';
import type { Change } from './changes.ts';

type Column = readonly [head: string, of: (one: Case) => string];

const percent = (share: number, digits = 1) => `${(100 * share).toFixed(digits)} %`;
const small = (chance: number) => (chance >= 0.01 ? chance.toFixed(2) : chance === 0 ? '0' : chance.toExponential(1));
const hours = (seconds: number) => (seconds < 36_000 ? (seconds / 3600).toFixed(1) : (seconds / 3600).toFixed(0));
const chance = (perYear: number) => small(-Math.expm1(-perYear));

const WHO: readonly Column[] = [
  ['domains', ({ kind }) => kind],
  ['nodes', ({ nodes }) => String(nodes)],
  ['copies', ({ copies }) => String(copies)],
];

function table(columns: readonly Column[], cases: readonly Case[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const all = [...WHO, ...columns];
  return [
    line(all.map(([head]) => head)),
    line(all.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...cases.map((one) => line(all.map(([, of]) => of(one)))),
  ].join('\n');
}

export function balanceTable(cases: readonly Case[]): string {
  return table(
    [
      ['fullest / wanted', ({ balance }) => balance.fullest.toFixed(2)],
      ['std. deviation', ({ balance }) => percent(balance.spread)],
      ['fullest / by weight', ({ balance }) => balance.fullestByWeight.toFixed(2)],
      ['empty nodes', ({ balance }) => String(balance.empty)],
      ['copies apart', ({ balance }) => percent(balance.apart, 0)],
      ['partitions gone with a domain', ({ balance }) => String(balance.goneWithDomain)],
    ],
    cases,
  );
}

export function changesTable(cases: readonly Case[]): string {
  const of =
    (pick: (one: Case) => Change): ((one: Case) => string) =>
    (one) => {
      const { moved, own, ideal } = pick(one);
      const all = one.blocks * Math.min(one.copies, one.nodes);
      return `${percent(moved / all, 2)} / ${percent(ideal / all, 2)} / ${own === 0 ? '-' : (moved / own).toFixed(2)}`;
    };
  return table(
    [
      ['one joins', of(({ join }) => join)],
      ['one leaves', of(({ leave }) => leave)],
      ['one doubles', of(({ double }) => double)],
    ],
    cases,
  );
}

export function repairTable(cases: readonly Case[]): string {
  return table(
    [
      ['a node holds (TB)', ({ repair }) => (repair.bytes / 1e12).toFixed(2)],
      ['givers', ({ repair }) => String(repair.givers)],
      ['takers', ({ repair }) => String(repair.takers)],
      ['through the server (h)', ({ repair }) => hours(repair.throughServerS)],
      ['straight (h)', ({ repair }) => hours(repair.straightS)],
      ['server repairs', ({ busy }) => percent(busy)],
    ],
    cases.filter(({ copies }) => copies > 1),
  );
}

export function lossTable(cases: readonly Case[]): string {
  return table(
    [
      ['blocks', ({ blocks }) => blocks.toExponential(0).replace('e+', 'e')],
      ['a year loses something', ({ throughServer }) => chance(throughServer.perYear)],
      ['share lost a year', ({ throughServer }) => small(throughServer.sharePerYear)],
      ['straight: a year loses something', ({ straight }) => chance(straight.perYear)],
      ['played / computed', ({ played }) => played?.toFixed(2) ?? '-'],
    ],
    cases,
  );
}
