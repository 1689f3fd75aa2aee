/** A framework that reports nothing to ClearML unless a line of the training makes it. */
export type SilentFramework = 'transformers' | 'lightning' | 'keras';

/** By the packages of a task's requirements. */
const PACKAGES: Readonly<Record<SilentFramework, RegExp>> = {
  transformers: /^transformers$/,
  lightning: /^(?:pytorch[-_.])?lightning$/,
  keras: /^(?:tf[-_.])?keras$|^tensorflow(?:[-_.](?:cpu|gpu))?$/,
};

/**
 * The frameworks in a task's requirements that report nothing by themselves, as measured with the real SDK (clearml 2.1.12):
 * Transformers 5 (`report_to` is `none`), Lightning with its CSVLogger, Keras without the TensorBoard callback.
 *
 * @param packages lines of pip's requirements: `lightning==2.6.6`, `git+https://…#egg=transformers`
 */
export function findSilentFrameworks(packages: readonly string[]): SilentFramework[] {
  const names = new Set(
    packages.map(
      (line) => (/#egg=([\w.-]+)/.exec(line) ?? /^([\w.-]+)/.exec(line))?.[1]?.toLowerCase() ?? '',
    ),
  );
  return (Object.keys(PACKAGES) as SilentFramework[]).filter((framework) =>
    [...names].some((name) => PACKAGES[framework].test(name)),
  );
}
