// The safety core, broken one rule at a time. A name says what holds without the mutation; S and a number is the
// rule of docs/internals/safety.md. Texts are short, so that they survive most changes of the code around them;
// test/unit/support/mutations.spec.ts checks that each is still there.

const unit = (name) => `test/unit/${name}.spec.ts`;
const core = (name) => unit(`core/${name}`);
const locks = (name) => unit(`locks/${name}`);
const schedule = (name) => unit(`schedule/${name}`);
const leader = (name) => unit(`leader/${name}`);
const integration = (name) => `test/integration/${name}.spec.ts`;
const faults = (name) => `test/faults/${name}.spec.ts`;
const CONTRACT = 'test/contract/drivers.spec.ts';

/** @param defaults specs and grep for those rows that name none */
function inFile(file, defaults, rows) {
  return rows.map(([name, from, to, own = {}]) => {
    const { specs, grep } = own.specs ? own : { ...defaults, ...own };
    return { name, file, from, to, specs, grep };
  });
}

const memory = { specs: [CONTRACT], grep: '^MemoryDriver' };
const redis = { specs: [CONTRACT], grep: '^RedisDriver (?!with Sentinel|on a cluster)' };
const redlock = { specs: [integration('redlock')] };
const redlockContract = { specs: [CONTRACT], grep: '^RedlockDriver on 3 servers (?!facts)' };
const redlockSince = { specs: [integration('redlock-since')] };
const etcd = { specs: [CONTRACT], grep: '^EtcdDriver, members: 1' };

