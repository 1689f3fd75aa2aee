/** A refusal as GitHub words it; the server makes the answer of it. */
export class Refusal extends Error {
  readonly status: number;
  readonly errors: ReadonlyArray<Readonly<Record<string, string>>> | undefined;

  constructor(status: number, message: string, errors?: ReadonlyArray<Readonly<Record<string, string>>>) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

export const notFound = (): Refusal => new Refusal(404, 'Not Found');
