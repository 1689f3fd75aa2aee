import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { default as addFormats } from 'ajv-formats';

type Json = Record<string, unknown>;

interface ParameterDescription {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  schema: Json;
  'x-multi-segment'?: boolean;
}

/** One operation of GitHub's API, as its OpenAPI description names it. */
export interface Operation {
  /** For example `issues/create-comment`. */
  readonly id: string;
  readonly method: string;
  /** For example `/repos/{owner}/{repo}/issues/{issue_number}/comments`. */
  readonly template: string;
  readonly documentationUrl: string;
}

export interface OperationMatch {
  readonly operation: Operation;
  /** The path's values, percent-decoded. */
  readonly pathValues: Readonly<Record<string, string>>;
}

/** What a request's parameters are after the description looked at them; integers are numbers. */
export type CheckedParameters =
  | { readonly ok: true; readonly values: Readonly<Record<string, string | number>> }
  | { readonly ok: false; readonly in: 'path' | 'query'; readonly problem: string };

/** GitHub's own description of its API, made executable: finds operations, checks requests and answers. */
export interface GithubDescription {
  readonly operations: readonly Operation[];
  /** The operation for a method and a still percent-encoded path; `undefined` where the slice has none. */
  findOperation(method: string, path: string): OperationMatch | undefined;
  /** Checks the path and query values. A query parameter that is not described, or occurs twice, is a problem. */
  checkParameters(match: OperationMatch, query: URLSearchParams): CheckedParameters;
  /** Problems of a request body in the words of GitHub's 422 answers; a key that is not described is one. */
  checkRequestBody(operation: Operation, body: unknown): string[];
  /** Problems of an answer; none means that it has the described shape. A refusal that is not described must be a basic error. */
  checkAnswer(operation: Operation | undefined, status: number, body: unknown): string[];
}

interface DescribedOperation extends Operation {
  pattern: RegExp;
  literalLength: number;
  parameters: ParameterDescription[];
  requestBodySchema: Json | undefined;
  responses: Record<string, Json>;
}

const ROOT = 'github-openapi';

/**
 * OpenAPI 3.0 schemas are JSON Schema but for `nullable`, which draft 7 does not know, and for references, which are
 * relative to the OpenAPI document.
 */
function convertSchema(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(convertSchema);
  if (node === null || typeof node !== 'object') return node;
  const { nullable, example: _example, ...rest } = node as Json;
  const converted: Json = {};
  for (const [key, value] of Object.entries(rest)) {
    converted[key] = key === '$ref' ? `${ROOT}${value}` : convertSchema(value);
  }
  return nullable === true ? { anyOf: [{ type: 'null' }, converted] } : converted;
}

function describeProblem(error: ErrorObject): string {
  return `${error.instancePath || '/'} ${error.message ?? error.keyword}`;
}

function escapeForPattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

let loaded: GithubDescription | undefined;

/** A pull request whose head repository was deleted has none, though the description does not say so. */
function fillHead(body: unknown): unknown {
  const { head, base } = (body ?? {}) as { readonly head?: Json; readonly base?: Json };
  return head?.repo === null && base !== undefined
    ? { ...(body as Json), head: { ...head, repo: base.repo } }
    : body;
}

/**
 * The slice of GitHub's OpenAPI description that lies beside this file (its origin: `github-openapi-slice.md`). All
 * servers of a process share one: a schema is compiled once, which takes longer than a hundred requests.
 */
export function loadGithubDescription(): GithubDescription {
  loaded ??= readGithubDescription();
  return loaded;
}