const coreMutations = [
  ...inFile('lib/locks/lease.ts', { specs: [locks('validity')] }, [
    ['S1 a lease is valid for less than its TTL, by a margin', 'ttl - driftMargin(ttl)', 'ttl'],
    [
      'S1 validity runs from the sending of the request',
      'this.#validity(grant.anchor, grant.ttl)',
      'this.#validity(now, grant.ttl)',
    ],
    [
      'S1 validity is that of the TTL that was granted',
      '#validity(grant.anchor, grant.ttl)',
      '#validity(grant.anchor, grant.claim.ttl)',
    ],
    [
      'S1 the newest anchor counts',
      'Math.max(this.#validUntil, this.#validity(anchor, this.claim.ttl))',
      'this.#validity(anchor, this.claim.ttl)',
    ],
    ['S5 a late renewal revives no expired lease', 'if (this.remaining === 0) return false;', ''],
    [
      'S5 what was lost has no time left',
      'this.#ended ? 0 : Math.max(0, this.#validUntil - now)',
      'Math.max(0, this.#validUntil - now)',
    ],
    [
      'S9 a leader is one until its renew deadline only',
      'driftMargin(ttl), this.validFor)',
      'driftMargin(ttl), Infinity)',
      { specs: [leader('election')] },
    ],
    [
      'S4 a lease is renewed every third of its TTL',
      'grant.claim.ttl / 3',
      'grant.claim.ttl / 1.5',
      { specs: [locks('watchdog')] },
    ],
    [
      'a lease that was armed for less is renewed early',
      'grant.ttl < grant.claim.ttl ? grant.ttl / 4 : this.renewEvery',
      'this.renewEvery',
      { specs: [locks('queue')] },
    ],
  ]),
  ...inFile('lib/locks/reserved-tokens.ts', { specs: [locks('queue')] }, [
    [
      'S7 no token beyond the block that was reserved',
      'this.#last = fencingToken + tokens - 1;',
      'this.#last = fencingToken + tokens;',
    ],
  ]),
  ...inFile('lib/core/validity.ts', { specs: [locks('validity')] }, [
    ['S1 the margin is more than one percent', 'Math.ceil(0.01 * ttl) + 2', 'Math.ceil(0.01 * ttl)'],
  ]),
  ...inFile('lib/locks/lease.ts', { specs: [locks('validity'), locks('watchdog'), locks('acquisition')] }, [
    ['S5 a loss aborts the signal', 'this.#controller?.abort(this.#loss);', ''],
    [
      'S5 a signal that is asked for after the loss is aborted',
      'if (this.#loss) this.#controller.abort(this.#loss);',
      '',
    ],
  ]),
  ...inFile('lib/locks/lock.ts', { specs: [locks('validity'), locks('watchdog'), locks('acquisition')] }, [
    ['S6 a release is idempotent', 'this.#released ??= ', 'this.#released = '],
    [
      'S2 a released handle is not held',
      'this.#released ? 0 : this.#hold.remaining',
      'this.#hold.remaining',
      { specs: [locks('call-chain')] },
    ],
    ['S2 ensure() demands the time that it is asked for', "remaining >= toMilliseconds(time, 'ensure()')", 'true'],
  ]),
  ...inFile('lib/core/clock.ts', { specs: [core('clock')] }, [
    ['S3 the time of a suspend counts', 'suspends.slept += lead - suspends.lead', 'suspends.slept += 0'],
    [
      'S3 an adjustment of the wall clock does not count',
      'lead - suspends.lead > ADJUSTMENT',
      'lead - suspends.lead > 0',
    ],
    ['S3 adjustments do not add up', '    suspends.lead = lead;', ''],
    [
      'S3 a suspend that is found sets the timers again',
      'if (suspends.slept !== this.#slept) {',
      'if (false) {',
      { specs: [locks('suspend')] },
    ],
  ]),
  ...inFile('lib/core/suspends.ts', { specs: [locks('suspend')] }, [
    [
      'S3 all copies of the package count the same suspends',
      '(shared[SUSPENDS] ??= { slept: 0, lead })',
      '{ slept: 0, lead }',
    ],
  ]),
  ...inFile('lib/core/clock.ts', { specs: [locks('suspend'), core('clock')] }, [
    ['S3 timers count the time of a suspend', 'for (const timer of this.#pending.items()) timer.arm(now);', ''],
    ['S3 somebody looks for a suspend while a timer is pending', '      this.#look();', ''],
    ['S3 a suspend is looked for all the time', 'if (this.#pending.first) this.#lookLater();', ''],
    [
      'S3 a suspend is noticed within a second',
      'const LOOK_EVERY: Milliseconds = 1000;',
      'const LOOK_EVERY: Milliseconds = 5000;',
    ],
    [
      'a timer that was cancelled does not fire after a suspend, either',
      'clearTimeout(this.#timeout);\n    this.#pending.remove(this);',
      'clearTimeout(this.#timeout);',
    ],
    ['a timer fires once', 'this.#pending.remove(this);\n    this.#task();', 'this.#task();'],
    [
      'a timer that is meant to keeps the process alive',
      'if (!this.#keepAlive) this.#timeout.unref();',
      'this.#timeout.unref();',
    ],
    ['no other timer keeps the process alive', 'if (!this.#keepAlive) this.#timeout.unref();', ''],
    [
      'to look for a suspend keeps no process alive',
      'setTimeout(look, LOOK_EVERY)).unref();',
      'setTimeout(look, LOOK_EVERY));',
    ],
  ]),
  ...inFile('lib/core/deadlines.ts', { specs: [core('deadlines'), locks('waiting-callers')] }, [
    ['nothing is over before its deadline', ' && first.deadline <= now', ''],
    [
      'the timer is armed again for those that are left',
      'this.#alarm.setFor(this.#waiting.first?.deadline ?? Infinity, now);',
      '',
    ],
  ]),
  ...inFile('lib/core/alarm.ts', { specs: [core('deadlines'), locks('waiting-callers')] }, [
    ['an earlier deadline moves the timer', 'if (at >= this.#at) return;', 'if (this.#at < Infinity) return;'],
    ['an alarm can be set again once it rang', 'this.#at = Infinity;', ''],
  ]),
  ...inFile('lib/locks/watchdog.ts', { specs: [locks('watchdog'), locks('validity')] }, [
    ['S5 an expired lease is lost', "this.lose(first.lease, 'expired', first.cause);", 'this.unwatch(first.lease);'],
    ['S5 nothing is sent for what is no longer renewed', 'due.filter((watch) => watch.isOpen)', 'due'],
    [
      'S4 "not the holder" is final',
      "if (outcome === 'gone') return this.lose(lease, 'gone');",
      "if (outcome === 'gone') return;",
    ],
    ['S4 an answer that cannot tell renews nothing', "if (outcome === 'unknown') {", 'if (false) {'],
    [
      'S4 an attempt is bounded by a sixth of the TTL',
      'sentAt + watch.lease.claim.ttl / 6',
      'sentAt + watch.lease.claim.ttl',
    ],
    [
      'S4 the next renewal is due in time',
      'sentAt + lease.renewEvery, lease.renewEvery / 4',
      'sentAt + lease.claim.ttl, 0',
    ],
    ['S1 a renewal counts from its sending', 'lease.renewed(sentAt)', 'lease.renewed(this.#clock.now())'],
    [
      'the waiters in a renewal are those who wait',
      'lease.waiters = outcome.waiters;',
      '',
      { specs: [locks('queue')] },
    ],
    [
      'a lost lease leaves its key to the next caller here',
      'this.#onLoss(lease);',
      '',
      { specs: [locks('queue'), locks('watchdog')] },
    ],
    ['a renewal is bounded in size', 'const CHUNK = 250', 'const CHUNK = 1e9'],
    [
      'nodes of a cluster are renewed apart',
      'this.#driver.renewalGroup?.(watch.lease.claim.key) ?? 0',
      '0',
      { specs: [locks('outages')], grep: 'in part' },
    ],
    [
      'S5 what is verified is verified now',
      'if (watch.sentAt === undefined) this.#plan(watch, now);',
      '{}',
      { specs: [locks('reconnection')] },
    ],
    [
      'a part that is down is not asked for each lease',
      'if (this.#outages.isDown(part)) this.#suspend(watch, this.#outages.causeOf(part));\n      else if',
      'if',
      { specs: [locks('outages')] },
    ],
    [
      'leases are renewed as soon as the store answers',
      'this.#outages.answered(part!);',
      '',
      { specs: [locks('outages')] },
    ],
    [
      'what waited for the store is renewed',
      'this.#send(watches.filter((watch) => watch.isOpen && watch.tries <= 1));',
      '',
      { specs: [locks('outages')] },
    ],
    [
      'what fails by itself is tried again by itself',
      'if (watch.tries > 1) this.#retry(watch, watch.cause);',
      '{}',
      { specs: [locks('outages')] },
    ],
    ['what was answered late is not sent again', 'watch.isSuspended && ', ''],
    ['a verification does not wait for a probe', 'this.#outages.end();', '', { specs: [locks('outages')] }],
    [
      'leases that end first are renewed first',
      'one.lease.validUntil - other.lease.validUntil',
      '0',
      { specs: [locks('outages')] },
    ],
  ]),
  ...inFile('lib/locks/watch.ts', { specs: [locks('watchdog'), locks('validity'), locks('outages')] }, [
    [
      'S5 the loss is told when the lease ends, whenever the next renewal is due',
      'Math.min(due, this.lease.validUntil)',
      'due',
    ],
    ['S4 retries begin at a twelfth of a short TTL', 'Math.min(100, this.lease.claim.ttl / 12)', '100'],
  ]),
  ...inFile('lib/locks/outages.ts', { specs: [locks('outages'), locks('watchdog')] }, [
    ['a part that is down is probed', 'this.#user.probe(item);', ''],
    ['what is probed is sent once when the part is there again', '      items.pop();\n', ''],
    ['no more than a few parts are probed at a time', 'const PROBES = 8;', 'const PROBES = 800;'],
    ['what waited for a part is sent when it answers', 'this.#user.again(this.#user.wanted(outage.items));', ''],
    [
      'others are probed when a probe came to nothing',
      'if (this.#outages.size > 0) this.#probeLater();',
      '',
      { specs: [locks('watchdog')] },
    ],
    [
      'an outage that has ended by itself leaves nothing behind',
      '    this.#endIfOver();\n  }\n}',
      '  }\n}',
      { specs: [locks('watchdog')] },
    ],
    ['a part that answers has others probed', 'this.#probeSome(FURTHER);', ''],
    [
      'what waited is sent when the driver says that the store is there again',
      'this.#user.again(this.#user.wanted(items));',
      '',
    ],
  ]),
  ...inFile('lib/locks/heartbeats.ts', { specs: [locks('heartbeats'), locks('queue')] }, [
    ['S1 the anchor of a push does not go back', 'if (sentAt <= this.queuedAt) return;', ''],
    ['S1 a heartbeat counts from its sending', 'this.queuedAt = sentAt;', 'this.queuedAt = now;'],
    [
      'S1 a heartbeat that is not answered does not count',
      'place.sentAt = undefined;\n    place.due = now + delay;',
      'place.queuedAt = now;\n    place.sentAt = undefined;\n    place.due = now + delay;',
    ],
    [
      'S1 a heartbeat that is under way does not count',
      'place.sentAt = now;\n    place.due = now +',
      'place.queuedAt = now;\n    place.sentAt = now;\n    place.due = now +',
    ],
    ['a place is kept in time', 'now + next : this.queuedAt + usual', 'now + next : this.queuedAt + 4 * usual'],
    [
      'a heartbeat waits for its answer as long as for the next one',
      'place.due = now + heartbeat(place.claim.ttl);',
      'place.due = Infinity;',
    ],
    ['a heartbeat that failed is repeated soon', 'place.due = now + delay;', 'place.due = now + 60_000;'],
    [
      'one who has to ask is told',
      'place.listener.ask();',
      '',
      { specs: [locks('heartbeats'), locks('queue'), locks('request-gate')] },
    ],
    [
      'S10 a heartbeat tells who is in front',
      'if (record) this.record = record;',
      'if (record) this.record ??= record;',
    ],
    [
      'one who waits is told that the store does not answer',
      'place.listener.failed(cause);',
      '',
      { specs: [locks('what-callers-are-told')] },
    ],
    ['all places are looked at when the store is there again', 'place.sentAt = undefined;\n      place.due = now;', ''],
    [
      'a place is looked at again though a heartbeat is under way',
      'place.sentAt = undefined;\n      place.due = now;',
      'place.due = now;',
    ],
    ['places of different parts are kept apart', 'this.#driver.renewalGroup?.(place.claim.key) ?? 0', '0'],
    ['a heartbeat is bounded in size', 'const CHUNK = 250', 'const CHUNK = 1e9'],
  ]),
  ...inFile('lib/locks/heartbeats.ts', { specs: [locks('heartbeats'), locks('queue'), locks('acquisition')] }, [
    [
      'somebody looks when the lease in front runs out',
      'remaining !== undefined && remaining >= 0 ? remaining + 1 : Infinity',
      'Infinity',
    ],
    ['a store that talks nonsense is not asked all the time', 'Math.max(end, SHORTEST * 2 ** this.#early)', 'end'],
    ['looks that find the lease still there come ever later', 'this.#early++;', ''],
  ]),
  ...inFile('lib/locks/pushed-grant.ts', { specs: [locks('lying-driver'), locks('queue'), locks('heartbeats')] }, [
    ['S10 an old push grants nothing', '    fencingToken > last &&\n', ''],
    ['S10 a push with a token that is far ahead grants nothing', '    fencingToken - last < FARTHEST &&\n', ''],
    ['S10 a push of something else grants nothing', "    status === 'granted' &&\n", ''],
    ['S10 a push counts for a few heartbeats', 'Math.min(pushed.ttl, MOST_HEARTBEATS * heartbeat(ttl))', 'pushed.ttl'],
    ['S10 a push gives no more tokens than a grant can', 'Math.min(tokens, MOST_TOKENS)', 'tokens'],
  ]),
  ...inFile('lib/locks/request-gate.ts', { specs: [locks('request-gate')] }, [
    ['no more requests than the limit are under way', 'if (this.#underWay >= this.limit) return false;', ''],
    [
      'what gives something back goes first',
      'this.#urgent.first ?? this.#others.first',
      'this.#others.first ?? this.#urgent.first',
    ],
    [
      'who gives up as its turn comes leaves the place to the next',
      'if (turn.isCalled) return this.leave();',
      'if (turn.isCalled) return;',
    ],
    ['who gave up takes no place', 'turn.line.remove(turn);\n    this.#standing--;', ''],
    ['who gives up asks for nothing', '      waitLimit.throwIfOver();\n', ''],
    ['what gives something back leaves its place', '} finally {\n      this.leave();\n    }', '} finally {\n    }'],
    ['what gives something back waits for its turn', 'if (!this.enter()) await this.#stand(true).called;', ''],
  ]),
  ...inFile('lib/locks/wait-limit.ts', { specs: [locks('request-gate')] }, [
    ['a request that fails leaves its place', '(reason: unknown) => {\n          settled();', '(reason: unknown) => {'],
  ]),
  ...inFile('lib/locks/store-connection.ts', { specs: [locks('what-callers-are-told')] }, [
    ['a store that is there again is not down', 'this.#downSince = undefined;', ''],
    ['an outage counts from its start', 'this.#downSince ??= ', 'this.#downSince = '],
    [
      'a single try is repeated as soon as the store is there again',
      'for (const resolve of this.#onUp) resolve();',
      '',
    ],
    ['a single try waits for a blip only', 'this.#clock.after(limit, over)', 'this.#clock.after(100 * limit, over)'],
    [
      'the connection keeps no frames of the caller who needs it first',
      'this.#connecting ??= detached(() =>',
      'this.#connecting ??= ((open) => open())(() =>',
      { specs: [locks('collected-frames')] },
    ],
  ]),
  ...inFile('lib/locks/checked-driver.ts', { specs: [locks('driver-answers'), locks('lying-driver')] }, [
    [
      'what a driver answers to an acquire is checked',
      'this.#reported(() => checkedAnswer(this.#driver, claim, answer))',
      'answer',
    ],
    [
      'what a driver answers to a renewal is checked',
      'this.#reported(() => checkedOutcomes(this.#driver, leases, outcomes))',
      'outcomes',
    ],
    [
      'what a driver answers to heartbeats is checked',
      'this.#reported(() => checkedPlaces(driver, places, outcomes))',
      'outcomes',
    ],
    ['tokens that a driver reserves are checked', 'this.#reported(() => checkedBlock(driver, block))', 'block'],
    ['a record that a driver gives is checked', 'this.#reported(() => checkedRecord(this.#driver, record))', 'record'],
    ['what a driver says by itself is checked', 'if (this.#isEvent(event)) listener(event);', 'listener(event);'],
    ['an operator is told once of a call that answers wrongly', ' && !this.#warned.has(error.call)', ''],
    [
      'a driver keeps no frames of its callers',
      'return detached(() => promiseTry(request));',
      'return promiseTry(request);',
      { specs: [integration('collected-frames')] },
    ],
    [
      'a driver is connected outside of the call chain that needs it first',
      'await detached(() => this.#driver.connect(hearing));',
      'await this.#driver.connect(hearing);',
      { specs: [integration('collected-frames')] },
    ],
  ]),
  ...inFile('lib/locks/driver-answers.ts', { specs: [locks('driver-answers'), locks('lying-driver')] }, [
    ['a grant is not for longer than was asked for', ' || ttl > longest', ''],
    [
      'a fencing token is not 0',
      '{ fencingToken, tokens }: Fields): string | undefined {\n  if (!isCount(fencingToken) || fencingToken === 0)',
      '{ fencingToken, tokens }: Fields): string | undefined {\n  if (!isCount(fencingToken))',
    ],
    ['a block of tokens stays exact', ' && fencingToken <= Number.MAX_SAFE_INTEGER - (tokens - 1)', ''],
    ['each lease has an outcome', 'if (outcomes.length !== count)', 'if (false)'],
    [
      'a number is one that can be counted with',
      'return Number.isSafeInteger(value) && (value as number) >= 0;',
      "return typeof value === 'number';",
    ],
  ]),
  ...inFile('lib/locks/forgotten-locks.ts', { specs: [locks('forgotten-locks')] }, [
    ['a lock that is held for long is reported', 'if (this.#dueAt(hold) <= now) this.#isHeldLong(hold, now);', ''],
    ['a lock that is held for long is reported once', 'this.#reported.add(hold);', ''],
    ['a leader is no forgotten lock', 'if (hold.isBackground) continue;', ''],
    ['a guarded call forgets no lock', 'isGuarded ? Infinity : ', ''],
    ['a handle that was dropped is reported', 'this.#dropped.register(handle, hold, watched);', ''],
  ]),
  ...inFile(
    'lib/core/shared-listener.ts',
    { specs: [locks('waiting-callers'), locks('acquisition'), core('shared-listener')] },
    [
      ['a signal that was aborted before ends the wait', 'if (signal.aborted) {', 'if (false) {'],
      [
        'who has gone no longer listens',
        'if (this.#listeners.delete(id) && this.#listeners.size === 0) {',
        'if (false) {',
      ],
      [
        'a signal is no longer listened to when all have gone',
        "this.#signal.removeEventListener('abort', this.#onAbort);",
        '',
      ],
    ],
  ),
  ...inFile('lib/locks/held-leases.ts', { specs: [locks('hold-limits')] }, [
    [
      'holdAtLeast keeps others out after the release',
      'if (keptUntil <= this.#clock.now()) return release();',
      'return release();',
    ],
    ['holdAtLeast keeps callers of this instance out, too', 'now >= keptUntil && ', ''],
    [
      'holdAtLeast counts from the grant of the hold',
      'hold.acquiredAt + holdAtLeast',
      'hold.lease.since + holdAtLeast',
    ],
    ['holdAtLeast ends with a release', 'void release().then(', 'void Promise.resolve().then('],
    [
      'holdAtLeast is over in the store as well, when the process ends',
      'this.#resting.arm(claim, keptUntil)',
      'Promise.resolve()',
    ],
    [
      'holdAtLeast does not end with the shutdown',
      'this.#resting.close();',
      'for (const lease of this.#resting.items()) lease.release();',
    ],
    ['maxHold ends the lock', "() => this.#watchdog.lose(hold.lease, 'max-hold')", '() => undefined'],
    ['maxHold ends the hold that asked for it', 'hold.endTimer?.cancel();', ''],
    ['maxHold counts from the grant of the hold', 'hold.acquiredAt + maxHold', 'hold.lease.since + maxHold'],
    ['maxHold leaves nothing behind when the work ends', " || lease.loss === 'max-hold'", ''],
  ]),
  ...inFile('lib/locks/resting-leases.ts', { specs: [locks('hold-limits')] }, [
    ['holdAtLeast arms the lease for the rest only', 'ttl: Math.min(ttl, armed)', 'ttl'],
    [
      'holdAtLeast arms the lease for no less than the rest',
      'Math.ceil(rest) + driftMargin(rest)',
      'Math.ceil(rest) / 2',
    ],
    ['holdAtLeast renews no lease whose rest is over', 'if (rest <= 0) return;', ''],
    [
      'holdAtLeast repeats a renewal whose outcome is unknown',
      "if (outcome === 'unknown') throw",
      "if (outcome === 'none') throw",
    ],
  ]),
  ...inFile('lib/locks/lease.ts', { specs: [locks('hold-limits')] }, [
    ['S2 maxHold is seen at every read', 'Math.min(this.remainingAt(now), end - now)', 'this.remainingAt(now)'],
  ]),
  ...inFile('lib/locks/held-leases.ts', { specs: [locks('queue')] }, [
    [
      'a lease that is almost over is not handed on here',
      'lease.remainingAt(now) < 2 * heartbeat(lease.claim.ttl)',
      'false',
    ],
    [
      'a lease is looked at again after the wait for a token',
      'if (token === undefined || !seat || !this.#mayPassOn(lease, now))',
      'if (token === undefined || !seat)',
    ],
    ['a lease is handed on to a caller whom it fits only', 'return seat.fits(lease) && ', 'return '],
    ['others get a turn after a number of callers', 'lease.passed >= BATCH - 1', 'false'],
    ['others get a turn after a while', 'now - lease.since > BATCH_TIME', 'false'],
    ['others that wait end a batch', 'lease.waiters > 0 && batchIsOver', 'false'],
    [
      'a closing instance keeps nothing for its own callers',
      'if (!seat || this.#closing ||',
      'if (!seat ||',
      { specs: [locks('close')] },
    ],
    [
      'S6 what may be on its way yet is cancelled, not just released',
      'stray ? this.#driver.cancel(claim) : this.#driver.release(claim, successor)',
      'this.#driver.release(claim, successor)',
      { specs: [locks('acquisition')] },
    ],
    [
      'S6 an expired lease is released, as a late renewal may have armed it',
      "lease.loss === undefined || lease.loss === 'expired'",
      'lease.loss === undefined',
      { specs: [locks('acquisition')] },
    ],
    [
      'S6 no renewal follows a release',
      'this.#watchdog.unwatch(lease);\n    lease.end();',
      '',
      { specs: [locks('watchdog'), locks('close')] },
    ],
    [
      'the release is sent before the next caller here is called',
      'const returned = isInStore ?',
      'this.#room.vacate(lease);\n    await Promise.resolve().then(() => Promise.resolve());\n    const returned = isInStore ?',
    ],
    [
      'S8 what did not settle in the grace period is abandoned',
      'for (const hold of this.#holds.items()) this.abandon(hold);',
      '',
      { specs: [locks('close')] },
    ],
    [
      'S8 what is abandoned is no longer renewed, and lost',
      "this.#watchdog.lose(hold.lease, 'shutdown');",
      '',
      { specs: [locks('close')] },
    ],
    ['S8 closing waits for releases', 'this.#releaseRetries.all()', 'Promise.resolve()', { specs: [locks('close')] }],
    [
      'S8 closing waits for guarded code',
      'settledWithin(this.#clock, grace, this.#idle())',
      'Promise.resolve()',
      { specs: [locks('close')] },
    ],
    [
      'S2 a release after the end is a loss',
      "if (lease.remainingAt(now) === 0) this.#watchdog.lose(lease, 'expired');",
      '',
      { specs: [locks('acquisition'), locks('validity'), locks('watchdog'), locks('queue')] },
    ],
    [
      'S11 a shared lease ends with its last user',
      'if (--hold.shares > 0) return;',
      '--hold.shares;',
      { specs: [locks('call-chain')] },
    ],
    [
      'without a push the next caller here is told of a release',
      'if (!this.#driver.capabilities.push) this.#room.nudge(lease.claim.key);',
      '',
      { specs: [locks('plain-driver')] },
    ],
  ]),
  ...inFile('lib/locks/waiting-room.ts', { specs: [locks('queue')] }, [
    ['a caller that asks the store is handed no local lease', 'if (this.#called) return false;', ''],
    ['a lease is handed on for the same TTL only', 'ttl === claim.ttl && ', ''],
    ['a lease is handed on for the same metadata only', 'metadata === claim.metadata && ', ''],
    ['a lease is handed on for the same validity only', '(this.wish.validFor ?? Infinity) === validFor', 'true'],
    ['S10 a push is for the holder that it names', 'pushed?.holder === holder ? pushed : undefined', 'pushed'],
    [
      'a nudge before the rest counts',
      '    if (this.#nudged) return;',
      '',
      { specs: [locks('queue'), locks('acquisition')] },
    ],
    ['"contended" is kept for the lease that is held', 'line.occupant.waiters ||= 1', 'line.occupant.waiters ||= 0'],
    [
      '"contended" is kept for the lease that is on its way',
      'else if (line?.seats.first) line.seats.first.contended = true;',
      '',
    ],
    ['a lease vacates its own place only', 'line?.occupant !== lease', '!line', { specs: [locks('watchdog')] }],
    [
      'the next in line is called when one leaves',
      '    this.#moved(seat.line);',
      '',
      { specs: [locks('acquisition')] },
    ],
    ['nobody here asks the store for what the instance has', 'if (line.occupant) return;', ''],
    [
      'who waits is woken when the store is there again',
      'if (seats.first && !seats.first.keepsPlace) seats.first.nudge();',
      '{}',
      { specs: [locks('reconnection'), locks('what-callers-are-told'), locks('plain-driver')] },
    ],
    [
      'one whose place is kept is not woken when the store is there again',
      'seats.first && !seats.first.keepsPlace',
      'seats.first',
      { specs: [locks('heartbeats')] },
    ],
  ]),
  ...inFile('lib/locks/acquisition.ts', { specs: [locks('acquisition'), locks('queue'), locks('validity')] }, [
    [
      'S1 a grant counts from the sending of its request',
      'this.#lease(answer, anchor)',
      'this.#lease(answer, clock.now())',
    ],
    [
      'S1 a grant with little time left is confirmed',
      'Math.min(ttl, lease.validFor) / 4',
      'Math.min(ttl, lease.validFor) / 400',
    ],
    ['S1 a grant that arrives expired is given back', 'if (confirming || lease.remaining === 0)', 'if (confirming)'],
    [
      'S1 a push counts from the sending of the request that was queued',
      'this.#open ? anchor : undefined',
      'this.#open ? clock.now() : undefined',
    ],
    [
      'S1 a push with little time left is confirmed',
      'return lease && isFresh(lease, granted.ttl) ? lease : undefined;',
      'return lease || undefined;',
    ],
    [
      'S6 what is given up is cancelled',
      'if (this.#open || this.#stray) this.#context.heldLeases.cancel(this.#claim);',
      '',
    ],
    ['a lease that is handed to one who gave up is given back', 'if (this.#seat?.handed) void', 'if (false) void'],
    ['S6 a request of unknown outcome may come late', 'this.#stray ||= confirming || !notExecuted(error);', ''],
    [
      'S6 a rejection is an unknown outcome, unless it says "not sent"',
      'error instanceof DriverUnavailableError && !error.sent',
      'error instanceof DriverUnavailableError',
    ],
    [
      'S6 a failed heartbeat leaves the claim in the queue',
      'this.#open = this.#queuedAt !== undefined;',
      'this.#open = false;',
    ],
    [
      'S6 a holder that was cancelled is not used again',
      'heldLeases.cancel(this.#claim);\n    this.#claim = this.#newClaim();',
      'heldLeases.cancel(this.#claim);',
    ],
    [
      'S10 a lost push costs a poll or a heartbeat',
      'Math.min(queued, poll)',
      'Infinity',
      { specs: [locks('heartbeats')] },
    ],
    [
      'one who waits in a queue says so in time',
      'heartbeat(this.#claim.ttl) * (0.75',
      '60_000 * (0.75',
      { specs: [locks('heartbeats')] },
    ],
    [
      '"contended" on the way to a grant is a waiter',
      'this.#seat?.contended ? Math.max(1, granted.waiters) : granted.waiters',
      'granted.waiters',
    ],
    [
      '"held by another" and "store down" are never confused',
      'if (this.#failure !== undefined || (this.#open && this.#refusals === 0)) throw this.#unavailable();',
      '',
    ],
    [
      'what only a change of configuration mends is not repeated',
      'if (error instanceof LockConfigError) throw error;',
      '',
    ],
    ['an answer ends a failure', 'this.#failure = undefined;\n        this.#failures = 0;', ''],
    [
      'a claim that has a place in the store goes before those that have none',
      'gate.turn(this.#waitLimit, this.#open)',
      'gate.turn(this.#waitLimit, false)',
      { specs: [locks('request-gate')] },
    ],
    [
      'who was refused before it stood at the gate was refused',
      'if (error === WAIT_IS_OVER && this.#refusals === 0) {',
      'if (error === WAIT_IS_OVER) {',
      { specs: [locks('request-gate')] },
    ],
    [
      'S6 what was answered wrongly may have been granted',
      'if (error instanceof DriverAnswerError) return false;',
      '',
      { specs: [locks('driver-answers')] },
    ],
    [
      'S1 a push counts from the latest heartbeat that was answered',
      'this.#queuedAt = this.#place.queuedAt;',
      '',
      { specs: [locks('heartbeats')] },
    ],
    [
      'S10 a push is newer than what a heartbeat saw in front',
      'this.#record = this.#place.record;',
      '',
      { specs: [locks('heartbeats')] },
    ],
    [
      'one who has gone keeps no place',
      'this.#context.heartbeats.leave(this.#place);',
      '',
      { specs: [locks('heartbeats')] },
    ],
    [
      'a heartbeat that is answered ends a failure',
      'this.#failure = undefined;\n        this.#request.onRefused?.(record);',
      'this.#request.onRefused?.(record);',
      { specs: [locks('heartbeats'), locks('what-callers-are-told'), leader('transitions')] },
    ],
    [
      'one who does not wait for the store is told in the middle of its wait',
      'if (this.#isHopeless(false)) seat.nudge();',
      '',
      { specs: [locks('what-callers-are-told')] },
    ],
    [
      'one who does not wait for the store is told at once that it is down',
      "unavailable === 'reject' && (downBefore >= 0 || downFor >= BLIP)",
      'false',
      { specs: [locks('what-callers-are-told')] },
    ],
    [
      'a blip ends no wait',
      "unavailable === 'reject' && (downBefore >= 0 || downFor >= BLIP)",
      "unavailable === 'reject' && downFor >= 0",
      { specs: [locks('what-callers-are-told')] },
    ],
    [
      'nobody waits for a store that was down for longer than that',
      "'wait' in limit && downBefore > limit.wait",
      'false',
      { specs: [locks('what-callers-are-told')] },
    ],
    [
      'S6 a single try of unknown outcome is not repeated',
      ' || failure.sent) return true;',
      ') return true;',
      { specs: [locks('what-callers-are-told')] },
    ],
    ['a single try is repeated once', 'this.#isRepeated = true;', '', { specs: [locks('what-callers-are-told')] }],
  ]),
  ...inFile('lib/locks/lock-manager.ts', { specs: [locks('close')] }, [
    [
      'S11 a nested acquire fails at once',
      'if (frame && !request.reentrant) throw',
      'if (false) throw',
      { specs: [locks('call-chain')] },
    ],
    [
      'S8 guarded code may take further locks while the service closes',
      'if (this.#closing && !insideGuardedCall) throw',
      'if (this.#closing) throw',
    ],
    ['S8 a closing service takes no new locks', 'if (this.#closing && !insideGuardedCall) throw', 'if (false) throw'],
    [
      'S8 the waiting of guarded code goes on while the service closes',
      '({ insideGuardedCall }) => !insideGuardedCall',
      '() => true',
    ],
    ['S8 the driver is closed after the leases', 'await this.#context.heldLeases.close(grace);', ''],
    ['S8 guarded code releases, however it ends', 'finally {\n      await handle.release();', 'finally {'],
    ['who waits asks again when the store is there again', 'room.nudgeAll();', '', { specs: [locks('reconnection')] }],
    [
      'what is held is verified when the store is there again',
      'heldLeases.verify();',
      '',
      { specs: [locks('reconnection')] },
    ],
    [
      'a pushed grant reaches who waits for it',
      "if (event.type === 'granted') room.nudge(event.key, event);",
      '',
      { specs: [locks('queue')] },
    ],
    [
      'a free key is asked for',
      "if (event.type === 'freed') room.nudge(event.key);",
      '',
      { specs: [locks('plain-driver')] },
    ],
    [
      'places are looked at when the store is there again',
      'heartbeats.verify();',
      '',
      { specs: [locks('heartbeats')] },
    ],
    [
      'what the driver says of the store is noted',
      'store.heard(event);',
      '',
      { specs: [locks('what-callers-are-told')] },
    ],
  ]),
  ...inFile('lib/locks/wait-limit.ts', { specs: [locks('waiting-callers'), locks('acquisition')] }, [
    ['a wait that is over bounds what comes after', 'if (this.#ended) reject(this.#ended.reason);', ''],
    ['a signal ends a wait', 'this.#interrupt?.(this.#ended.reason);', ''],
    [
      'a process lives as long as a caller that waits',
      'if (this.#waiting++ === 0) this.#stayAlive();',
      'this.#waiting++;',
    ],
    [
      'a process ends when nobody waits any more',
      'if (--this.#waiting === 0) this.#keepAlive?.cancel();',
      '--this.#waiting;',
    ],
    [
      'nobody awaits a campaign',
      'if (!this.#isWaiting && !this.caller.isBackground) {',
      'if (!this.#isWaiting) {',
      { specs: [locks('waiting-callers'), locks('what-callers-are-told')] },
    ],
    [
      'callers that wait are bounded in number',
      'if (this.#waiting >= inAll)',
      'if (false)',
      { specs: [locks('what-callers-are-told')] },
    ],
    [
      'callers that wait for one key are bounded in number',
      'if (ofKey >= perKey)',
      'if (false)',
      { specs: [locks('what-callers-are-told')] },
    ],
    [
      'callers that have gone make room',
      'if (this.#isWaiting) this.#callers.endWaiting(this.caller);',
      '',
      { specs: [locks('what-callers-are-told'), locks('waiting-callers')] },
    ],
  ]),
  ...inFile('lib/locks/call-chain.ts', { specs: [locks('call-chain')] }, [
    ['S11 a lock is found for as long as its call runs', 'frame.open = false;', '', { specs: [leader('election')] }],
    ['S11 applications do not see each other', 'frame.scope === scope && (storeKey', '(storeKey'],
    ['S2 a lock is found while it is held', 'matches(frame) && frame.lock.held', 'matches(frame)'],
    ['S11 a lost lock is not shared', 'handle.ensure();', ''],
    ['S11 siblings have a shared lock one after the other', 'await waitLimit.wait(before);', ''],
  ]),
  ...inFile('lib/core/detached.ts', { specs: [locks('call-chain'), locks('collected-frames')] }, [
    ['timers keep no frames', 'callChains.run(undefined, task)', 'task()'],
  ]),
  ...inFile('lib/locks/release-retries.ts', { specs: [locks('acquisition')] }, [
    ['S6 a release is repeated until it is answered', 'this.#clock.now() < deadline', 'false'],
    ['S6 a release is repeated for its TTL only', 'this.#clock.now() < deadline', 'true'],
    [
      'what the store refuses for good is not repeated',
      'if (!(error instanceof LockConfigError)) return this.#failed(release, error);',
      'return this.#failed(release, error);',
      { specs: [locks('acquisition')] },
    ],
    [
      'a store that is down is not asked for each release',
      'if (!isProbe && this.#outages.isDown(part)) throw this.#outages.causeOf(part);',
      '',
      { specs: [locks('outages')] },
    ],
    ['others are tried when one that was tried is given up', 'else this.#outages.failed();', ''],
    [
      'releases are executed as soon as the store answers',
      'this.#outages.answered(part);',
      '',
      { specs: [locks('outages')] },
    ],
    [
      'releases are executed when the driver says that the store is there again',
      'this.#outages.end();',
      '',
      { specs: [locks('outages')] },
    ],
    ['an operator is told of refused releases', 'this.#refused(error);', ''],
    ['an operator is told of refused releases once', 'if (message === this.#refusal) return;', ''],
  ]),
];

