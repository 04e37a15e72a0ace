// Medians, and who is measured when.

/** The middle of some numbers; of an even count, the mean of the two in the middle. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/** What is kept of the samples of one measurement. */
export function summary(samples) {
  return { median: median(samples), least: Math.min(...samples), most: Math.max(...samples), samples: samples.length }
}

/**
 * Measures contenders in turn, in an order that moves on by one each round, so that none is always the first
 * after a pause or the last on a warm machine.
 *
 * @template C
 * @param {C[]} contenders
 * @param {number} rounds
 * @param {(contender: C, round: number) => Promise<number[]>} measure answers the samples of one go
 * @returns {Promise<Map<C, number[]>>}
 */
export async function inTurn(contenders, rounds, measure) {
  const samples = new Map(contenders.map((contender) => [contender, []]))
  for (let round = 0; round < rounds; round++) {
    for (let place = 0; place < contenders.length; place++) {
      const contender = contenders[(place + round) % contenders.length]
      samples.get(contender).push(...(await measure(contender, round)))
    }
  }
  return samples
}
