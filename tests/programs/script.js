import { primes } from './primes.js'

print('primes', [...primes(10)].join(' '))
print('big', (2n ** 100n).toString())
print('json', JSON.stringify({ text: 'ä', list: [1, [2]] }))
print('words', 'one two three'.replace(/(\w+) (\w+)/, '$2 $1'))
try {
  missing()
} catch (error) {
  print('error', error.name)
}
Promise.resolve('a promise').then((text) => print('later', text))
