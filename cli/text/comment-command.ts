import { type Phrase, phrase, words } from './phrase.ts';
import { toVisibleLine } from './quotation.ts';

/** What a comment asks for. All that it holds is foreign text. */
export type CommentCommand =
  /** `commit`: 4 hexadecimal digits or more, in lower case. `seeds`: as it was typed. */
  | { readonly name: 'train'; readonly commit: string | undefined; readonly seeds: string | undefined }
  | { readonly name: 'abort' }
  /** `reason`: one line with something visible in it. */
  | { readonly name: 'accept'; readonly reason: string }
  /** A command with arguments that it does not take. */
  | { readonly name: 'mistaken'; readonly problem: Phrase }
  /** A slash and another word. */
  | { readonly name: 'unknown'; readonly word: string };

/**
 * Reads the command that a comment begins with: its first line that is not blank. What follows is ignored. A quotation, code
 * (Markdown's indented code too) and a path are no command. Case does not count: phones begin a comment with a capital.
 *
 * @returns undefined if the comment is no command
 */
export function parseCommentCommand(body: string): CommentCommand | undefined {
  const line = body.split(/\r\n|[\n\r]/).find((one) => one.trim() !== '') ?? '';
  if (/^ {0,3}\t|^ {4}/.test(line)) return undefined;
  const [, typed, rest = ''] = /^(\/[a-z][^\s/]*)(?:\s+(.*))?$/is.exec(line.trim()) ?? [];
  switch (typed?.toLowerCase()) {
    case undefined:
      return undefined;
    case '/train':
      return parseTrain(rest.split(/\s+/).filter((word) => word !== ''));
    case '/abort':
      return rest.trim() === '' ? { name: 'abort' } : fail(words('/abort takes nothing else'));
    case '/accept':
      return parseAccept(rest);
    default:
      return { name: 'unknown', word: typed ?? '' };
  }
}

/** Phones and word processors make one dash of two. */
const SEEDS = /^(?:--|[\u2013\u2014])seeds(?:=(.*))?$/i;

function parseTrain(args: readonly string[]): CommentCommand {
  let commit: string | undefined;
  let seeds: string | undefined;
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? '';
    const option = SEEDS.exec(arg);
    if (option !== null) {
      if (seeds !== undefined) return fail(words('--seeds is given twice'));
      if (option[1] === undefined) index += 1;
      seeds = option[1] ?? args[index] ?? '';
      if (seeds === '') return fail(words('--seeds needs a number of seeds or a list of them'));
    } else if (commit !== undefined || !/^[0-9a-f]{4,64}$/i.test(arg)) {
      return fail(phrase`/train takes the id of one commit and --seeds, not ${arg}`);
    } else {
      commit = arg.toLowerCase();
    }
  }
  return { name: 'train', commit, seeds };
}

function parseAccept(rest: string): CommentCommand {
  const reason = toVisibleLine(rest);
  return reason === '' ? fail(words('/accept needs a reason')) : { name: 'accept', reason };
}

function fail(problem: Phrase): CommentCommand {
  return { name: 'mistaken', problem };
}
