/** What says nothing about the training: addresses of the sandbox, and the SDK's remarks about this machine. */
const NOISE =
  /^ *https?:\/\/\S+$|^ClearML results page:|^ClearML Monitor:|^Process completed successfully$|^[\d-]+ [\d:,]+ - clearml\.\w+ - WARNING - /;

/**
 * Shows of a program's talk what a spectator reads. As in the runner's log, workflow commands are obeyed, not printed.
 * Of a task's console the first and the last epoch are shown, and its end is not shown again where it failed. Ids are shortened to the eight characters that check-task-running uses.
 *
 * @param showBriefly takes what is said at the moment, the lines that are not shown for long too
 */
export function createCondenser(
  show: (line: string) => void,
  showBriefly: (line: string) => void = () => undefined,
): (line: string) => void {
  let token: string | undefined;
  /** How many lines are still to come that were shown before. */
  let repeated = 0;

  function obeyCommand(line: string): boolean {
    const command = /^::([\w-]+)(?: [^:]*)?::(.*)$/.exec(line);
    if (command === null) return false;
    const [, name, value] = command;
    if (token !== undefined) {
      if (name !== token) return false;
      token = undefined;
    } else if (name === 'stop-commands') token = value;
    return true;
  }

  return (line) => {
    if (obeyCommand(line)) return;
    if (repeated > 0) {
      repeated -= 1;
      return;
    }
    const [, prefix = '', text = ''] = /^(\[[0-9a-f]{8}\] )?(.*)$/.exec(line) ?? [];
    if (text.trim() === '' || NOISE.test(text)) return;
    const shown = shortenIds(`${prefix}${text}`);
    showBriefly(shown);
    const [, epoch, epochs] = /^epoch (\d+)\/(\d+) /.exec(text) ?? [];
    if (epoch !== epochs && epoch !== '1') return;
    const tail = /^The last (?:(\d+) lines|line) of its log:$/.exec(text);
    repeated = tail === null ? 0 : Number(tail[1] ?? 1);
    show(repeated > 0 ? `… ${shown.replace(':', '')}` : shown);
  };
}

/** An id has 32 characters and says nothing to a reader. */
export function shortenIds(text: string): string {
  return text.replace(/\b([0-9a-f]{8})[0-9a-f]{24}\b/g, '$1');
}

/**
 * Of a comment's Markdown what a reviewer sees without unfolding anything and without the charts; the addresses of the
 * links left out.
 */
export function condenseComment(markdown: string): string[] {
  const lines = markdown
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^<!--.*-->$/.test(line) && line !== '</details>');
  const end = lines.findIndex((line) => /^<details>|^<details open><summary>Curves/.test(line));
  return lines
    .slice(0, end < 0 ? lines.length : end)
    .filter((line) => !line.startsWith('<details open>'))
    .map((line) => line.replace(/\]\(https?:[^)]*\)/g, ']').replace(/\\$/, ''));
}
