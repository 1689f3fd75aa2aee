/** A type as the SDK names it: `bool`, `list/int`, `click.Command`, `fire.Arg@train`. Front ends have their own. */
export const PARAM_TYPE = /^(?:(?:list|tuple|dict)\/)?[A-Za-z_][\w.@]*$/;

/**
 * Reads `[Section/]name[:type]`. What follows the last colon is the type.
 *
 * @returns undefined where that is no type, or nothing is before it
 */
export function splitParamName(
  text: string,
): { readonly name: string; readonly type: string | undefined } | undefined {
  const colon = text.lastIndexOf(':');
  if (colon === -1) return { name: text, type: undefined };
  const name = text.slice(0, colon).trim();
  const type = text.slice(colon + 1).trim();
  return name !== '' && PARAM_TYPE.test(type) ? { name, type } : undefined;
}
