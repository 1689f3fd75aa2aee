/** Colours that can be read on GitHub's white and on its black. */
export const COLORS = { gray: '#8b949e', blue: '#2f81f7', green: '#3fb950', orange: '#d1862b' } as const;

/** Of texts and lines, on white and on black. */
export const INK = '#7d8590';

/** An SVG picture in the letters of its page. */
export function drawSvg(width: number, height: number, label: string, content: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12" fill="${INK}" role="img" aria-label="${label}">
${content.join('\n')}
</svg>
`;
}
