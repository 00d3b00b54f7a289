import { gateByLeader, LeaderService, type LeadershipState, type Term } from 'nestjs-dist-lock';
import { defer, EMPTY, map, type MonoTypeOperatorFunction, type Observable, switchMap } from 'rxjs';
import { type RunHelpers, TestScheduler } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';

const term = (number: number): Term => ({ number, election: 'default', signal: new AbortController().signal });
const TERMS: Record<string, Term | null> = { a: term(1), b: term(2), x: null };

/** A leader whose news is `told`, while what is true at each moment is `truth`; where it is left out, the same. */
class MarbleLeader {
  readonly state$: Observable<LeadershipState>;
  state = stateOf(null);
  readonly whileLeader = LeaderService.prototype.whileLeader;

  constructor(cold: RunHelpers['cold'], told: string, truth = told) {
    this.state$ = defer(() => {
      cold(truth, TERMS).subscribe((current) => (this.state = stateOf(current)));
      return cold(told, TERMS).pipe(map(stateOf));
    });
  }
}

function stateOf(current: Term | null): LeadershipState {
  return { election: 'default', role: current ? 'leader' : 'follower', leader: null, term: current, since: 0 };
}

/** Trusts the last news: what the gate must be better than. */
function gateByNews<T>(leader: MarbleLeader): MonoTypeOperatorFunction<T> {
  return (source) => leader.state$.pipe(switchMap(({ term: current }) => (current ? source : EMPTY)));
}

interface Story {
  told: string;
  truth?: string;
  source: string;
  expected: string;
  subscribed: string[];
}

function play({ told, truth, source, expected, subscribed }: Story, gate: typeof gateByNews): void {
  new TestScheduler((actual, wanted) => expect(actual).toEqual(wanted)).run((helpers) => {
    const leader = new MarbleLeader(helpers.cold, told, truth);
    const cold = helpers.cold(source);
    const end = '!'.padStart(expected.length + 1, '-');
    helpers.expectObservable(cold.pipe(gate(leader)), end).toBe(expected);
    const whole = subscribed.map((marbles) => (marbles.includes('!') ? marbles : marbles + end.slice(marbles.length)));
    helpers.expectSubscriptions(cold.subscriptions).toBe(whole);
  });
}

const gateByService = gateByLeader as unknown as typeof gateByNews;

const STORIES: [string, Story][] = [
  ['emits nothing before the first term', { told: 'x-----', source: '1-2-3-', expected: '------', subscribed: [] }],
  [
    'subscribes to the source when a term begins',
    { told: 'x--a----', source: '1-2-3-', expected: '---1-2-3', subscribed: ['---^'] },
  ],
  [
    'unsubscribes when the term ends',
    { told: 'a---x---', source: '1-2-3-4-', expected: '1-2-----', subscribed: ['^---!'] },
  ],
  [
    'starts the source anew in the next term',
    { told: 'a---x--b----', source: '1-2-3-', expected: '1-2----1-2-3', subscribed: ['^---!', '-------^'] },
  ],
  [
    'starts it anew where a term follows another without an end between',
    { told: 'a---b----', source: '1-2-3-', expected: '1-2-1-2-3', subscribed: ['^---!', '----^'] },
  ],
  [
    'goes on in the next term after the source has completed',
    { told: 'a---x-b---', source: '1-|', expected: '1-----1---', subscribed: ['^-!', '------^-!'] },
  ],
  ['passes on an error within a term', { told: 'a------', source: '1-#', expected: '1-#', subscribed: ['^-!'] }],
  ['completes at shutdown', { told: 'a---x-|', source: '1-2-3-', expected: '1-2---|', subscribed: ['^---!'] }],
];

const BLOCKED: [string, Story][] = [
  [
    'emits nothing after the end of a term of which the news is late',
    { told: 'a-----x--', truth: 'a--x-----', source: '1-2-3-4-', expected: '1-2------', subscribed: ['^---!'] },
  ],
  [
    'does not start the source in a term that is over when the news of it arrives',
    { told: '---a--x--', truth: '-ax------', source: '1-2-3-', expected: '---------', subscribed: [] },
  ],
  [
    'drops an error that comes after the end of its term',
    {
      told: 'a-----x-b-',
      truth: 'a--x----b-',
      source: '1---#',
      expected: '1-------1-',
      subscribed: ['^---!', '--------^'],
    },
  ],
];

describe('gateByLeader', () => {
  it.each(STORIES)('%s', (_title, story) => play(story, gateByService));

  describe('in an event loop that was blocked', () => {
    it.each(BLOCKED)('%s', (_title, story) => {
      play(story, gateByService);
    });

    it.each(BLOCKED)('control, a gate that trusts the last news: %s', (_title, story) => {
      expect(() => play(story, gateByNews)).toThrow(/deeply equal/);
    });
  });
});
