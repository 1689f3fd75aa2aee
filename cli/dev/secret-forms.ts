import { randomBytes } from 'node:crypto';
import type { Sandbox } from '../sandbox/sandbox.ts';

/** Secrets in every place where a workflow may have one, and what they would look like where they leaked. */
export interface HiddenSecrets {
  /** Variables that hold some of them: tokens of the runner, a proxy's password; debugging is switched on. */
  readonly env: Readonly<Record<string, string>>;
  /** Every form in which one of them could be found. */
  readonly forms: readonly string[];
  /** A URL, with a user name and a password put into it; other text as it is. */
  hideIn(text: string): string;
}

/** Draws new ones, beside the sandbox's own keys and token. */
export function drawSecrets({ clearml, github }: Sandbox): HiddenSecrets {
  const draw = () => randomBytes(15).toString('base64url');
  const [user, runtimeToken, requestToken, authToken] = [draw(), draw(), draw(), draw()];
  // What has to be encoded in a URL, in JSON, in Markdown, and is two bytes in base64.
  const password = `${draw()}/@:+"*é ${draw()}`;
  const proxyPassword = draw();
  const secrets = [
    clearml.accessKey,
    clearml.secretKey,
    github.token,
    user,
    password,
    proxyPassword,
    runtimeToken,
    requestToken,
    authToken,
  ];
  return {
    env: {
      ACTIONS_RUNTIME_TOKEN: runtimeToken,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: requestToken,
      CLEARML_AUTH_TOKEN: authToken,
      ACCESS_KEY: clearml.accessKey,
      SECRET_KEY: clearml.secretKey,
      // Not gone through, since both servers are here; but read.
      HTTPS_PROXY: `http://proxy-user:${proxyPassword}@proxy.invalid:3128`,
      NO_PROXY: '127.0.0.1,server.test',
      ACTIONS_STEP_DEBUG: 'true',
      RUNNER_DEBUG: '1',
      NODE_DEBUG: 'undici,http,https,fetch,net,tls',
    },
    forms: [...new Set(secrets.flatMap(listForms))],
    hideIn: (text) =>
      /^https?:\/\//.test(text) ? text.replace('://', `://${user}:${encodeURIComponent(password)}@`) : text,
  };
}

/** The secret itself, URL-encoded, in JSON, and whatever of it is the same in base64 wherever it begins. */
export function listForms(secret: string): string[] {
  return [
    secret,
    encodeURIComponent(secret),
    encodeURI(secret),
    JSON.stringify(secret).slice(1, -1),
    ...listBase64Cores(secret).flatMap((core) => [core, core.replaceAll('+', '-').replaceAll('/', '_')]),
  ];
}

/** Base64 spells three bytes with four letters: a text in the midst of another one has one of three spellings. */
function listBase64Cores(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [0, 1, 2].map((offset) => {
    const spelled = Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const isEvenEnd = (offset + bytes.length) % 3 === 0;
    // Letters that hold bits of a neighbour too are not the secret's own.
    return spelled.slice(offset === 0 ? 0 : offset + 1, isEvenEnd ? undefined : -1);
  });
}
