import type { LastMetric, Store, TaskDocument } from './clearml-store.ts';

const shownLogLines = 200;

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function page(title: string, content: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left}pre{background:#f4f4f4;padding:1rem;overflow:auto}</style>
<p><em>This page is the sandbox's, not ClearML's web interface: it only shows what the sandbox has been told.</em></p>
${content}</html>`;
}

function row(name: string, value: unknown): string {
  return `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(String(value ?? ''))}</td></tr>`;
}

function metricRows(task: TaskDocument): string {
  const metrics: LastMetric[] = Object.values(task.last_metrics).flatMap((variants) =>
    Object.values(variants),
  );
  return metrics.map(({ metric, variant, value }) => row(`${metric}/${variant}`, value)).join('');
}

/**
 * The page behind a link to a task (`/projects/P/tasks/ID/output/log`): status, last metrics and the end of the log. Without a task it is a
 * list of all tasks.
 */
export function renderWebPage(store: Store, path: string): { status: number; html: string } {
  const id = /^\/projects\/[^/]+\/(?:tasks|experiments)\/([^/]+)/.exec(path)?.[1];
  if (id === undefined) {
    const rows = [...store.tasks.values()].map((task) => {
      const link = `/projects/${task.project ?? '*'}/tasks/${task.id}/output/log`;
      return `<tr><td><a href="${escapeHtml(link)}">${escapeHtml(task.name)}</a></td><td>${task.status}</td></tr>`;
    });
    return { status: 200, html: page('ClearML sandbox', `<h1>Tasks</h1><table>${rows.join('')}</table>`) };
  }
  const task = store.tasks.get(id);
  if (!task) return { status: 404, html: page('No such task', '<h1>No such task</h1>') };
  const project = store.projects.get(task.project ?? '');
  const log = (store.events.get(id)?.logs ?? [])
    .slice(-shownLogLines)
    .map((event) => String(event.msg ?? ''));
  const content = `<h1>${escapeHtml(task.name)}</h1>
<table>${row('Project', project?.name)}${row('Status', task.status)}${row('Reason', task.status_reason)}
${row('Message', task.status_message)}${row('Started', task.started)}${row('Completed', task.completed)}
${row('Tags', task.tags.join(', '))}${row('Worker', task.last_worker)}</table>
<h2>Last values</h2><table>${metricRows(task)}</table>
<h2>Log</h2><pre>${escapeHtml(log.join('\n'))}</pre>`;
  return { status: 200, html: page(task.name, content) };
}
