import * as v from 'valibot';
import { isRecord } from '../../shell/json.ts';
import { formatNumber } from '../../text/number-format.ts';

/** A table or a matrix that the training reported. */
export interface Plot {
  /** `title/series` */
  readonly name: string;
  readonly iteration: number;
  readonly kind: 'table' | 'matrix';
  readonly columns: readonly string[];
  /** Labels of a matrix's rows; empty for a table. */
  readonly rowLabels: readonly string[];
  readonly rows: ReadonlyArray<readonly string[]>;
  /** Titles of a matrix's axes, if it has any. */
  readonly columnAxis: string | null;
  readonly rowAxis: string | null;
}

/** Larger plots are unreadable in a comment. */
const MAX_PLOT_COLUMNS = 14;
const MAX_PLOT_ROWS = 30;

const Cell = v.union([v.string(), v.number(), v.boolean(), v.null()]);
/** pandas writes each column's name as a list, one entry per level of its index. */
const Label = v.union([Cell, v.array(Cell)]);
const AxisSchema = v.fallback(
  v.optional(
    v.object({
      title: v.fallback(v.optional(v.union([v.string(), v.object({ text: v.string() })])), undefined),
    }),
  ),
  undefined,
);

const PlotlySchema = v.object({
  data: v.array(v.object({ type: v.fallback(v.optional(v.string()), undefined) })),
  layout: v.fallback(v.optional(v.object({ xaxis: AxisSchema, yaxis: AxisSchema })), undefined),
});

const TableSchema = v.object({
  header: v.object({ values: v.array(Label) }),
  cells: v.object({ values: v.array(v.array(Label)) }),
});

const HeatmapSchema = v.object({
  z: v.array(v.array(v.nullable(v.number()))),
  x: v.fallback(v.nullish(v.array(Label)), undefined),
  y: v.fallback(v.nullish(v.array(Label)), undefined),
});

/**
 * Parses a plot of ClearML's: a Plotly figure as JSON.
 *
 * @returns undefined unless it is a small table or matrix
 */
export function parsePlot(name: string, iteration: number, plotJson: string): Plot | undefined {
  let content: unknown;
  try {
    content = JSON.parse(plotJson);
  } catch {
    return undefined;
  }
  const figure = v.safeParse(PlotlySchema, content);
  const data = isRecord(content) && Array.isArray(content.data) ? content.data : [];
  if (!figure.success || data.length !== 1) return undefined;
  const { layout } = figure.output;
  const [{ type } = {}] = figure.output.data;
  if (type !== 'table' && type !== 'heatmap') return undefined;
  const axes = { columnAxis: readTitle(layout?.xaxis), rowAxis: readTitle(layout?.yaxis) };
  const cells = type === 'table' ? parseTable(data[0]) : parseHeatmap(data[0], axes);
  return cells && { name, iteration, ...cells };
}

type Cells = Omit<Plot, 'name' | 'iteration'>;

function parseTable(data: unknown): Cells | undefined {
  const table = v.safeParse(TableSchema, data);
  if (!table.success) return undefined;
  const { header, cells } = table.output;
  const height = Math.max(0, ...cells.values.map((column) => column.length));
  const width = Math.max(header.values.length, cells.values.length);
  if (!isSmall(width, height)) return undefined;
  return {
    kind: 'table',
    columns: Array.from({ length: width }, (_, column) => formatCell(header.values[column] ?? null)),
    rowLabels: [],
    rows: Array.from({ length: height }, (_, row) =>
      Array.from({ length: width }, (__, column) => formatCell(cells.values[column]?.[row] ?? null)),
    ),
    columnAxis: null,
    rowAxis: null,
  };
}

function parseHeatmap(data: unknown, axes: Pick<Plot, 'columnAxis' | 'rowAxis'>): Cells | undefined {
  const heatmap = v.safeParse(HeatmapSchema, data);
  if (!heatmap.success) return undefined;
  const { z, x, y } = heatmap.output;
  const width = Math.max(0, ...z.map((row) => row.length));
  if (!isSmall(width, z.length)) return undefined;
  return {
    kind: 'matrix',
    columns: Array.from({ length: width }, (_, column) => formatCell(x?.[column] ?? column)),
    rowLabels: z.map((_, row) => formatCell(y?.[row] ?? row)),
    rows: z.map((row) => Array.from({ length: width }, (_, column) => formatCell(row[column] ?? null))),
    ...axes,
  };
}

function isSmall(width: number, height: number): boolean {
  return width > 0 && height > 0 && width <= MAX_PLOT_COLUMNS && height <= MAX_PLOT_ROWS;
}

function formatCell(cell: v.InferOutput<typeof Label>): string {
  if (Array.isArray(cell)) return cell.map(formatCell).join(' ');
  if (typeof cell === 'number') return formatNumber(cell);
  return cell === null ? '' : String(cell);
}

function readTitle(axis: v.InferOutput<typeof AxisSchema>): string | null {
  const title = axis?.title;
  const text = typeof title === 'string' ? title : title?.text;
  return text === undefined || text.trim() === '' ? null : text;
}
