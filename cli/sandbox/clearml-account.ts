import {
  compareVersions,
  type Endpoint,
  type Endpoints,
  endpoint,
  newestVersion,
} from './clearml-endpoint.ts';
import { ClearmlApiError } from './clearml-error.ts';
import { formatTime } from './clearml-python.ts';
import { wholeNumber } from './clearml-request.ts';
import { company, user } from './clearml-store.ts';

const daySeconds = 24 * 60 * 60;

/** An endpoint that the sandbox's user may not use. */
function reserved(roles: string): Endpoint {
  return {
    versions: [[1, 0]],
    roles,
    handle: () => {
      throw new Error('refused before it is called');
    },
  };
}

const serverStartMs = Date.now();

/** debug, login, auth, users and server: who is asking and who answers. */
export const accountEndpoints: Endpoints = {
  'debug.ping': { versions: [[1, 0]], open: true, handle: () => ({ msg: 'ClearML server' }) },
  'login.supported_modes': {
    versions: [[1, 0]],
    open: true,
    handle: () => ({
      authenticated: false,
      basic: { enabled: false, guest: { enabled: false } },
      server_errors: { es_connection_error: false, missed_es_upgrade: false },
      sso: {},
      sso_providers: [],
    }),
  },
  // A token is valid for 30 days unless told otherwise, and for a year at most (recordings 004, 011).
  'auth.login': endpoint([1, 0], ({ data, createToken }) => ({
    token: createToken(
      wholeNumber(data, 'expiration_sec', 30 * daySeconds, {
        maximum: 365 * daySeconds,
      }),
    ),
  })),
  'auth.logout': endpoint([2, 2], ({ token, revokeToken }) => {
    if (token !== undefined) revokeToken(token);
    return {};
  }),
  'auth.create_credentials': endpoint([1, 0], () => {
    throw new ClearmlApiError(400, 301, 'Invalid user id (protected identity)');
  }),
  'auth.validate_token': reserved('system, root'),
  'auth.create_user': reserved('system, root'),
  'server.config': reserved('root, system'),
  'server.endpoints': reserved('root, system'),
  'server.info': {
    versions: [
      [1, 0],
      [2, 12],
    ],
    handle: ({ served }) => ({
      version: '2.3.0',
      build: '',
      commit: '',
      ...(compareVersions(served, [2, 12]) >= 0 && { api_version: newestVersion.join('.') }),
    }),
  },
  'users.get_current_user': endpoint([1, 0], () => ({
    user: {
      company,
      created: formatTime(serverStartMs),
      id: user.id,
      name: user.displayName,
      role: user.role,
    },
    getting_started: {
      agentName: 'clearml',
      configure: 'clearml-init',
      install: 'pip install clearml',
      packageName: 'clearml',
    },
    settings: { max_download_items: 50000 },
  })),
};
