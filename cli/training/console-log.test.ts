import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  chooseExcerpt,
  createLogBudget,
  createLogReader,
  type LogEvent,
  type LogReader,
  splitLogLines,
} from './console-log.ts';

/** A server's console of one task, which grows as the test says. */
function createServerLog() {
  const stored: LogEvent[] = [];
  let reads = 0;
  let isSorted = true;
  return {
    add(timestampMs: number, ...texts: string[]) {
      for (const text of texts) stored.push({ timestampMs, worker: 'w', text });
      isSorted = false;
    },
    reads: () => reads,
    /** As recordings 155 and 163-165: exclusive, and what shares the last time is all there. */
    readPage: async (afterMs: number, batchSize: number) => {
      reads += 1;
      if (!isSorted) stored.sort((a, b) => a.timestampMs - b.timestampMs);
      isSorted = true;
      const later = stored.filter(({ timestampMs }) => timestampMs > afterMs);
      const page = later.slice(0, batchSize);
      const last = page.at(-1)?.timestampMs;
      const events = later.filter((event, index) => index < batchSize || event.timestampMs === last);
      return { events, total: stored.length };
    },
  };
}

async function readTexts(reader: LogReader): Promise<string[]> {
  const texts: string[] = [];
  await reader.read((events) => texts.push(...events.map(({ text }) => text)));
  return texts;
}

test('each reading gives what is new, in order, and nothing twice', async () => {
  const log = createServerLog();
  const reader = createLogReader(log.readPage);
  expect(await readTexts(reader)).toEqual([]);
  log.add(1000, 'a', 'b');
  log.add(1001, 'c');
  expect(await readTexts(reader)).toEqual(['a', 'b', 'c']);
  expect(await readTexts(reader)).toEqual([]);
  log.add(60_000, 'd');
  expect(await readTexts(reader)).toEqual(['d']);
});

test('equal lines of the same time are as many lines', async () => {
  const log = createServerLog();
  const reader = createLogReader(log.readPage);
  log.add(1000, 'same', 'same');
  expect(await readTexts(reader)).toEqual(['same', 'same']);
  log.add(1000, 'same');
  expect(await readTexts(reader)).toEqual(['same']);
});

test('what comes late with an earlier time is not lost, however late', async () => {
  const log = createServerLog();
  const reader = createLogReader(log.readPage);
  log.add(100_000, 'now');
  expect(await readTexts(reader)).toEqual(['now']);
  log.add(99_500, 'a little late');
  expect(await readTexts(reader)).toEqual(['a little late']);
  log.add(500_000, 'later');
  log.add(2000, 'very late');
  expect(await readTexts(reader)).toEqual(['later', 'very late']);
});

test('more than a page is read to its end, also where a whole page shares one time', async () => {
  const log = createServerLog();
  log.add(1000, ...Array.from({ length: 5000 }, (_, index) => `tied ${index}`));
  for (let index = 0; index < 5000; index += 1) log.add(2000 + index, `line ${index}`);
  const texts = await readTexts(createLogReader(log.readPage));
  expect(texts.length).toBe(10_000);
  expect(texts[4999]).toBe('tied 4999');
  expect(texts.at(-1)).toBe('line 4999');
});

test('whatever the times and the moments of reading are, each line comes exactly once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 40_000 }), fc.constantFrom('x', 'y')), { maxLength: 30 }),
        {
          maxLength: 6,
        },
      ),
      async (batches) => {
        const log = createServerLog();
        const reader = createLogReader(log.readPage);
        const read: string[] = [];
        const sent: string[] = [];
        for (const batch of batches) {
          for (const [timestampMs, text] of batch) {
            log.add(1 + timestampMs, text);
            sent.push(text);
          }
          read.push(...(await readTexts(reader)));
        }
        expect(read.sort()).toEqual(sent.sort());
      },
    ),
  );
});

test('a server that ignores the time does not keep us reading for ever', async () => {
  let reads = 0;
  const events = Array.from({ length: 2000 }, () => ({ timestampMs: 5, worker: 'w', text: 'x' }));
  const reader = createLogReader(async () => {
    reads += 1;
    return { events, total: 2000 };
  });
  expect((await readTexts(reader)).length).toBe(2000);
  expect(reads).toBe(2);
});

test('a server that counts more than it gives is not read from the beginning each time', async () => {
  const log = createServerLog();
  let reads = 0;
  const reader = createLogReader(async (afterMs, batchSize) => {
    reads += 1;
    const page = await log.readPage(afterMs, batchSize);
    return { ...page, total: page.total + 3 };
  });
  log.add(1000, 'a');
  expect(await readTexts(reader)).toEqual(['a']);
  expect(reads).toBe(2);
  log.add(2000, 'b');
  expect(await readTexts(reader)).toEqual(['b']);
  expect(reads).toBe(3);
});

test('what is asked for at once is small at first, and then half a megabyte of text or 2,000 events', async () => {
  const askedFor = async (text: string, count: number) => {
    const log = createServerLog();
    const sizes: number[] = [];
    const reader = createLogReader((afterMs, batchSize) => {
      sizes.push(batchSize);
      return log.readPage(afterMs, batchSize);
    });
    for (let index = 0; index < count; index += 1) log.add(1000 + index, text);
    await readTexts(reader);
    return sizes.slice(0, 3);
  };
  expect(await askedFor('x'.repeat(1024), 620)).toEqual([100, 512, 512]);
  expect(await askedFor('x', 3000)).toEqual([100, 2000, 2000]);
});

