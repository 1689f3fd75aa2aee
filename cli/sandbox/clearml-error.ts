/** What a refusal carries besides its text, for replies that list failures one by one (recording 269). */
export type ErrorDetails = Readonly<Record<string, string>>;

/** A refusal as a ClearML server words it: `message: key=value, key=value` under an HTTP status and a subcode. */
export class ClearmlApiError extends Error {
  readonly code: number;
  readonly subcode: number;
  readonly details: ErrorDetails;

  constructor(code: number, subcode: number, text: string, details: ErrorDetails = {}) {
    const pairs = Object.entries(details).map(([key, value]) => `${key}=${value}`);
    super(pairs.length === 0 ? text : `${text}: ${pairs.join(', ')}`);
    this.name = 'ClearmlApiError';
    this.code = code;
    this.subcode = subcode;
    this.details = details;
  }
}

/** 400/12: a field of the request itself is missing, of the wrong type or out of range (recordings 011, 104, 105). */
export function invalidField(field: string, reason: string): ClearmlApiError {
  return new ClearmlApiError(400, 12, `Validation error (error for field '${field}'${reason})`);
}

/** 400/12 with a text of its own (recordings 119, 198). */
export function invalidRequest(reason: string, details: ErrorDetails = {}): ClearmlApiError {
  return new ClearmlApiError(400, 12, `Validation error (${reason})`, details);
}

/** 400/800: the document would not fit its collection (recordings 059, 088, 093, 095). */
export function invalidDocument(field: string, reason: string): ClearmlApiError {
  return new ClearmlApiError(400, 800, 'Data validation error', { [field]: reason });
}

/** 400/14: a field path that the collection does not have, in `only_fields` or `order_by` (recordings 290, 291). */
export function unknownField(field: string): ClearmlApiError {
  return new ClearmlApiError(
    400,
    14,
    'Lookup error (probably an invalid field name or unsupported nested field)',
    {
      err: `Cannot resolve field "${field}"`,
    },
  );
}

/** 400/101 (recordings 102, 120, 223: the details differ by endpoint). */
export function unknownTask(details: ErrorDetails): ClearmlApiError {
  return new ClearmlApiError(400, 101, 'Invalid task id', details);
}

/** 400/110 (recordings 133, 134, 256). */
export function wrongStatus(details: ErrorDetails, reason?: string): ClearmlApiError {
  return new ClearmlApiError(
    400,
    110,
    reason ? `Invalid task status (${reason})` : 'Invalid task status',
    details,
  );
}

/** 500/0: what the Python server answers where it trips over a value itself (recordings 047, 052, 087). */
export function serverTripped(text: string): ClearmlApiError {
  return new ClearmlApiError(500, 0, text);
}
