/** jstat carries no types; these are the functions we use. */
declare module 'jstat' {
  const jstat: {
    readonly jStat: {
      /** The regularized incomplete beta function. */
      ibeta(x: number, a: number, b: number): number;
      readonly studentt: {
        /** P(T <= x) */
        cdf(x: number, degreesOfFreedom: number): number;
        /** The x with P(T <= x) = p. */
        inv(p: number, degreesOfFreedom: number): number;
      };
      readonly chisquare: {
        inv(p: number, degreesOfFreedom: number): number;
      };
      readonly normal: {
        cdf(x: number, mean: number, standardDeviation: number): number;
      };
    };
  };
  // biome-ignore lint/style/noDefaultExport: that is how Node imports a CommonJS package
  export default jstat;
}