test('a long log does not fill the memory with what was seen', async () => {
  const log = createServerLog();
  const reader = createLogReader(log.readPage);
  for (let index = 0; index < 60_000; index += 1) log.add(1000 + index * 10, `line ${index}`);
  expect((await readTexts(reader)).length).toBe(60_000);
  const before = log.reads();
  log.add(700_000, 'more');
  expect(await readTexts(reader)).toEqual(['more']);
  // The overlap only, not all again.
  expect(log.reads() - before).toBe(1);
});

test.each<[string, string, string[]]>([
  ['one line', 'epoch 1\n', ['epoch 1']],
  ['a line without an end', 'epoch 1', ['epoch 1']],
  ['many lines', 'a\n\nb\n', ['a', '', 'b']],
  ["lines with Windows' ends", 'a\r\nb\r\n', ['a', 'b']],
  ['a progress bar', ' 10%|#\r 50%|###\r100%|#####\n', ['100%|#####']],
  ['a progress bar that is wiped', ' 10%|#\r 99%|####\r          \r', [' 99%|####']],
  ['colours', '\u001b[31mred\u001b[0m and \u001b[1;32mgreen\u001b[0m', ['red and green']],
  [
    'a link, a title and cursor movements',
    '\u001b]8;;http://x\u0007link\u001b]8;;\u0007\u001b[2J\u001b[1Ax',
    ['linkx'],
  ],
  ['a bell and a backspace', 'a\u0007b\u0008c', ['abc']],
  ['tabs and other scripts', '\tложь 損失', ['\tложь 損失']],
  ['what looks like a command', '::error::x\n##[error]y', ['::error::x', '##[error]y']],
])('lines of %s', (_name, message, lines) => {
  expect(splitLogLines(message)).toEqual(lines);
});

test('no control character passes, alone or beside others', () => {
  const controls = [...Array(0xa0).keys(), 0x2028, 0x2029]
    .map((code) => String.fromCharCode(code))
    .filter(
      (character) => /[\p{Cc}\p{Zl}\p{Zp}]/u.test(character) && !'\t\n\r\u001b\u009b'.includes(character),
    );
  expect(controls).toHaveLength(62);
  for (const control of controls) expect(splitLogLines(`a${control}b\n`)).toEqual(['ab']);
  expect(splitLogLines(`a${controls.join('')}b`)).toEqual(['ab']);
  expect(splitLogLines('a\u001bcb \u009b31mred')).toEqual(['ab red']);
});

test('on a terminal colours stay, end with their line, and nothing else that controls it does', () => {
  expect(splitLogLines('\u001b[31mred\u001b[2J\u0007\nplain', true)).toEqual([
    '\u001b[31mred\u001b[0m',
    'plain',
  ]);
});

test('within the budget every line passes, beyond it the middle is dropped and the last forty are kept', () => {
  const lines = Array.from({ length: 1000 }, (_, index) => `line ${String(index).padStart(4, '0')}`);
  const budget = createLogBudget(10 * 500);
  const passed = [...budget.take(lines.slice(0, 499)), ...budget.take(lines.slice(499))];
  expect(passed).toEqual(lines.slice(0, 500));
  expect(budget.rest).toEqual({ droppedLines: 460, droppedBytes: 4600, tail: lines.slice(-40) });
  expect(budget.tail).toEqual(lines.slice(-40));

  const roomy = createLogBudget();
  expect(roomy.take(lines)).toEqual(lines);
  expect(roomy.rest).toEqual({ droppedLines: 0, droppedBytes: 0, tail: [] });
  expect(roomy.tail).toEqual(lines.slice(-40));
});

describe('the lines that are shown with a failure', () => {
  const log = Array.from({ length: 100 }, (_, index) => `line ${index}`);

  test.each<[string, { first: number; last: number } | undefined, [first: number, last: number]]>([
    ['are the last ones, where nothing shows the cause', undefined, [90, 99]],
    ['are the last ones, where the cause is among them', { first: 93, last: 95 }, [90, 99]],
    ['begin with the cause, where more follows', { first: 90, last: 93 }, [90, 99]],
    ['begin with the cause, wherever it is', { first: 40, last: 43 }, [40, 49]],
    ['end with the cause, where it is longer', { first: 20, last: 60 }, [51, 60]],
    ['begin with the cause at the very beginning', { first: 0, last: 0 }, [0, 9]],
  ])('%s', (_name, cause, [first, last]) => {
    const excerpt = chooseExcerpt([...log, '', ' '], cause, 10);
    expect(excerpt.lines).toEqual(log.slice(first, last + 1));
    expect(excerpt.first).toBe(first);
    expect(excerpt.isEnd).toBe(cause === undefined || cause.first === 93);
  });

  test('are cut, and no more than there are', () => {
    const { lines } = chooseExcerpt(['a', 'b'.repeat(1_000_000)], undefined, 10);
    expect(lines.map(({ length }) => length)).toEqual([1, 4001]);
    expect(chooseExcerpt([], undefined, 10).lines).toEqual([]);
  });
});
