import { spawn } from 'node:child_process';
import { preparePythonEnvironment } from './python-environment.ts';

/** As GitHub's own pipeline sets cmark-gfm up: its extensions, and HTML of a comment's author let through. */
const SCRIPT = `
import json, sys
import cmarkgfm
from cmarkgfm.cmark import Options
options = Options.CMARK_OPT_GITHUB_PRE_LANG | Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES
pages = json.load(sys.stdin)
json.dump([cmarkgfm.github_flavored_markdown_to_html(page, options) for page in pages], sys.stdout)
`;

/** HTML of Markdown texts by GitHub's own parser, cmark-gfm; what GitHub does afterwards (mentions, sanitising) is not in it. */
export async function renderGithubMarkdown(texts: readonly string[]): Promise<string[]> {
  const { python } = await preparePythonEnvironment();
  const child = spawn(python, ['-X', 'utf8', '-c', SCRIPT], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.end(JSON.stringify(texts));
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (exitCode !== 0) throw new Error(`cmarkgfm ended with ${exitCode}: ${stderr}`);
  return JSON.parse(stdout) as string[];
}
