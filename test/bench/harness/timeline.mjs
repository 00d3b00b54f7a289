// What happened to one key that many callers fought for, put together from what each process saw.
import { jain } from './statistics.mjs';

/** Numbers that a worker notes per hold: when it asked, when it had the lock, when it called release; and which caller. */
const FIELDS = 4;

/**
 * @param recordings for each process a Float64Array of all its holds
 * @param until holds that were granted later do not count for rates and shares: by then callers have left
 */
export function readTimeline(recordings, { from, until, callers }) {
  const holds = recordings.flatMap((recording, process) =>
    Array.from({ length: recording.length / FIELDS }, (_, index) => {
      const [asked, granted, releasing, caller] = recording.subarray(index * FIELDS);
      return { asked, granted, releasing, process, caller: process * callers + caller };
    }),
  );
  holds.sort((a, b) => a.granted - b.granted);

  const byProcess = recordings.map(() => 0);
  const byCaller = Array.from({ length: recordings.length * callers }, () => 0);
  let [overlaps, handOffs, handOffsInTime, longestWait] = [0, 0, 0, 0];
  let [lastReleasing, lastProcess] = [0, holds[0]?.process];
  for (const { asked, granted, releasing, process, caller } of holds) {
    if (granted < lastReleasing) overlaps++;
    const isHandOff = process !== lastProcess;
    handOffs += isHandOff;
    if (granted <= until) {
      handOffsInTime += isHandOff;
      byProcess[process]++;
      byCaller[caller]++;
    }
    longestWait = Math.max(longestWait, granted - asked);
    lastReleasing = Math.max(lastReleasing, releasing);
    lastProcess = process;
  }
  const seconds = (until - from) / 1000;
  const inTime = byProcess.reduce((sum, count) => sum + count, 0);
  return {
    acquisitions: holds.length,
    acquisitionsPerSecond: inTime / seconds,
    /** Acquisitions by another process than the one before. */
    handOffs,
    handOffsPerSecond: handOffsInTime / seconds,
    overlaps,
    longestWait,
    processFairness: jain(byProcess),
    callerFairness: jain(byCaller),
  };
}