function readGithubDescription(): GithubDescription {
  const document = JSON.parse(
    readFileSync(new URL('./github-openapi-slice.json', import.meta.url), 'utf8'),
  ) as {
    paths: Record<string, Record<string, Json>>;
    components: Record<string, Record<string, Json>>;
  };
  const lookUp = (node: Json): Json => {
    if (typeof node.$ref !== 'string') return node;
    const [group, name] = node.$ref.split('/').slice(-2) as [string, string];
    const found = document.components[group]?.[name];
    if (found === undefined) throw new Error(`The OpenAPI slice lacks ${node.$ref}.`);
    return found;
  };

  // strict: false, because OpenAPI's own keywords (discriminator, deprecated, x-…) are not JSON Schema's. The rest makes
  // compiling three times as fast: most processes check a few answers with each schema.
  const ajv = new Ajv({ strict: false, allErrors: false, inlineRefs: false, code: { optimize: false } });
  // The package is CommonJS: its types say that the import is the module, at run time it is the function.
  (addFormats as unknown as (target: Ajv) => void)(ajv);
  ajv.addSchema(convertSchema({ components: { schemas: document.components.schemas } }) as Json, ROOT);
  const compiled = new Map<string, ValidateFunction>();
  const validate = (key: string, schema: Json, value: unknown): ErrorObject[] => {
    let check = compiled.get(key);
    if (check === undefined) {
      check = ajv.compile(convertSchema(schema) as Json);
      compiled.set(key, check);
    }
    return check(value) ? [] : (check.errors ?? []);
  };

  const operations: DescribedOperation[] = [];
  for (const [template, methods] of Object.entries(document.paths)) {
    for (const [method, description] of Object.entries(methods)) {
      // The older form of the same address: `{basehead}` covers it.
      if (description.operationId === 'repos/compare-commits') continue;
      const parameters = ((description.parameters ?? []) as Json[]).map(
        lookUp,
      ) as unknown as ParameterDescription[];
      const multiSegment = (name: string): boolean =>
        name === 'path' ||
        name === 'basehead' ||
        parameters.some((parameter) => parameter.name === name && parameter['x-multi-segment'] === true);
      const pattern = template
        .split(/(\{\w+\})/)
        .map((part) => {
          const name = /^\{(\w+)\}$/.exec(part)?.[1];
          if (name === undefined) return escapeForPattern(part);
          return `(?<${name}>${multiSegment(name) ? '.+' : '[^/]+'})`;
        })
        .join('')
        // The root directory's contents: clients leave the slash out too.
        .replace('/(?<path>.+)', '(?:/(?<path>.*))?');
      const requestBody = description.requestBody as
        | { content?: Record<string, { schema: Json }> }
        | undefined;
      const id = description.operationId as string;
      operations.push({
        id,
        method: method.toUpperCase(),
        template,
        documentationUrl:
          ((description.externalDocs as Json | undefined)?.url as string) ?? 'https://docs.github.com/rest',
        pattern: new RegExp(`^${pattern}$`),
        literalLength: template.replace(/\{\w+\}/g, '').length,
        parameters,
        requestBodySchema: requestBody?.content?.['application/json']?.schema,
        responses: description.responses as Record<string, Json>,
      });
    }
  }
  // `/commits/{ref}/status` before `/commits/{ref}`: a ref may hold slashes, so the more literal template wins.
  operations.sort((a, b) => b.literalLength - a.literalLength);
  const full = (operation: Operation): DescribedOperation => operation as DescribedOperation;

  return {
    operations,

    findOperation(method, path) {
      for (const operation of operations) {
        if (operation.method !== method) continue;
        const found = operation.pattern.exec(path);
        if (found === null) continue;
        const pathValues: Record<string, string> = {};
        for (const [name, value] of Object.entries(found.groups ?? {}))
          pathValues[name] = decodeURIComponent(value ?? '');
        return { operation, pathValues };
      }
      return undefined;
    },

    checkParameters({ operation, pathValues }, query) {
      const { parameters } = full(operation);
      const values: Record<string, string | number> = {};
      for (const name of query.keys()) {
        if (!parameters.some((parameter) => parameter.in === 'query' && parameter.name === name)) {
          return { ok: false, in: 'query', problem: `"${name}" is not a permitted key.` };
        }
        if (query.getAll(name).length > 1)
          return { ok: false, in: 'query', problem: `"${name}" was supplied twice.` };
      }
      for (const { name, in: place, required, schema } of parameters) {
        if (place === 'header') continue;
        const text = place === 'path' ? pathValues[name] : (query.get(name) ?? undefined);
        if (text === undefined) {
          if (required === true) return { ok: false, in: place, problem: `"${name}" wasn't supplied.` };
          continue;
        }
        const value = schema.type === 'integer' && /^-?\d{1,15}$/.test(text) ? Number(text) : text;
        const [error] = validate(`${operation.id} parameter ${name}`, schema, value);
        if (error !== undefined) {
          return {
            ok: false,
            in: place,
            problem: `For '${name}', ${JSON.stringify(text)} ${error.message}.`,
          };
        }
        values[name] = value;
      }
      return { ok: true, values };
    },

    checkRequestBody(operation, body) {
      const schema = full(operation).requestBodySchema;
      if (schema === undefined) return [];
      const properties = (schema.properties ?? {}) as Json;
      for (const key of Object.keys(body as Json)) {
        if (!(key in properties)) return [`"${key}" is not a permitted key.`];
      }
      return validate(`${operation.id} body`, schema, body).map((error) => {
        if (error.keyword === 'required') return `"${error.params.missingProperty}" wasn't supplied.`;
        return `For 'properties${error.instancePath}', the value ${error.message}.`;
      });
    },

    checkAnswer(operation, status, body) {
      const described = operation === undefined ? undefined : full(operation).responses[String(status)];
      const content = described === undefined ? undefined : (lookUp(described).content as Json | undefined);
      const schema = (content?.['application/json'] as { schema: Json } | undefined)?.schema;
      if (described === undefined && status < 400) return [`${operation?.id} has no answer ${status}`];
      if (schema === undefined && status < 400)
        return body === undefined ? [] : [`answer ${status} has no body`];
      const basicError = { $ref: '#/components/schemas/basic-error' };
      const key = schema === undefined ? 'basic-error' : `${operation?.id} answer ${status}`;
      return validate(key, schema ?? basicError, fillHead(body)).map(describeProblem);
    },
  };
}