const storeMutations = [
  ...inFile('lib/drivers/memory/memory.driver.ts', memory, [
    [
      'memory S6 a repeated acquire is answered with the same grant',
      'return this.#rearm(entry, entry.holding, claim.ttl);',
      'return this.#grant(entry, claim, claim.ttl);',
    ],
    ['memory S6 a cancelled holder gets nothing', 'if (this.#ended.has(claim.holder)) return', 'if (false) return'],
    [
      'memory S6 a cancelled holder is remembered',
      'this.#ended.add(claim.holder);',
      '',
      { specs: [unit('drivers/memory/memory-driver')] },
    ],
    [
      'memory: those who wait come before a newcomer',
      '!entry.holding && entry.queue.size === 0) return',
      '!entry.holding) return',
    ],
    [
      'memory: a lease is armed for as long as it says',
      'until: this.#clock.now() + ttl }',
      'until: this.#clock.now() + 10 * ttl }',
      { specs: [unit('drivers/memory/memory-driver')] },
    ],
    [
      'memory: a lease is armed for no less than it says',
      'until: this.#clock.now() + ttl }',
      'until: this.#clock.now() + ttl / 2 }',
      { specs: [unit('drivers/memory/memory-driver')] },
    ],
    [
      'memory S7 a block of tokens is reserved',
      'this.#lastToken = fencingToken + tokens - 1;',
      'this.#lastToken = fencingToken;',
      { specs: [CONTRACT, locks('queue')], grep: '^MemoryDriver|larger token|falls short' },
    ],
    [
      'memory S6 only the holder releases',
      'const isHolder = entry.holding?.claim.holder === holder;',
      'const isHolder = entry.holding !== undefined;',
    ],
    ['memory S4 only the holder renews', 'holding?.claim.holder !== lease.holder', '!holding'],
    ['memory: a renewal tells how many wait', 'return { waiters: queue.size };', 'return { waiters: 0 };'],
    ['memory S6 a cancel leaves the queue', 'this.#entry(claim.key).queue.delete(claim.holder);', ''],
    [
      'memory: only the holder reserves tokens',
      'this.#entry(key).holding?.claim.holder === holder ? this.#mint(tokens) : null',
      'this.#mint(tokens)',
    ],
    ['memory: one who says that it is there counts as alive', 'waiter.seen = this.#clock.now();', ''],
    [
      'memory: a waiter that is not in the queue has to ask',
      "if (!waiter || !record) return 'ask';",
      "if (!record) return 'ask';",
    ],
  ]),
  ...inFile('lib/drivers/common/ended-holders.ts', { specs: [unit('drivers/common/ended-holders')] }, [
    ['S6 a cancelled holder is remembered for a minute', 'now + REMEMBERED_FOR', 'now + 1000'],
    ['etcd S6 a cancelled holder gets nothing', 'return this.#until.has(holder);', 'return false;', etcd],
  ]),
  ...inFile('lib/drivers/common/watchers.ts', { specs: [unit('drivers/common/watchers')] }, [
    ['a watcher that ended hears nothing', '!watchers.delete(watcher) || ', ''],
  ]),
  ...inFile('lib/drivers/memory/entry.ts', memory, [
    ['memory: a waiter that is not heard of is skipped', '<= 3 * heartbeat(claim.ttl)', '<= Infinity'],
    ['memory: a release prefers whom it names', 'if (preferred) {', 'if (false) {'],
  ]),
  ...inFile('lib/drivers/redis/scripts/acquire.lua', redis, [
    [
      'redis: those who wait come before a newcomer',
      "redis.call('EXISTS', LEASE, QUEUE, CANCELLED) == 0",
      "redis.call('EXISTS', LEASE, CANCELLED) == 0",
    ],
    [
      'redis S6 a cancelled holder is granted nothing',
      "redis.call('EXISTS', LEASE, QUEUE, CANCELLED) == 0",
      "redis.call('EXISTS', LEASE, QUEUE) == 0",
    ],
    ['redis S6 a cancelled holder is not queued', "if redis.call('EXISTS', CANCELLED) == 1 then", 'if false then'],
    ['redis S6 a repeated acquire re-arms the lease', "redis.call('PEXPIRE', LEASE, ttl)", ''],
    ['redis S6 a repeated acquire is answered with the same token', 'if isHeldBy(holder, lease) then', 'if false then'],
    [
      'redis: a waiter keeps its place',
      "redis.call('HSET', SEEN, holder, milliseconds()) == 1",
      "redis.call('HSET', SEEN, holder, milliseconds()) >= 0",
    ],
    ['redis: the holder is told of the first who waits', 'if lease and length == 1 then', 'if false then'],
    [
      'redis: a queue does not outlive its waiters for ever',
      "redis.call('PEXPIRE', QUEUE, 10000)",
      '',
      { specs: [integration('redis-queue')] },
    ],
    [
      'redis: what is known of waiters does not outlive them for ever',
      "redis.call('PEXPIRE', SEEN, 10000)",
      '',
      { specs: [integration('redis-queue')] },
    ],
    [
      'redis: nobody waits for what never ends',
      "redis.call('PTTL', LEASE) == -1 or ",
      '',
      { specs: [integration('redis-foreign-values')] },
    ],
    [
      'redis: nobody waits for what is no lease',
      " or not string.find(lease, '^%S+ %d+ %S+ ')",
      '',
      { specs: [integration('redis-foreign-values'), integration('redis-foreign-and-full')] },
    ],
  ]),
  ...inFile('lib/drivers/redis/scripts/release.lua', redis, [
    [
      'redis S6 only the holder releases',
      "if not isHeldBy(holder, redis.call('GET', LEASE)) then",
      "if not redis.call('GET', LEASE) then",
    ],
    ['redis: a release passes the lease on', "if redis.call('EXISTS', QUEUE) == 0 then", 'if true then'],
    ['redis: a release prefers whom it names', '  prefer(preferred)', ''],
  ]),
  ...inFile('lib/drivers/redis/scripts/renew.lua', redis, [
    ['redis S4 only the holder renews', "if isHeldBy(holder, read('GET', LEASE)) then", "if read('GET', LEASE) then"],
    ['redis S4 a renewal arms the whole TTL', "redis.call('PEXPIRE', LEASE, ttl)", ''],
    ['redis: a renewal tells how many wait', "read('LLEN', QUEUE) or 0", '0'],
  ]),
  ...inFile('lib/drivers/redis/scripts/cancel.lua', redis, [
    ['redis S6 a cancel is remembered', "redis.call('SET', CANCELLED, '', 'PX', remembered)", ''],
    [
      'redis S6 a cancel leaves the queue',
      "redis.call('LREM', QUEUE, 1, entry)",
      '',
      {
        specs: [CONTRACT, integration('redis-queue')],
        grep: '^RedisDriver (?!with Sentinel|on a cluster)|leave nothing in the queue',
      },
    ],
    [
      'redis S6 a cancel touches no successor',
      "if not isHeldBy(holder, redis.call('GET', LEASE)) then",
      "if not redis.call('GET', LEASE) then",
    ],
    [
      'redis S6 a cancel passes on what was handed over',
      "redis.call('DEL', LEASE)\nhandOver()",
      "redis.call('DEL', LEASE)",
    ],
  ]),
  ...inFile('lib/drivers/redis/scripts/reserve.lua', redis, [
    [
      'redis: only the holder reserves tokens',
      "if not isHeldBy(holder, redis.call('GET', LEASE)) then",
      "if not redis.call('GET', LEASE) then",
    ],
  ]),
  ...inFile('lib/drivers/redis/scripts/include/alive.lua', redis, [
    [
      'redis: a waiter that is not heard of is skipped',
      'if not seen or milliseconds() - seen > 3 * heartbeatOf(ttl) then',
      'if not seen then',
    ],
    [
      'redis: a waiter whose inbox nobody listens to is passed by',
      'return listeners.err ~= nil or listeners[2] > 0',
      'return true',
      { specs: [integration('redis-queue')] },
    ],
    [
      'redis: a waiter counts as alive where nobody may ask who listens',
      'return listeners.err ~= nil or listeners[2] > 0',
      'return listeners.err == nil and listeners[2] > 0',
      { specs: [integration('redis-acl')], grep: 'numsub' },
    ],
    [
      'redis: a waiter counts as alive at whatever node of a cluster it listens',
      "if string.sub(inbox, -8) == ':cluster' then",
      'if false then',
      { specs: [integration('redis-cluster')], grep: 'wakes a waiter at whatever node' },
    ],
  ]),
  ...inFile('lib/drivers/redis/scripts/include/queue.lua', redis, [
    [
      'redis: a handed lease is armed for no less than it says',
      'grant(holder, inbox, tail, armed, token)',
      'grant(holder, inbox, tail, heartbeatOf(ttl), token)',
    ],
    [
      'redis: a handed lease is armed for no longer than it says',
      'grant(holder, inbox, tail, armed, token)',
      'grant(holder, inbox, tail, 100 * armed, token)',
    ],
    [
      'redis: a lease stays with whom it was passed to, however many are said to hear of it',
      "redis.pcall('PUBLISH', inbox, table.concat({ 'granted', holder, token, tokens, armed, waiting, LEASE }, ' '))",
      "if redis.pcall('PUBLISH', inbox, table.concat({ 'granted', holder, token, tokens, armed, waiting, LEASE }, ' ')) == 0 then\n        redis.call('DEL', LEASE)\n      end",
      { specs: [integration('redis-cluster')], grep: 'wakes a waiter at whatever node' },
    ],
    [
      'redis: a release works for a user that may not publish',
      "redis.pcall('PUBLISH', inbox",
      "redis.call('PUBLISH', inbox",
      { specs: [integration('redis-acl')], grep: 'publish' },
    ],
    [
      'redis: a push says for how long the lease is armed',
      'token, tokens, armed, waiting, LEASE',
      'token, tokens, ttl, waiting, LEASE',
    ],
  ]),
  ...inFile('lib/drivers/redis/scripts/heartbeat.lua', redis, [
    ['redis: a waiter that is not in the queue has to ask', " and read('HGET', SEEN, holder)", ''],
    [
      'redis: a queue is kept as long as somebody in it is heard of',
      "redis.call('PEXPIRE', QUEUE, 10000) == 1",
      "redis.call('EXISTS', QUEUE) == 1",
      { specs: [integration('redis-queue')] },
    ],
    [
      'redis: what is known of waiters is kept as long as one is heard of',
      "redis.call('PEXPIRE', SEEN, 10000)",
      '',
      { specs: [integration('redis-queue')] },
    ],
    ['redis: one who says that it is there counts as alive', "redis.call('HSET', SEEN, holder, now)", ''],
    ['redis: a heartbeat tells who is in front by now', "or string.match(lease, '^%S+ (%d+)') == known", 'or true'],
  ]),
  ...inFile('lib/drivers/redis/scripts/include/read.lua', { specs: [integration('redis-foreign-and-full')] }, [
    ['redis: a key that something else has written costs no other', 'redis.pcall(...)', 'redis.call(...)'],
  ]),
  ...inFile('lib/drivers/redis/scripts/include/prefer.lua', redis, [
    ['redis: a preferred waiter is one that is alive', ' and isAlive(holder, inbox, ttl) then', ' then'],
    ['redis: a preferred waiter is one of the instance', 'claim.instance == instance', 'true'],
  ]),
  ...inFile('lib/drivers/redis/scripts/include/token.lua', redis, [
    [
      'redis S7 tokens go on from the mark',
      'if first <= tonumber(now) then',
      'if true then',
      { specs: [integration('redis-tokens')], grep: 'one at a time|does not take the tokens back' },
    ],
    [
      'redis S7 the mark is above the whole block, in step with the clock',
      "string.format('%.0f', now + tokens)",
      "string.format('%.0f', now)",
      { specs: [integration('redis-tokens')], grep: 'one at a time' },
    ],
    [
      'redis S7 the mark is above the whole block, ahead of the clock',
      "string.format('%.0f', first + tokens)",
      "string.format('%.0f', first + 1)",
      { specs: [integration('redis-tokens')], grep: 'one at a time' },
    ],
    [
      'redis S7 a mark that is ahead comes in step again',
      'if first - now > 1000000 then',
      'if false then',
      { specs: [integration('redis-tokens')], grep: 'one at a time' },
    ],
  ]),
  ...inFile(
    'lib/drivers/redis/scripts/rearm.lua',
    { specs: [integration('redis-cluster')], grep: 'keeps and gives back a lease' },
    [['redis: a lease in a slot that is half-way is re-armed', "redis.call('PEXPIRE', LEASE, ttl)", '1']],
  ),
  ...inFile(
    'lib/drivers/redis/scripts/drop.lua',
    { specs: [integration('redis-cluster')], grep: 'keeps and gives back a lease|was cancelled meanwhile' },
    [['redis: a lease in a slot that is half-way is given back', "redis.call('DEL', LEASE)", '1']],
  ),
  ...inFile(
    'lib/drivers/redis/scripts/bar.lua',
    { specs: [integration('redis-cluster')], grep: 'was cancelled meanwhile' },
    [['redis S6 a cancel in a slot that is half-way is remembered', "redis.call('SET', CANCELLED, '', 'PX', ttl)", '']],
  ),
  ...inFile(
    'lib/drivers/redis/commands/split-slot.ts',
    { specs: [integration('redis-cluster')], grep: 'keeps and gives back a lease|was cancelled meanwhile' },
    [
      [
        'redis: what must not wait for a slot makes a detour',
        'if (error instanceof SplitSlotError) return detour();',
        '',
      ],
      ['redis: a cancel in a slot that is half-way gives the lease back', 'await drop(connection, claim);', ''],
    ],
  ),
  ...inFile('lib/drivers/redis/marks.ts', { specs: [integration('redis-tokens')], grep: 'the marks of a cluster' }, [
    ['redis S7 the mark of a lock is in its slot', 'marks.in(slotOf(`{${key}}`))', 'marks.in(0)'],
    ['redis S7 a slot has one mark', 'if (!this.#numbers.has(found)) ', ''],
  ]),
  ...inFile('lib/drivers/redis/scripts/advance.lua', redis, [
    ['redis: a number moves forward only', 'tonumber(at) < tonumber(to)', 'tonumber(at) ~= tonumber(to)'],
    ['redis: a number is moved once', ' and by == caller and 1', ' and 1'],
  ]),
  ...inFile('lib/drivers/redis/inbox.ts', redis, [
    [
      'redis: a push that may not be trusted is a reason to ask',
      "event.type === 'granted' && !this.#connection.trustsPushes",
      'false',
      { specs: [integration('redis-failover-options')], grep: 'granted by itself' },
    ],
  ]),
  ...inFile('lib/drivers/redis/redis.driver.ts', redis, [
    [
      'redis S6 a cancelled holder is remembered for a minute',
      '[holder, entry, CANCELLED_FOR]',
      '[holder, entry, ttl]',
      { specs: [integration('redis-queue')] },
    ],
    [
      'redis: keys of different slots are renewed apart',
      'this.#connection.isCluster ? slotOf(leaseKey(key)) : 0',
      '0',
      { specs: [CONTRACT], grep: 'RedisDriver on a cluster renews many' },
    ],
    [
      'redis: a grant counts when replicas have it',
      "=> typeof reply === 'string' };",
      '=> false };',
      { specs: [faults('replica-acks')], grep: 'that do not come' },
    ],
    [
      'redis: a renewal counts when replicas have it',
      '(reply as number[]).some((waiters) => waiters >= 0)',
      'false',
      { specs: [integration('redis-failover-options'), faults('replica-acks')], grep: 'acknowledgements|replicas.ack' },
    ],
  ]),
  ...inFile(
    'lib/drivers/redis/failover/replica-acks.ts',
    { specs: [faults('replica-acks')], grep: 'that do not come' },
    [['redis: a grant without acknowledgements fails', 'if (acked >= needed) return;', 'return;']],
  ),
  ...inFile(
    'lib/drivers/redis/failover/failover-quarantine.ts',
    { specs: [integration('redis-failover-options')], grep: 'failoverQuarantine' },
    [
      ['redis: a new master grants nothing in its quarantine', 'if (left <= 0) return;', 'return;'],
      [
        'redis: another reign is another quarantine',
        'if (known && known.id === id) return known;',
        'if (known) return known;',
      ],
    ],
  ),
  ...inFile('lib/drivers/redis/connection/node.ts', { specs: [integration('redis-queue')] }, [
    ['redis: a server that does not know a script is sent it', "startsWith('NOSCRIPT')", "startsWith('never')"],
  ]),
  ...inFile(
    'lib/drivers/redis/connection/connection.ts',
    { specs: [integration('redis-connection')], grep: 'of the subscription that breaks alone' },
    [
      [
        'redis: who waits and holds asks again when subscriptions come back',
        'resubscribed: () => this.#mayHaveMissed()',
        'resubscribed: () => undefined',
      ],
    ],
  ),
  ...inFile(
    'lib/drivers/redis/connection/subscriber.ts',
    { specs: [integration('redis-connection')], grep: 'of the subscription that breaks alone' },
    [['redis: channels are subscribed to again on a new connection', 'void this.#resubscribe();', '']],
  ),
  ...inFile(
    'lib/drivers/redis/connection/subscriber.ts',
    { specs: [faults('endpoint-failover')], grep: '^a subscription' },
    [
      ['redis: a subscription that the commands cannot see is given up', 'if (isInPlace) {', 'if (true) {'],
      [
        'redis: an operator is told of an address that leads to several servers',
        'if (++this.#strays === TOO_OFTEN) this.#options.strayed();',
        '',
      ],
    ],
  ),
  ...inFile('lib/drivers/redis/connection/reconnector.ts', { specs: [integration('redis-outages')] }, [
    [
      'redis: a connection that ends is no outage',
      'if (wasOpen) {',
      'if (false) {',
      { grep: 'from time to time|as it is used first' },
    ],
    [
      'redis: calls wait a moment for a connection that has just broken',
      'const SOON = 500;',
      'const SOON = 0;',
      { grep: 'as it is used first' },
    ],
    [
      'redis: a store that is away is told of',
      '    this.refused();\n    this.#attemptIn',
      '    this.#attemptIn',
      { grep: 'away for a while' },
    ],
    [
      'redis: a store whose connections do not last is not up',
      'if (!this.#isDown || !this.#isShaky) return this.#announce();',
      'return this.#announce();',
      { grep: 'an endpoint behind which' },
    ],
    [
      'redis: connections that do not last are opened ever more rarely',
      'this.#attemptIn(lasted ? 0 : retryDelay(this.#failures, this.#options.random));',
      'this.#attemptIn(0);',
      { specs: [unit('drivers/redis/connection/reconnector')] },
    ],
  ]),
  ...inFile('lib/drivers/redlock/quorum.ts', { specs: [unit('drivers/redlock/quorum')] }, [
    ['redlock: any two quorums share a server', 'Math.floor(size / 2) + 1', 'Math.floor(size / 2)'],
    [
      'redlock S6 an answer that did not come is an unknown outcome',
      'failures.some(mayHaveBeenExecuted) || answers.length > 0',
      'false',
      { specs: [unit('drivers/redlock/polls')] },
    ],
  ]),
  ...inFile('lib/drivers/redlock/polls.ts', { specs: [unit('drivers/redlock/polls')] }, [
    ['redlock: who does not answer in time has failed', 'while (this.#answered < this.#asked) {', 'while (false) {'],
    [
      'redlock: too few answers are no verdict',
      'if (tally.answers.length + tally.pending < enough) throw tooFew(tally, enough);',
      '',
    ],
  ]),
  ...inFile('lib/drivers/redlock/ballot.ts', { specs: [unit('drivers/redlock/ballot')] }, [
    [
      'redlock: a quorum of votes is needed',
      "if (votes.length >= quorum) return { status: 'won', votes };",
      "if (votes.length >= quorum - 1) return { status: 'won', votes };",
    ],
    [
      'redlock: a vote is open while answers could change it',
      'if (votes.length + tally.pending >= quorum) return undefined;',
      '',
    ],
    ['redlock: of equals the smallest holder gets it', 'holder < record.holder', 'holder > record.holder'],
    ['redlock: who was let pass does not count again', '!letPass.has(rival.holder)', 'true'],
    ['redlock: a lost quorum is no refusal', 'if (tally.failures.length >= quorum) throw tooFew(tally);', ''],
    [
      'redlock: a token that was granted before is waited for',
      'times > 0 && times < quorum && times + pending >= quorum',
      'false',
    ],
    ['redlock: a token that no quorum can know is not waited for', ' && times + pending >= quorum;', ';'],
    ['redlock: a quorum that knows a token is enough', ' && times < quorum &&', ' &&'],
    [
      'redlock: a vote of an earlier attempt does not say since when a key is held',
      'Math.max(record.since, entry.record.since)',
      'entry.record.since',
      redlockSince,
    ],
  ]),
  ...inFile('lib/drivers/redlock/redlock.driver.ts', redlock, [
    [
      'redlock: a renewal needs a quorum',
      'if (held.length >= quorum) return',
      'if (held.length >= 1) return',
      { grep: 'is renewed by a majority only' },
    ],
    [
      'redlock: a renewal is lost where a quorum cannot be had',
      "answers.length - held.length >= quorum ? 'gone' : 'unknown'",
      "'gone'",
      { grep: 'with servers that are gone' },
    ],
    ['redlock S6 a cancel is remembered', 'release(claim, true)', 'release(claim, false)', redlockContract],
    [
      'redlock: servers that are one are refused',
      'this.#servers.assertDistinct();\n    const channel',
      'const channel',
      { grep: 'one and the same' },
    ],
  ]),
  ...inFile('lib/drivers/redlock/quorum-acquire.ts', redlock, [
    [
      'redlock: a minority is given back',
      "      this.#withdraw(state, round);\n      if (result.status === 'lost')",
      "      if (result.status === 'lost')",
      { grep: 'a grant by a quorum' },
    ],
    [
      'redlock S7 a token that no quorum stored is raised on one',
      'if (!isReserved) await this.#raise(claim, block);',
      '',
      { grep: 'the fencing token' },
    ],
    [
      'redlock: a release ends what is to be asked later',
      'if (won && this.#later.drop(won)) return',
      'if (won) return',
      {
        specs: [integration('redlock'), integration('redlock-late-requests')],
        grep: 'a grant by a quorum|a renewal|a release',
      },
    ],
    [
      'redlock S6 a repeated request is answered with the same token',
      'isRepeated && mayBeGrantedBefore(tally, size) ? undefined : count',
      'count',
      { specs: [integration('redlock-late-requests')] },
    ],
    [
      'redlock: a lease that is asked for again began when it was asked for first',
      'state.since ||= this.#clock',
      'state.since = this.#clock',
      redlockSince,
    ],
    [
      'redlock: a claim that gave its votes back begins later',
      'const { claim, open, late } = state;\n    state.since = 0;',
      'const { claim, open, late } = state;',
      redlockSince,
    ],
  ]),
  ...inFile(
    'lib/drivers/redlock/tokens.ts',
    { specs: [unit('drivers/redlock/ballot'), unit('drivers/redlock/proposals')] },
    [
      [
        'redlock S7 the largest token of the votes counts',
        'Math.max(...votes.map((vote) => vote.fencingToken))',
        'Math.min(...votes.map((vote) => vote.fencingToken))',
      ],
      ['redlock S7 a token is reserved where a quorum stored it', 'if (same.length < quorum) continue;', ''],
    ],
  ),
  ...inFile(
    'lib/drivers/redlock/proposals.ts',
    { specs: [unit('drivers/redlock/ballot'), unit('drivers/redlock/proposals')] },
    [
      [
        'redlock S7 proposals are apart by a block',
        'const next = this.#last + TOKENS;',
        'const next = this.#last + 1;',
      ],
      ['redlock S7 proposals do not run away from the clock', 'next > now && next < now + AHEAD', 'next > now'],
    ],
  ),
  ...inFile('lib/drivers/redlock/give-back.ts', redlock, [
    [
      'redlock S6 a holder is remembered for a minute',
      'args.push(REMEMBERED);',
      'args.push(lease.ttl);',
      { specs: [integration('redlock-late-requests')] },
    ],
    [
      'redlock: what may come late is remembered',
      'late & server.bit ? release(lease, true) : call',
      'call',
      { specs: [integration('redlock'), integration('redlock-late-requests')] },
    ],
  ]),
  ...inFile('lib/drivers/redlock/rounds.ts', { specs: [unit('drivers/redlock/rounds')] }, [
    ['redlock: a failed request may be executed yet', 'this.#strays |= bit;', ''],
    [
      'redlock: a request that is unanswered may be executed yet',
      'this.#strays | (this.#latest?.unanswered ?? 0)',
      'this.#strays',
    ],
    [
      'redlock: a server that may have voted stays open',
      'if (!(this.#strays & bit)) this.open &= ~bit;',
      'this.open &= ~bit;',
    ],
    [
      'redlock: all rounds of an attempt send one time',
      'this.since = state.since;',
      'this.since = Date.now() * 1000;',
      redlockSince,
    ],
  ]),
  ...inFile('lib/drivers/redlock/redlock-fact-store.ts', { specs: [unit('drivers/redlock/small-parts')] }, [
    ['redlock: a fact is one that enough servers have', 'times >= least', 'times >= 1'],
    ['redlock: the newest value of a fact counts', 'if (version > known.version) Object.assign', 'Object.assign'],
  ]),
  ...inFile('lib/drivers/redlock/fairness.ts', { specs: [unit('drivers/redlock/small-parts')] }, [
    ['redlock: a key is free when a quorum tells', 'times === this.#quorum', 'times === 1'],
  ]),
  ...inFile(
    'lib/drivers/redlock/scripts/acquire.lua',
    { specs: [CONTRACT], grep: '^RedlockDriver on 3 servers (?!facts)' },
    [
      [
        'redlock S6 who was given back gets no vote',
        'if not lease and not isGivenBack(givenBack, round) then',
        'if not lease then',
      ],
      [
        'redlock S6 a repeated acquire re-arms the vote',
        "redis.call('SET', leaseKey, table.concat({ holder, granted, round, since, tail }, ' '), 'PX', ttl)",
        "redis.call('SET', leaseKey, table.concat({ holder, granted, round, since, tail }, ' '), 'KEEPTTL')",
      ],
      [
        'redlock: the latest round of a vote counts',
        'if tonumber(before) > tonumber(round) then',
        'if false then',
        { specs: [integration('redlock-late-requests')] },
      ],
      [
        'redlock: no clock of a server says since when a key is held',
        'table.concat({ holder, token, round, since, tail }',
        "table.concat({ holder, token, round, redis.call('TIME')[1] .. '000000', tail }",
        redlockSince,
      ],
      [
        'redlock: the latest round says since when a key is held',
        '{ holder, granted, round, since, tail }',
        '{ holder, granted, round, began, tail }',
        redlockSince,
      ],
    ],
  ),
  ...inFile('lib/drivers/redlock/scripts/release.lua', { specs: [integration('redlock-late-requests')] }, [
    [
      'redlock: a round that is given back late takes nothing from a later one',
      "if tonumber(string.match(lease, '^%S+ %d+ (%d+)')) > tonumber(round) then",
      'if false then',
    ],
    [
      'redlock S6 only the holder releases',
      "if not lease or string.sub(lease, 1, #holder + 1) ~= holder .. ' ' then",
      'if not lease then',
      { specs: [CONTRACT], grep: '^RedlockDriver on 3 servers (?!facts)' },
    ],
    [
      'redlock: all rounds that were given back stay so',
      "round == '' or not before or before ~= '' and tonumber(before) <= tonumber(round)",
      'true',
    ],
  ]),
  ...inFile(
    'lib/drivers/redlock/scripts/renew.lua',
    { specs: [CONTRACT], grep: '^RedlockDriver on 3 servers (?!facts)' },
    [
      ['redlock S4 a renewal arms the whole TTL', "redis.call('PEXPIRE', leaseKey, ttl)", ''],
      [
        'redlock: a vote that a renewal takes is not counted as held',
        'outcomes[i + 1] = -1',
        'outcomes[i + 1] = lease and -1 or 0',
        { specs: [integration('redlock')], grep: 'a grant by a quorum' },
      ],
      [
        'redlock: a renewal gives no vote to who was given back',
        "if not isGivenBack(givenBack, string.match(claim, '^%S+ %d+ (%d+)')) then",
        'if true then',
        { specs: [integration('redlock'), integration('redlock-late-requests')], grep: 'renewal' },
      ],
      [
        'redlock: no clock of a server says since when a key is held, of a vote that a renewal takes',
        "redis.call('SET', leaseKey, claim, 'PX', ttl)",
        "redis.call('SET', leaseKey, (string.gsub(claim, '%d+ {', redis.call('TIME')[1] .. '000000 {', 1)), 'PX', ttl)",
        redlockSince,
      ],
    ],
  ),
  ...inFile(
    'lib/drivers/redlock/scripts/include/first.lua',
    { specs: [integration('redlock')], grep: 'the fencing token|outlives all servers' },
    [
      [
        'redlock S7 a token is above all that a server reserved',
        'mark and math.max(mark + 1, first) or first',
        'first',
      ],
      [
        'redlock S7 a server takes no token far ahead of its clock',
        'math.min(math.max(tonumber(proposed), now - 1000000), now + 1000000)',
        'math.max(tonumber(proposed), now - 1000000)',
      ],
    ],
  ),
  ...inFile('lib/drivers/etcd/queue/queues.ts', etcd, [
    [
      'etcd: a queue is entered as its holder where it is empty',
      '{ compare: [isEmpty], success: [put], failure }',
      '{ compare: [], success: [put], failure }',
    ],
    ['etcd: a waiter watches the key in front of it', 'maxCreateRevision: before - 1', 'maxCreateRevision: before'],
    [
      'etcd S4 a renewal finds the key, and on its lease',
      'owner?.key === key && owner.createRevision === createRevision && owner.lease === lease.id',
      'owner !== undefined',
      { specs: [integration('etcd-locks')] },
    ],
    [
      'etcd S6 a release takes its own key only',
      'this.#run([], { compare: queued.isOurs, success }, timeout)',
      'this.#run([], { compare: [], success }, timeout)',
      { specs: [integration('etcd-locks')] },
    ],
  ]),
  ...inFile('lib/drivers/etcd/queue/queued-claim.ts', { specs: [integration('etcd-locks')] }, [
    [
      'etcd: a claim is ours on our lease only',
      "[{ key, result: 'EQUAL', target: 'CREATE', createRevision }, attached]",
      "[{ key, result: 'EQUAL', target: 'CREATE', createRevision }]",
    ],
  ]),
  ...inFile('lib/drivers/etcd/queue/claims.ts', { specs: [integration('etcd-locks')] }, [
    ['etcd: a lease of unknown outcome is not used again', ' && !queued.isUncertain;', ';'],
    [
      'etcd: an outcome that is unknown makes a claim uncertain',
      'if (error instanceof DriverUnavailableError && error.sent) queued.isUncertain = true;\n      else ',
      '',
    ],
    [
      'etcd S6 a cancel ends the lease',
      'await this.#own.orExpired(queued, this.#context.pool.revoke(queued.lease, timeoutOf(claim.ttl)));',
      '',
    ],
    [
      'etcd S1 a grant says what is left of its lease',
      'Math.min(claim.ttl, Math.floor(lease.until - queued.askedAt))',
      'claim.ttl',
    ],
    [
      'etcd S10 a waiter whose grant was not confirmed is told to ask',
      '.catch(() => mustAsk(queued))',
      '.catch(() => undefined)',
      { specs: [integration('etcd-lost-answers')] },
    ],
  ]),
  ...inFile('lib/drivers/etcd/queue/own-claims.ts', { specs: [integration('etcd-locks')] }, [
    [
      'etcd: a lease of an unknown request is not left to the next',
      'if (queued.isUncertain) return this.drop(queued);',
      '',
    ],
    [
      'etcd: a claim that could not be given back is forgotten with its lease',
      'queued.ending ??= clock.after(queued.lease.until - clock.now(), () => this.drop(queued));',
      '',
    ],
  ]),
  ...inFile('lib/drivers/etcd/queue/store-lease.ts', { specs: [unit('drivers/etcd/queue/store-lease')] }, [
    ['etcd S1 a keep-alive of another term proves nothing', 'if (claim.term !== term) return false;', ''],
    ['etcd S1 the newest keep-alive counts', 'Math.max(this.#anchor, claim.anchor)', 'claim.anchor'],
    ['etcd S4 a lease that is gone is not kept alive', 'if (ttl === 0) return false;', ''],
  ]),
  ...inFile('lib/drivers/etcd/queue/renewals.ts', { specs: [unit('drivers/etcd/queue/renewals')] }, [
    ['etcd S1 a renewal that is not proven fails', 'lease.until < sentAt + claim.ttl', 'false'],
  ]),
  ...inFile('lib/drivers/etcd/queue/strangers.ts', { specs: [integration('etcd-strangers')] }, [
    ['etcd: what was changed meanwhile is not removed', '{ compare, success }', '{ success }'],
    ['etcd: what has a lease is not removed', 'kvs.filter(isLasting).slice', 'kvs.slice'],
    ['etcd: strangers that come again keep no request for ever', 'if (attempt > ATTEMPTS) return false;', ''],
    ['etcd: an operator is told once of a stranger', 'this.#known.has(key) || ', ''],
  ]),
  ...inFile('lib/drivers/etcd/queue/records.ts', { specs: [integration('etcd-strangers')] }, [
    ['etcd: what has no lease holds nothing', 'return lease === 0;', 'return false;'],
    ['etcd S7 no token is later than the write that says so', ' && Number(token) <= modRevision', ''],
    ['etcd: a holder is a text', '!isName(holder) || ', ''],
    ['etcd: metadata are texts', ' || !isMetadata(metadata)', ''],
    ['etcd: a TTL is a time', "typeof ttl !== 'number' || !Number.isFinite(ttl) || ttl <= 0 || ", ''],
  ]),
  ...inFile('lib/drivers/etcd/names.ts', { specs: [unit('drivers/etcd/names')] }, [
    ['etcd: no lock is in the queue of another', ".replaceAll('/', '%2F')", ''],
    ['etcd: no two names are one', ".replaceAll('%', '%25')", ''],
  ]),
  ...inFile('lib/drivers/etcd/queue/waiters.ts', etcd, [
    [
      'etcd: a waiter that is not heard of is skipped',
      'if (this.#clock.now() - queued.askedAt > 3 * heartbeat(queued.claim.ttl)) return',
      'if (false) return',
    ],
    [
      'etcd S10 a waiter whose look failed is told to ask',
      "if (queued.status === 'waiting') this.#listener.mustAsk(queued);",
      '',
      { specs: [integration('etcd-lost-answers')] },
    ],
    [
      'etcd: a waiter whose look failed keeps its place',
      "if (queued.status === 'waiting') this.#listener.mustAsk(queued);",
      'this.#listener.lost(queued);\n      this.#listener.mustAsk(queued);',
      { specs: [integration('etcd-lost-answers')] },
    ],
    [
      'etcd S10 a look that failed is not the answer to later ones',
      '.finally(() => (queued.looking = undefined))',
      '.then(() => (queued.looking = undefined))',
      { specs: [integration('etcd-lost-answers')] },
    ],
  ]),
];

