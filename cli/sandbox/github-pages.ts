import type { Comment, Pull } from './github-answers.ts';

export interface PageRequest {
  readonly path: string;
  readonly repository: string;
  readonly pulls: readonly Pull[];
  readonly comments: readonly Comment[];
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

function layout(title: string, content: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title></head>
<body>
<p>This page is the sandbox's, not GitHub's: it shows the Markdown as it was posted, not rendered.</p>
<h1>${escapeHtml(title)}</h1>
${content}
</body></html>
`;
}

/** The sandbox's stand-in for github.com: a list of the pull requests, and the comments of each as they were posted. */
export function renderPage({ path, repository, pulls, comments }: PageRequest): {
  status: number;
  html: string;
} {
  const number = Number(/\/pull\/(\d+)$/.exec(path)?.[1]);
  const pull = pulls.find((candidate) => candidate.number === number);
  if (pull !== undefined && path === `/${repository}/pull/${pull.number}`) {
    const sections = comments
      .filter((comment) => comment.pull === pull.number)
      .map(
        (comment) => `<section id="issuecomment-${comment.id}">
<h2>${escapeHtml(comment.author)}, ${comment.createdAt}${comment.updatedAt === comment.createdAt ? '' : `, edited ${comment.updatedAt}`}</h2>
<pre style="white-space: pre-wrap">${escapeHtml(comment.body)}</pre>
</section>`,
      );
    const content = sections.length === 0 ? '<p>No comments yet.</p>' : sections.join('\n');
    return { status: 200, html: layout(`${pull.title} #${pull.number}`, content) };
  }
  if (path === '/' || path === `/${repository}` || path === `/${repository}/pulls`) {
    const items = pulls.map(
      (one) =>
        `<li><a href="/${repository}/pull/${one.number}">${escapeHtml(one.title)} #${one.number}</a></li>`,
    );
    return { status: 200, html: layout(repository, `<ul>\n${items.join('\n')}\n</ul>`) };
  }
  return { status: 404, html: layout('Not found', `<p><a href="/">${repository}</a></p>`) };
}
