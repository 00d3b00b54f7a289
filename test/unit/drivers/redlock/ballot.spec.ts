import { describe, expect, it } from 'vitest';
import { DriverUnavailableError } from '../../../../lib/core/errors.js';
import type { LockRecord, TokenBlock } from '../../../../lib/core/lock-driver.js';
import { count, mayBeGrantedBefore, type Vote } from '../../../../lib/drivers/redlock/ballot.js';
import { agreed } from '../../../../lib/drivers/redlock/tokens.js';

const SIZE = 5;
const ME = 'm';
const granted: Vote = { fencingToken: 1, tokens: 64 };
const record = (holder: string, remaining = 1000): LockRecord => ({
  holder,
  instance: `instance of ${holder}`,
  fencingToken: 7,
  since: 1,
  remaining,
  metadata: {},
  waiters: 0,
});

/** 'm' a vote for us, '-' one that was given back before, '?' no answer yet, '!' a failure, else who has it. */
function result(answers: string, letPass: string[] = []): string {
  const all = answers.split('');
  const votes = all.filter((answer) => !'?!'.includes(answer));
  const tally = {
    answers: votes.map((answer): Vote => {
      if (answer === ME) return granted;
      return { record: answer === '-' ? null : record(answer) };
    }),
    failures: all.filter((answer) => answer === '!').map(() => new DriverUnavailableError('down', { sent: true })),
    pending: all.filter((answer) => answer === '?').length,
  };
  const outcome = count(tally, SIZE, ME, new Set(letPass));
  if (!outcome) return 'open';
  return 'record' in outcome ? `${outcome.status} to ${outcome.record?.holder ?? 'nobody'}` : outcome.status;
}

describe('the votes', () => {
  it.each([
    ['mmm??', 'won'],
    ['mm???', 'open'],
    ['mm!!?', 'open'],
    ['mm!!m', 'won'],
    ['aaa??', 'lost to a'],
    ['aa???', 'open'],
    ['aab??', 'behind to a'],
    ['maa??', 'open'],
    ['maaa?', 'lost to a'],
    ['---??', 'lost to nobody'],
    // A split vote: most votes, of equals the smallest id. All who see it come to the same end.
    ['mmabc', 'ahead to a'],
    ['mmzzx', 'ahead to z'],
    ['mmaaz', 'behind to a'],
    ['maazz', 'behind to a'],
    ['mabcd', 'behind to a'],
    ['mzyxw', 'ahead to w'],
    ['aabbc', 'behind to a'],
    // Neither "held by another" nor "store down" without a quorum of answers.
    ['aa!!?', 'open'],
    ['aa!!a', 'lost to a'],
    ['ma!!a', 'behind to a'],
  ])('%s: %s', (answers, expected) => {
    expect(result(answers)).toBe(expected);
  });

  it.each(['!!!??', 'mm!!!', 'aa!!!', '!!!!!'])('%s: the store is down', (answers) => {
    expect(() => result(answers)).toThrow(DriverUnavailableError);
  });

  it('count against who was let pass before and did not get the lease, as it may be dead', () => {
    expect(result('mmaaz', ['a'])).toBe('ahead to z');
    expect(result('maazz', ['a'])).toBe('behind to z');
    expect(result('maaaz', ['a', 'z'])).toBe('lost to a');
  });
});

/** What a server does with tokens, as the scripts do. */
class Tokens {
  last = 0;
  vote(proposed: number): TokenBlock {
    const fencingToken = Math.max(this.last + 1, proposed);
    this.last = fencingToken + 63;
    return { fencingToken, tokens: 64 };
  }
  raise({ fencingToken, tokens }: TokenBlock): void {
    this.last = Math.max(this.last, fencingToken + tokens - 1);
  }
}

