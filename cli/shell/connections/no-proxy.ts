import { BlockList, isIP } from 'node:net';

/** An entry of `NO_PROXY`; without a port it holds for all of them. */
interface Entry {
  readonly host: string;
  readonly port: string | undefined;
}

/**
 * Reads `NO_PROXY` as curl does: names with all that lies below them, addresses, CIDR blocks, or `*` alone for
 * everything. `host:port` and `host:*` are taken as well.
 *
 * @returns whether a request to the URL goes around the proxy
 */
export function readNoProxy(text: string): (url: URL) => boolean {
  if (text.trim() === '*') return () => true;
  const entries = text
    .split(/[,\s]+/)
    .filter((entry) => entry !== '')
    .map(parseEntry);
  return ({ protocol, hostname, port }) => {
    const host = normalizeHost(hostname);
    const usedPort = port === '' ? (protocol === 'https:' ? '443' : '80') : port;
    return entries.some(
      (entry) => (entry.port === undefined || entry.port === usedPort) && matchesHost(entry.host, host),
    );
  };
}

function parseEntry(text: string): Entry {
  // An IPv6 address without brackets has no port.
  const [, host = text, port] = /^(\[[^\]]*\]|[^:]*)(?::(\d+|\*))?$/.exec(text) ?? [];
  return { host: normalizeHost(host), port: port === '*' ? undefined : port };
}

/** Lower case, without the brackets of an IPv6 address, the dot at the end, and `.` or `*.` at the start. */
function normalizeHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]/, '$1')
    .replace(/^\*?\./, '')
    .replace(/\.$/, '');
}

function matchesHost(pattern: string, host: string): boolean {
  const version = isIP(host);
  if (version === 0) return host === pattern || host.endsWith(`.${pattern}`);
  const [address = '', bits = version === 4 ? '32' : '128'] = pattern.split('/');
  const isBlock =
    isIP(address) === version && /^\d+$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
  if (!isBlock) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const block = new BlockList();
  block.addSubnet(address, Number(bits), family);
  return block.check(host, family);
}
