import * as std from 'std'
import * as os from 'os'

print('arguments', args.slice(1).join(' '))
const primes = []
for (let n = 2; primes.length < 10; n++) if (primes.every((p) => n % p)) primes.push(n)
print('primes', primes)
print('big', 2n ** 100n, [3, 1, 2].toSorted?.() ?? [3, 1, 2].sort())
print('json', JSON.stringify({ text: 'ä', list: [1, [2]] }))
const start = Date.now()
os.sleep(50)
print('slept', Date.now() - start >= 49)
const file = std.open('/notes.txt', 'w')
file.puts('one\ntwo\n')
file.close()
print('file', std.loadFile('/notes.txt').trim().split('\n'))
os.rename('/notes.txt', '/renamed.txt')
const [names, error] = os.readdir('/')
print('names', error, names.filter((name) => !name.startsWith('.')).sort())