const applicationMutations = [
  ...inFile('lib/leader/campaign.ts', { specs: [leader('election')] }, [
    ['S9 a leader stops at the renew deadline', 'validFor: renewDeadline,', ''],
    ['S9 a leader renews every retry period', 'renewEvery: retryPeriod,', ''],
  ]),
  ...inFile('lib/leader/leading.ts', { specs: [leader('election'), leader('transitions')] }, [
    ['S9 code of a term has ended before the next campaign', 'await this.work.drained(left);', ''],
    [
      'S9 a hand-over waits for leader work',
      'const isDrained = await this.work.drained(grace);',
      'const isDrained = true;',
    ],
    ['S9 work that does not end leaves the lease to its TTL', 'if (!isDrained) {', 'if (false) {'],
    ['S9 whoever resigns leaves the turn to others', 'Math.max(rest, retryPeriod)', 'rest'],
    [
      'S9 the loss of the lease ends the term',
      "this.end('lost', (handle.signal.reason as LockLostError).message)",
      'undefined',
    ],
    [
      'the lease is left to its TTL where it is not to be released at shutdown',
      'left.aborted && !releaseOnShutdown',
      'false',
    ],
    ['S8 the signal of a term aborts at its end', 'active.end({ kind, reason }, this.#context.notLeader());', ''],
  ]),
  ...inFile('lib/leader/election.ts', { specs: [leader('election'), leader('transitions')] }, [
    [
      'S2 leading is a look at the clock',
      "if (this.#state.role !== 'leader' || this.#leading.isHeld) return",
      'if (true) return',
    ],
    ['one who leaves stops to campaign', 'this.#campaigning.withdraw();', ''],
  ]),
  ...inFile('lib/leader/campaigning.ts', { specs: [leader('election'), leader('transitions')] }, [
    [
      'a lease that came too late is not led with',
      'if (!this.#wanted || left.aborted || !handle.held) return handle.release();',
      '',
    ],
    ['one who resigned stops to campaign where it should', 'if (!this.#wanted) this.#campaign?.withdraw();', ''],
    ['a rest is kept', 'this.#wanted && clock.now() >= this.#notBefore', 'this.#wanted'],
  ]),
  ...inFile('lib/leader/accepted-urls.ts', { specs: [leader('accepted-urls')] }, [
    ['a URL of another port is not accepted', ' && portOf(self) === port) return', ') return'],
    ['a URL of another scheme is not accepted', 'self && self.protocol === protocol', 'self'],
    ['a URL with credentials is not accepted', ' || username || password', ''],
    ['a URL is one of HTTP', "(protocol !== 'http:' && protocol !== 'https:') || ", ''],
    ['a name below a host is one after a dot', 'endsWith(`.${host}`)', 'endsWith(host)'],
    ['a URL of another host than those listed is not accepted', ' && isAt(origin, url)', ''],
    ['a URL of another port than those listed is not accepted', '(origin.port ?? port) === port && ', ''],
    ['a URL of another scheme than those listed is not accepted', 'origin.protocol === protocol && ', ''],
  ]),
  ...inFile('lib/leader/peer-records.ts', { specs: [leader('peer-records')] }, [
    ['a URL that is not accepted is left out', ' && this.#acceptsUrl(url)) return url;', ') return url;'],
    ['a URL may stand in a header', 'VISIBLE.test(url) && ', ''],
    ['an id of a member may stand in a header', 'if (!isId(id) || ', 'if ('],
    ['an id of a leader may stand in a header', 'const id = isId(instance)', 'const id = true'],
    ['a member has a role', '!ROLES.has(role) || ', ''],
    ['whoever forges URLs does not fill the memory', ' || this.#refused.size >= 100', ''],
    ['a record has a bounded size', ' || text.length > LONGEST_RECORD', ''],
    ['metadata are texts', "entries.every(([, text]) => typeof text === 'string')", 'true'],
  ]),
  ...inFile('lib/leader/leader-view.ts', { specs: [leader('election'), leader('members')] }, [
    [
      'S9 the lease of an earlier process is not led with',
      'record && record.instance !== this.#manager.instance',
      'record',
    ],
    ['a leader that the store does not confirm is forgotten', 'else this.#changed(null);', ''],
  ]),
  ...inFile('lib/leader/leadership-streams.ts', { specs: [leader('election')] }, [
    ['S9 states are published in order', 'if (this.#publishing) return;', ''],
    [
      'S9 no leadership that is over is replayed',
      "if (state.role !== 'leader' || state.term === this.#election.state.term) return state;",
      'return state;',
    ],
  ]),
  ...inFile('lib/leader/leader.service.ts', { specs: [leader('election')] }, [
    ['nothing is emitted after the end of a term', 'takeWhile(lasts),', ''],
  ]),
  ...inFile('lib/locks/running-work.ts', { specs: [leader('election')] }, [
    ['S9 leader work is counted', 'this.#running++;', ''],
    ['leader work that resigns does not wait for itself', 'return isInside(this);', 'return false;'],
  ]),
  ...inFile('lib/leader/flap-damping.ts', { specs: [leader('transitions')] }, [
    ['an instance that flaps stays out for longer and longer', 'const earlier = this.#flaps++;', 'const earlier = 0;'],
  ]),
  ...inFile('lib/leader/leading.ts', { specs: [leader('hand-over')] }, [
    ['only one who campaigns can be named', 'if (!ids.includes(to)) throw', 'if (false) throw'],
  ]),
  ...inFile('lib/leader/election-options.ts', { specs: [unit('nest/options'), unit('nest/elections')] }, [
    ['S9 the renew deadline ends before the lease can', 'if (renewDeadline > longestDeadline) {', 'if (false) {'],
    [
      'S9 a renewal can be tried again before the deadline',
      'if (renewDeadline <= 1.2 * retryPeriod) {',
      'if (false) {',
    ],
  ]),
  ...inFile('lib/schedule/cron-schedule.ts', { specs: [integration('nest/job-service')] }, [
    ['catch-up leaves out a job that does not tick', 'return isActive ?? running ?? false;', 'return true;'],
    ['a job without a name stays that of its method', 'if (known) return known;', ''],
    [
      'two methods with one expression have a job each',
      'fitting.find((one) => !this.#taken.has(one)) ?? fitting[0]',
      'fitting[0]',
    ],
    [
      'a job with a name is no other of the same expression',
      'options.name ? jobs.getCronJobs().get(options.name) :',
      "jobs.getCronJobs().get(options.name ?? '') ??",
    ],
  ]),
  ...inFile('lib/schedule/job.service.ts', { specs: [integration('nest/job-service')] }, [
    [
      'an instance that ends claims no fire',
      'return this.#isOver ? undefined : fires.tickAt(job, { instant }, work);',
      'return fires.tickAt(job, { instant }, work);',
    ],
    [
      'catch-up asks whether the fire was missed',
      'if (!(await this.isMissed(job, cronJob, options))) return undefined;',
      '',
    ],
  ]),
  ...inFile('lib/schedule/fires.ts', { specs: [integration('nest/job-service')] }, [
    ['the scheduled instant is passed on', 'runInside(this, undefined, work, instant)', 'work()'],
  ]),
  ...inFile('lib/locks/call-chain.ts', { specs: [integration('nest/job-service')] }, [
    [
      'the scheduled instant is that of a run that goes on',
      'if (frame.open && frame.instant !== undefined)',
      'if (frame.instant !== undefined)',
    ],
  ]),
  ...inFile('lib/nest/cron-locker.ts', { specs: [integration('nest/cron-locker')] }, [
    ['a run of the locker lasts until it is released', 'return this.#ended(key, ttlMs);', 'return Promise.resolve();'],
    [
      'a run of the locker that nobody releases ends with its TTL',
      'this.#clock.after(ttl, end)',
      'this.#clock.after(1e9, end)',
    ],
  ]),
  ...inFile('lib/nest/cron-methods.ts', { specs: [integration('nest/cron-locker')] }, [
    [
      'the locker knows a job by its lock key first',
      'options.lockKey ?? options.name',
      'options.name ?? options.lockKey',
    ],
  ]),
  ...inFile('lib/nest/job-checks.ts', { specs: [unit('nest/job-checks')] }, [
    ['a second scheduler is warned of', 'if (schedulers > 1)', 'if (schedulers > 2)'],
    [
      'a second instance of a job is warned of',
      'if (modules.size === 1) continue;',
      'if (modules.size <= 2) continue;',
    ],
    ['a class name of two letters is warned of', 'type.length > LONGEST_SHORT_NAME', 'type.length > 1'],
    [
      'jobs whose fires are claimed may be doubled',
      " && !wrappings.some(({ decorator }) => decorator === 'OncePerTick')",
      '',
    ],
    [
      'a lock that skips a tick is warned of',
      'else if (holdAtLeast === undefined)',
      'else if (holdAtLeast !== undefined)',
      { specs: [unit('nest/start-checks')] },
    ],
    [
      'a lock of a job whose ticks run on one replica is fine',
      'if (wrappingsOf(method).some(({ decorator }) => DEDUPLICATING.has(decorator))) return;',
      '',
      { specs: [unit('nest/start-checks')] },
    ],
  ]),
  ...inFile('lib/schedule/fires.ts', { specs: [schedule('fires')] }, [
    [
      'a fire is claimed for one tick only',
      'const attempt = `${instance} ${newHolder()}`;',
      'const attempt = instance;',
    ],
    ['a fire runs where it was claimed', 'if (claimed) return this.#running.run', 'if (true) return this.#running.run'],
    ['closing waits for runs', 'return this.#running.drained(grace);', 'return true;'],
  ]),
  ...inFile('lib/schedule/abandoned-fires.ts', { specs: [schedule('fires')] }, [
    ['a fire that is done is not abandoned', "if (run === 'done' || newest?.done) return;", ''],
    [
      'an abandoned fire is reported once by instances of one id',
      'const attempt = `${instance} ${newHolder()}`;',
      'const attempt = instance;',
    ],
  ]),
  ...inFile('lib/schedule/fire-records.ts', { specs: [schedule('fires')] }, [
    [
      'a fire that another claimed is not ours',
      "scope, job, instant, attempt, ttl)) === 'mine'",
      'scope, job, instant, attempt, ttl)) !== undefined',
    ],
    ['a fire is given up when its time is over', 'clock.now() >= giveUpAt', 'false'],
    [
      'an abandoned fire is not reported again by a later start',
      'instant, attempt, LONGEST_MEMORY)',
      'instant, attempt, DONE_FOR * this.aliveFor)',
    ],
  ]),
  ...inFile('lib/drivers/memory/memory-fact-store.ts', { specs: [CONTRACT], grep: '^MemoryDriver facts' }, [
    ['memory: a number moves forward only', 'position && position.at >= to', 'position && position.at === to'],
    [
      'memory: a number is moved once',
      "position.at === to && position.by === by ? 'mine'",
      "position.at === to ? 'mine'",
    ],
  ]),
  ...inFile('lib/decorators/wrap-method.ts', { specs: [unit('decorators/with-lock')] }, [
    [
      'a method without its service does not run',
      'if (service === undefined) throw notBound(decorator, label, token, this);',
      'if (service === undefined) return Reflect.apply(original, this, args);',
    ],
  ]),
  ...inFile('lib/decorators/with-lock.ts', { specs: [unit('decorators/with-lock')] }, [
    ['an error of the method is no contention', 'if (entered || !(error', 'if (!(error'],
    [
      'a store that is down is no contention',
      'if (entered || !(error instanceof LockNotAcquiredError)) throw error;',
      'if (entered) throw error;',
    ],
  ]),
  ...inFile('lib/decorators/leader-only.ts', { specs: [unit('decorators/leader-only')] }, [
    ['S2 a method of the leader looks at the clock', 'if (service.isLeader()) {', 'if (true) {'],
    ['a refusal is not taken for a result', 'if (entered || service.isLeader()) return result;', 'return result;'],
    ['a method that is called elsewhere rejects', 'service.assertLeader();\n  return undefined;', 'return undefined;'],
    [
      'a method that is called elsewhere does not run',
      'return undefined;\n  service.assertLeader();',
      'return proceed();\n  service.assertLeader();',
    ],
  ]),
  ...inFile('lib/decorators/lock-key.ts', { specs: [unit('decorators/lock-key')] }, [
    ['a value cannot leave its place in a key', 'value.replace(/[%:{}\\s]/gu, encodeURIComponent)', 'value'],
    [
      'a value that only code makes is no fault of a request',
      'return prototype === null || prototype === Object.prototype ? 400 : 500;',
      'return 400;',
    ],
    [
      'a field that is missing is the fault of a request',
      "if (typeof value !== 'object' || value === null || Array.isArray(value)) return 400;",
      "if (typeof value !== 'object' || value === null || Array.isArray(value)) return 500;",
    ],
  ]),
  ...inFile('lib/http/error-edges.ts', { specs: [integration('nest/errors-of-requests')] }, [
    ['an error leaves a handler as an exception', '[...others, interceptor]', 'others'],
    ['interceptors of a method see the exception', '[...others, interceptor]', '[interceptor, ...others]'],
    [
      'filters of the user catch what the interceptor threw',
      'static [Symbol.hasInstance](value: unknown): boolean {\n    return isUnanswered(value);',
      'static [Symbol.hasInstance](value: unknown): boolean {\n    return value instanceof Error;',
    ],
    ['an error is reported once', 'if (others.includes(interceptor)) return;', ''],
  ]),
  ...inFile('lib/http/request-errors.ts', { specs: [integration('nest/errors-of-requests')] }, [
    ['an answer names no key', 'code, message: sentenceOf(error) };', 'code, message: error.message };'],
    ['a payload names no key', 'code, message: sentenceOf(error), ...', 'code, message: error.message, ...'],
    ['a mistake of the code is no refusal', 'return statusCode !== 500;', 'return true;'],
    ['contention is no line for operators', 'else logger.debug(error.message);', 'else logger.error(error.message);'],
    ['a client learns when to ask again', 'if (error.statusCode === 503) askAgain(response, error);', ''],
  ]),
  ...inFile('lib/http/request-errors.ts', { specs: [integration('nest/leader-only')] }, [
    ['an event is never refused in silence', '!isEvent(context.getHandler())', 'true'],
    [
      'a stranger learns the address of a leader, not its id',
      'error.leader?.url : undefined',
      'error.leader?.id : undefined',
    ],
  ]),
  ...inFile('lib/core/errors.ts', { specs: [integration('nest/errors-of-requests')] }, [
    [
      'a filter for an error catches the exception in its place',
      'return isOne.call(this, value) || (isStandIn(value) && isOne.call(this, value[STANDS_FOR]));',
      'return isOne.call(this, value);',
    ],
    [
      'an exception as JSON names no key',
      'configurable: true, enumerable: false }',
      'configurable: true, enumerable: true }',
    ],
  ]),
  ...inFile('lib/nest/resolve-options.ts', { specs: [unit('nest/options')] }, [
    [
      'applications that share a store have names',
      "if (namespace === undefined && capabilities.scope !== 'process') {",
      'if (false) {',
    ],
  ]),
  ...inFile('lib/locks/lock.service.ts', { specs: [unit('nest/options')] }, [
    ['a call outlasts the lease of a holder that died', 'wait: wait ?? ttl + WAIT_BEYOND_TTL', 'wait: wait ?? 1000'],
  ]),
  ...inFile('lib/nest/instance-options.ts', { specs: [unit('nest/observers')] }, [
    ['the environment makes an observer', 'return isOn || observeOnly;', 'return observeOnly;'],
  ]),
  ...inFile('lib/leader/election-options.ts', { specs: [unit('nest/observers')] }, [
    ['an observer does not campaign', 'autoCampaign: autoCampaign && !observeOnly,', 'autoCampaign,'],
  ]),
  ...inFile('lib/leader/election.ts', { specs: [unit('nest/observers')] }, [
    [
      'an observer cannot be made to campaign',
      'if (!this.settings.observeOnly) this.#campaigning',
      'this.#campaigning',
    ],
  ]),
  ...inFile('lib/leader/membership.ts', { specs: [unit('nest/observers')] }, [
    ['an observer is no member', 'this.#settings.observeOnly || this.#left', 'this.#left'],
  ]),
  ...inFile('lib/nest/registration.ts', { specs: [unit('nest/observers')] }, [
    ['an observer claims no fire', 'if (options.observeOnly) this.jobs.close();', ''],
  ]),
  ...inFile('lib/nest/shutdown-hooks.ts', { specs: [unit('nest/start-checks')] }, [
    ['listeners of others are no shutdown hooks', "event === 'SIGTERM' && NEST.test(callers())", "event === 'SIGTERM'"],
    ['hooks for another signal are not enough', "event === 'SIGTERM' && NEST.test", 'NEST.test'],
  ]),
  ...inFile('lib/http/leader.guard.ts', { specs: [integration('nest/leader-only')] }, [
    ['a guard that cannot tell refuses', '{ strict: false }).assertLeader();', '{ strict: false });'],
  ]),
];

export const mutations = [...coreMutations, ...storeMutations, ...applicationMutations];
