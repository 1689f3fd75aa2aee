import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMapping, NoOperationTraceWriter } from '@actions/workflow-parser';
import { parseAction } from '@actions/workflow-parser/actions/index';
import type { MappingToken } from '@actions/workflow-parser/templates/tokens/index';
import { type Contexts, evaluateText, iterate, type JobStatus } from './workflow-expression.ts';

/** A JavaScript action as it lies in a folder: its `action.yml`, parsed by GitHub's own parser. */
export interface JavascriptAction {
  /** The file that the runner starts with Node. */
  readonly main: string;
  /** The file that the runner starts when the job ends, and the condition for it. */
  readonly post: { readonly file: string; readonly condition: string } | undefined;
  /** `node24` */
  readonly using: string;
  readonly root: MappingToken;
}

/** Reads the action in a folder. Throws with all errors that GitHub's parser finds. */
export function readJavascriptAction(directory: string): JavascriptAction {
  const content = readFileSync(join(directory, 'action.yml'), 'utf8');
  const { context, value } = parseAction({ name: 'action.yml', content }, new NoOperationTraceWriter());
  const errors = context.errors.getErrors();
  const runs = value !== undefined && isMapping(value) ? value.find('runs') : undefined;
  if (
    errors.length > 0 ||
    value === undefined ||
    !isMapping(value) ||
    runs === undefined ||
    !isMapping(runs)
  ) {
    throw new Error(`The action is invalid: ${errors.map((error) => error.message).join('; ') || 'no runs'}`);
  }
  const post = runs.find('post')?.toString();
  return {
    main: join(directory, runs.find('main')?.toString() ?? ''),
    post:
      post === undefined
        ? undefined
        : { file: join(directory, post), condition: runs.find('post-if')?.toString() ?? 'always()' },
    using: runs.find('using')?.toString() ?? '',
    root: value,
  };
}

/**
 * The variables that the runner hands an action's inputs over in, defaults included. Throws on an input that the action
 * does not have, where the runner only warns.
 *
 * Source: actions/runner, src/Runner.Worker/Handlers/Handler.cs (AddInputsToEnvironment).
 */
export function makeInputEnv(
  { root }: JavascriptAction,
  given: Readonly<Record<string, string>>,
  contexts: Contexts,
  status: JobStatus,
): Record<string, string> {
  const inputs = root.find('inputs');
  const values = new Map<string, string>();
  for (const [name, input] of inputs !== undefined && isMapping(inputs) ? iterate(inputs) : []) {
    const value = isMapping(input) ? input.find('default') : undefined;
    values.set(name, value === undefined ? '' : evaluateText(value, contexts, status));
  }
  for (const [name, value] of Object.entries(given)) {
    if (!values.has(name)) throw new Error(`The action has no input "${name}".`);
    values.set(name, value);
  }
  return Object.fromEntries(
    [...values].map(([name, value]) => [`INPUT_${name.replaceAll(' ', '_').toUpperCase()}`, value]),
  );
}