describe('a claim that may have been granted before', () => {
  // 't' and 'u' are votes that it had before, each with one token of its own.
  it.each([
    ['t????', true],
    ['ttmm?', true],
    ['tmm??', true],
    ['tmmm?', false],
    ['ttt??', false],
    ['tuum?', true],
    ['tumm?', false],
    ['tu-??', true],
    ['ttmm!', false],
    ['mmm??', false],
    ['aa???', false],
  ])('%s: waits for more answers: %s', (votes, waits) => {
    const answers = votes
      .replace(/[?!]/g, '')
      .split('')
      .map((vote): Vote => {
        if (vote === ME) return granted;
        if (vote === 't' || vote === 'u') return { fencingToken: vote === 't' ? 8 : 9, tokens: 1 };
        return { record: vote === '-' ? null : record(vote) };
      });
    const failures = votes.split('!').slice(1);
    expect(mayBeGrantedBefore({ answers, failures, pending: votes.split('?').length - 1 }, SIZE)).toBe(waits);
  });
});

// Rule S7 of docs/internals/safety.md.
describe('the fencing token', () => {
  type Rule = (votes: readonly TokenBlock[]) => { block: TokenBlock; isReserved: boolean };

  /** Thousands of grants, each by a random quorum, after votes that came to nothing, with clocks that disagree. */
  function violations(rule: Rule, raise: (block: TokenBlock, servers: Tokens[]) => void, seed: number): number {
    const random = randomFrom(seed);
    const servers = Array.from({ length: SIZE }, () => new Tokens());
    const some = (many: number): Tokens[] => servers.toSorted(() => random() - 0.5).slice(0, many);
    let last = 0;
    let wrong = 0;
    for (let now = 1_000_000; now < 1_200_000; now += 100) {
      const proposed = now + Math.floor((random() - 0.5) * 20_000);
      // A contender without a majority, or one whose answers were lost.
      if (random() < 0.5) for (const server of some(1 + Math.floor(random() * SIZE))) server.vote(proposed + 5000);
      const quorum = some(3 + Math.floor(random() * 3));
      const { block, isReserved } = rule(quorum.map((server) => server.vote(proposed)));
      if (!isReserved)
        raise(
          block,
          some(SIZE)
            .filter((server) => quorum.includes(server))
            .slice(0, 3),
        );
      if (block.fencingToken <= last) wrong++;
      last = Math.max(last, block.fencingToken + block.tokens - 1);
    }
    return wrong;
  }

  const raiseOnQuorum = (block: TokenBlock, servers: Tokens[]): void =>
    servers.forEach((server) => server.raise(block));
  const seeds = Array.from({ length: 20 }, (_, seed) => seed + 1);

  it('is above all earlier ones, whichever quorum votes and whatever the clocks say', () => {
    for (const seed of seeds) expect(violations((votes) => agreed(votes, SIZE), raiseOnQuorum, seed)).toBe(0);
  });

  it.each<[string, Rule, typeof raiseOnQuorum]>([
    ['that is not raised on a quorum', (votes) => agreed(votes, SIZE), () => undefined],
    [
      'raised on too few',
      (votes) => agreed(votes, SIZE),
      (block, servers) => raiseOnQuorum(block, servers.slice(0, 1)),
    ],
    ['that is the first answer', ([first]) => ({ block: first!, isReserved: true }), raiseOnQuorum],
    ['on which two servers agree', (votes) => agreed(votes, 3), raiseOnQuorum],
  ])('control: one %s is not', (_, rule, raise) => {
    expect(seeds.some((seed) => violations(rule, raise, seed) > 0)).toBe(true);
  });

  it('needs one phase where a quorum answered alike, and no other number', () => {
    const block = (fencingToken: number, tokens = 64): TokenBlock => ({ fencingToken, tokens });
    expect(agreed([block(5), block(5), block(5)], 5)).toEqual({ block: block(5), isReserved: true });
    expect(agreed([block(5), block(9), block(5), block(5)], 5)).toEqual({ block: block(5), isReserved: true });
    expect(agreed([block(5), block(9), block(5)], 5)).toEqual({ block: block(9), isReserved: false });
    // Of a grant that is repeated the other numbers may be in use.
    expect(agreed([block(5), block(5, 1), block(5)], 5)).toEqual({ block: block(5, 1), isReserved: true });
  });
});

function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}
