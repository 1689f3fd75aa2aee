import { data, Evaluator, Lexer, Parser } from '@actions/expressions';
import { truthy } from '@actions/expressions/result';
import { isBasicExpression, isLiteral, isMapping } from '@actions/workflow-parser';
import type {
  BasicExpressionToken,
  MappingToken,
  TemplateToken,
} from '@actions/workflow-parser/templates/tokens/index';

/** How the job stands when an expression is evaluated: what `success()` and its like answer. */
export interface JobStatus {
  readonly hasFailed: boolean;
  readonly isCancelled: boolean;
}

export type Contexts = Readonly<Record<string, unknown>>;

/** Evaluates one expression, without its braces, by GitHub's own evaluator. A function that is not there throws. */
export function evaluateExpression(
  expression: string,
  contexts: Contexts,
  status: JobStatus,
): data.ExpressionData {
  const answers: Record<string, boolean> = {
    success: !status.hasFailed && !status.isCancelled,
    failure: status.hasFailed && !status.isCancelled,
    cancelled: status.isCancelled,
    always: true,
  };
  const functions = Object.entries(answers).map(([name, answer]) => ({
    name,
    minArgs: 0,
    maxArgs: 0,
    call: () => new data.BooleanData(answer),
  }));
  const context = JSON.parse(JSON.stringify(contexts), data.reviver) as data.Dictionary;
  const { tokens } = new Lexer(expression).lex();
  const parsed = new Parser(tokens, Object.keys(contexts), functions).parse();
  const definitions = new Map(functions.map((definition) => [definition.name, definition]));
  return new Evaluator(parsed, context, definitions).evaluate();
}

/** Whether a step's `if` holds. */
export function evaluateCondition(
  token: BasicExpressionToken,
  contexts: Contexts,
  status: JobStatus,
): boolean {
  return truthy(evaluateExpression(token.expression, contexts, status));
}

/** The text of a scalar, its expressions evaluated. */
export function evaluateText(token: TemplateToken, contexts: Contexts, status: JobStatus): string {
  if (isBasicExpression(token)) return evaluateExpression(token.expression, contexts, status).coerceString();
  if (isLiteral(token)) return token.toString();
  throw new Error(`A text was expected, not a ${token.typeName()}.`);
}

/** The texts of a mapping such as `env` or `with`, their expressions evaluated. */
export function evaluateMapping(
  token: TemplateToken | undefined,
  contexts: Contexts,
  status: JobStatus,
): Record<string, string> {
  if (token === undefined) return {};
  if (!isMapping(token)) throw new Error(`A mapping was expected, not a ${token.typeName()}.`);
  return Object.fromEntries(
    [...iterate(token)].map(([key, value]) => [key, evaluateText(value, contexts, status)]),
  );
}

/** The keys of a mapping and their values. */
export function* iterate(mapping: MappingToken): Generator<[string, TemplateToken]> {
  for (let index = 0; index < mapping.count; index++) {
    const { key, value } = mapping.get(index);
    yield [key.toString(), value];
  }
}
