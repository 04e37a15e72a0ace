export function* primes(count) {
  for (let n = 2, found = []; found.length < count; n++) {
    if (found.every((p) => n % p)) {
      found.push(n)
      yield n
    }
  }
}
