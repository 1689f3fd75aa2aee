import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';

/**
 * Writes a page that shows a comment as GitHub does: its own Markdown parser (cmark-gfm, by PyPI's cmarkgfm) makes
 * the HTML.
 *
 * @param python interpreter of an environment that has cmarkgfm
 */
export async function writeRenderedComment(markdown: string, file: string, python: string): Promise<void> {
  const html = await renderMarkdown(markdown, python);
  await writeFile(
    file,
    PAGE.replace('CONTENT', () => html),
  );
}

async function renderMarkdown(markdown: string, python: string): Promise<string> {
  const program =
    'import sys, cmarkgfm; sys.stdout.write(cmarkgfm.github_flavored_markdown_to_html(sys.stdin.read()))';
  return new Promise((resolve, reject) => {
    const child = execFile(python, ['-X', 'utf8', '-c', program], { encoding: 'utf8' }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
    child.stdin?.end(markdown);
  });
}

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>Pull request comment</title>
<style>
  body { font: 14px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; }
  table { border-collapse: collapse; } th, td { border: 1px solid #d1d9e0; padding: 6px 13px; }
  code, pre { font: 12px/1.45 ui-monospace, monospace; background: #f6f8fa; border-radius: 6px; }
  code { padding: .2em .4em; } pre { padding: 1rem; overflow: auto; } pre code { padding: 0; }
  a { color: #0969da; }
</style>
CONTENT`;
