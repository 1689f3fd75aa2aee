import { describe, expect, test } from '@jest/globals';
import { formatMarker } from '../../github/comments.ts';
import { COMMENT_MAX_LENGTH } from '../markdown.ts';
import { formatShown } from '../posting/shown.ts';
import { carryLine, placeLine } from './comment-line.ts';

const MARKER = formatMarker('pipeline p');
const LINE_MARKER = '<!-- clearml-ci-cd promotion -->';
const BODY = `${MARKER}\n### ✅ Pass\n\nAll is well.\n`;

describe('the line', () => {
  test('stands below the hidden lines, and the rest stays', () => {
    expect(placeLine(BODY, 'Promoted.')).toBe(
      `${MARKER}\n${LINE_MARKER}\nPromoted.\n\n### ✅ Pass\n\nAll is well.\n`,
    );
    const shown = BODY.replace('\n', `\n${formatShown('pass')}\n`);
    expect(placeLine(shown, 'Promoted.')).toBe(
      `${MARKER}\n${formatShown('pass')}\n${LINE_MARKER}\nPromoted.\n\n### ✅ Pass\n\nAll is well.\n`,
    );
  });

  test('replaces the one before, also with the line ends that a browser makes', () => {
    const before = placeLine(BODY, 'Not promoted.') ?? '';
    for (const text of [before, before.replaceAll('\n', '\r\n')])
      expect(placeLine(text, 'Promoted.')).toBe(placeLine(BODY, 'Promoted.'));
  });

  test('is carried over to the next text of the comment', () => {
    const shown = placeLine(BODY, 'Promoted.') ?? '';
    const next = `${MARKER}\n### ❌ Regression\n`;
    expect(carryLine(shown, next)).toBe(`${MARKER}\n${LINE_MARKER}\nPromoted.\n\n### ❌ Regression\n`);
    expect(carryLine(BODY, next)).toBe(next);
    expect(carryLine('### Somebody’s own', next)).toBe(next);
  });

  test('that a training has printed is none', () => {
    const planted = `${BODY}\n\`\`\`text\n${LINE_MARKER}\nPromoted by me.\n\`\`\`\n`;
    expect(carryLine(planted, BODY)).toBe(BODY);
    expect(placeLine(planted, 'Promoted.')).toContain('Promoted by me.');
  });

  test('is left out where GitHub would not take it, or the comment is none of ours', () => {
    const long = `${MARKER}\n${'x'.repeat(COMMENT_MAX_LENGTH - MARKER.length - 1)}`;
    expect(placeLine(long, 'Promoted.')).toBeUndefined();
    expect(carryLine(placeLine(BODY, 'Promoted.') ?? '', long)).toBe(long);
    expect(placeLine('### Somebody’s own', 'Promoted.')).toBeUndefined();
  });
});
