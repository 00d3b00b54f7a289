import { expect, it } from 'vitest';
import { type Line, ReplicaProcess } from './replica.js';

const GRACE = 5000;

const isColoured = ({ text }: Line): boolean => text.includes('\u001B[');

it('three replicas in one process: clear lines, and Ctrl+C hands over', { timeout: 60_000 }, async () => {
  const sample = await ReplicaProcess.start({ REPLICAS: '3' });
  expect(sample.urls).toHaveLength(3);
  await sample.waitForLine(/★ leads/);
  await sample.waitForLine(/wrote the nightly report/);
  await sample.waitForLine(/skips the nightly report of \S+: replica-\S+ leads/);
  await sample.waitForLine(/sent order \d+ to 3 replicas: 1 charged, 2 already charged/);
  await sample.waitForLine(/heartbeat 1 of term \d+/);
  expect(sample.matches(/follows/)).toHaveLength(2);
  expect(sample.matches(/★ leads/)).toHaveLength(1);

  const before = sample.lines.length;
  const stopped = sample.pressCtrlC();
  const exit = await sample.exit;
  expect(exit).toMatchObject({ code: 0, signal: null });
  expect(exit.at - stopped).toBeLessThan(GRACE);
  const end = sample.lines.slice(before).map(({ text }) => text);
  expect(end.findIndex((line) => line.includes('hands over'))).toBeLessThan(
    end.findIndex((line) => line.includes('★ leads')),
  );
});

it('npm start: Ctrl+C reaches the application through npm too, and npm ends well with it', async () => {
  const command = ['npm', 'start', '--ignore-scripts', '--no-update-notifier'] as const;
  const sample = await ReplicaProcess.start({ REPLICAS: '2' }, command);
  await sample.waitForLine(/★ leads/);
  sample.pressCtrlC();
  expect(await sample.exit).toMatchObject({ code: 0, signal: null });
  expect(sample.matches(/hands over/)).toHaveLength(2);
});

it('colours are for terminals, and for whoever asks for them', async () => {
  const plain = await ReplicaProcess.start({});
  expect(plain.lines.filter(isColoured)).toEqual([]);
  const coloured = await ReplicaProcess.start({ FORCE_COLOR: '1' });
  expect(coloured.lines.filter(isColoured)).not.toEqual([]);
});

it('a wrong setting ends it with one line that names it', async () => {
  const starting = ReplicaProcess.start({ REPLICAS: 'many' });
  await expect(starting).rejects.toThrow('REPLICAS=many: expected a whole number from 1 to 20.');
});
