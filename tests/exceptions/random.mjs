// Random programs with the older exception instructions, in every form and nesting.
//
// A program is a module in text. It calls its functions with several arguments, each with some fuel, and prints what came
// out as numbers of 32 bits: a value, or a mark for each kind of exception that reached the top.

/** A generator of numbers below 2^32 that gives the same ones for the same seed (xorshift). */
function numbers(seed) {
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  const next = () => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state
  }
  for (let count = 0; count < 8; count += 1) next()
  return next
}

const TAGS = ['$none', '$one', '$two']
const INPUTS = 4

class Program {
  constructor(seed, functions) {
    this.next = numbers(seed)
    this.functions = functions
  }

  below(limit) {
    return this.next() % limit
  }

  pick(list) {
    return list[this.below(list.length)]
  }

  /** A value on the stack. */
  value(place) {
    const choices = ['constant', 'constant', 'local', 'sum']
    if (place.depth > 0) choices.push('block', 'block', 'try', 'try', 'try', 'handed', 'call')
    switch (this.pick(choices)) {
      case 'constant':
        return `i32.const ${this.below(10)}`
      case 'local':
        return this.pick(['local.get $x', 'local.get $sum'])
      case 'sum':
        return place.depth > 0 ? `${this.value(place.inner())} ${this.value(place.inner())} i32.add` : 'local.get $x i32.const 1 i32.add'
      case 'call':
        return place.callable > 0 ? `${this.value(place.inner())} call $f${this.below(place.callable)}` : 'local.get $sum'
      case 'block': {
        const inside = place.inner({ results: 1 })
        return `block (result i32) ${this.statements(inside)} ${this.value(inside)} end`
      }
      case 'handed':
        // The body takes a value.
        return `${this.value(place.inner())} ${this.attempt(place, 1, '(param i32) (result i32)')}`
      default:
        return this.attempt(place, 1, '(result i32)')
    }
  }

  /** A `try` that leaves as many values. */
  attempt(place, results, type) {
    const taken = type.includes('param') ? 'local.get $sum i32.add local.set $sum' : ''
    const body = place.inner({ results })
    const handler = place.inner({ results, handler: true })
    const value = (inside) => (results ? this.value(inside) : '')
    const inside = `try ${type} ${taken} ${this.statements(body)} ${value(body)}`
    if (this.below(4) === 0) return `${inside} delegate ${this.below(place.labels.length)}`
    const handlers = []
    for (const tag of TAGS) {
      if (this.below(2)) continue
      const payload = { $none: '', $one: 'local.get $sum i32.add local.set $sum', $two: 'i32.wrap_i64 i32.add local.set $sum' }[tag]
      handlers.push(`catch ${tag} ${payload} ${this.statements(handler)} ${value(handler)}`)
    }
    if (this.below(2)) handlers.reverse()
    if (this.below(2)) handlers.push(`catch_all ${this.statements(handler)} ${value(handler)}`)
    return `${inside} ${handlers.join(' ')} end`
  }

  statements(place) {
    const count = place.depth > 0 ? 1 + this.below(3) : 1
    return Array.from({ length: count }, () => this.statement(place)).join(' ')
  }

  /** Something that leaves the stack as it was. */
  statement(place) {
    const { labels } = place
    const choices = ['mix', 'mix', 'throw if', 'throw if', 'throw', 'branch if', 'branch', 'table']
    const handlers = labels.flatMap(({ handler }, depth) => (handler ? [depth] : []))
    if (handlers.length > 0) choices.push('throw on', 'throw on', 'throw on if')
    if (place.depth > 0) choices.push('try', 'try', 'try', 'try', 'loop', 'if', 'block', 'return')
    const target = () => {
      const depth = this.below(labels.length)
      return { depth, value: labels[depth].results ? this.value(place.inner()) : '', after: labels[depth].results ? 'drop' : '' }
    }
    switch (this.pick(choices)) {
      case 'mix':
        return `local.get $sum i32.const 31 i32.mul ${this.value(place.inner())} i32.add local.set $sum`
      case 'throw':
        return this.thrown(place)
      case 'throw if':
        return `local.get $x i32.const ${this.below(INPUTS)} i32.eq if ${this.thrown(place)} end`
      case 'throw on':
        return `rethrow ${this.pick(handlers)}`
      case 'throw on if':
        return `local.get $x i32.const ${this.below(INPUTS)} i32.eq if rethrow ${this.pick(handlers) + 1} end`
      case 'branch': {
        const { depth, value } = target()
        return labels[depth].loop ? `${this.fuel()} br ${depth}` : `${value} br ${depth}`
      }
      case 'branch if': {
        const { depth, value, after } = target()
        return `${this.fuel()} ${value} local.get $x i32.const ${this.below(INPUTS)} i32.gt_u br_if ${depth} ${after}`
      }
      case 'table': {
        const { depth, value } = target()
        const same = labels.flatMap(({ results }, other) => (results === labels[depth].results ? [other] : []))
        return `${this.fuel()} ${value} local.get $x br_table ${this.pick(same)} ${this.pick(same)} ${depth}`
      }
      case 'try':
        return this.below(3) ? this.attempt(place, 0, '') : `${this.value(place.inner())} ${this.attempt(place, 0, '(param i32)')}`
      case 'loop':
        return `loop ${this.fuel()} ${this.statements(place.inner({ loop: true }))} end`
      case 'block':
        return `block ${this.statements(place.inner({}))} end`
      case 'if':
        return `${this.value(place.inner())} if ${this.statements(place.inner({}))} else ${this.statements(place.inner({}))} end`
      default:
        return `${this.value(place.inner())} return`
    }
  }

  thrown(place) {
    const tag = this.pick(TAGS)
    const values = { $none: '', $one: 'local.get $sum', $two: 'local.get $sum i64.const 5' }[tag]
    return this.below(3) ? `${values} throw ${tag}` : `${values} call $throw${TAGS.indexOf(tag)}`
  }

  /** Leaves the function when its fuel is used up, so that every program ends. */
  fuel() {
    return 'global.get $fuel i32.const 1 i32.sub global.set $fuel global.get $fuel i32.const 0 i32.le_s if local.get $sum return end'
  }

  text() {
    const functions = Array.from({ length: this.functions }, (_, index) => {
      const place = new Place([{ results: 1 }], 4, index)
      return `(func $f${index} (param $x i32) (result i32) (local $sum i32) (local f64) ${this.fuel()} ${this.statements(place)} ${this.value(place)})`
    })
    const runs = Array.from({ length: this.functions * INPUTS }, (_, index) => {
      const call = `i32.const ${index % INPUTS} call $f${Math.floor(index / INPUTS)}`
      const marks = 'catch $none i32.const -1 catch $one i32.const 7 i32.add catch $two i32.wrap_i64 i32.sub catch_all i32.const -4'
      return `i32.const 400 global.set $fuel i32.const ${64 + 4 * index} try (result i32) ${call} ${marks} end i32.store`
    })
    return `(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 4)
      (tag $none) (tag $one (param i32)) (tag $two (param i32 i64))
      (global $fuel (mut i32) (i32.const 0))
      (func $throw0 throw $none)
      (func $throw1 (param i32) local.get 0 throw $one)
      (func $throw2 (param i32 i64) local.get 0 local.get 1 throw $two)
      ${functions.join('\n')}
      (func (export "_start") ${runs.join('\n')}
        i32.const 0 i32.const 64 i32.store i32.const 4 i32.const ${4 * this.functions * INPUTS} i32.store
        i32.const 1 i32.const 0 i32.const 1 i32.const 8 call $write drop))`
  }
}

/** Where something is written: the labels around it, innermost first, and how deep it may go. */
class Place {
  constructor(labels, depth, callable) {
    this.labels = labels
    this.depth = depth
    this.callable = callable
  }

  /** Inside of one more label, or in its place in a value. */
  inner(label) {
    const labels = label === undefined ? this.labels : [{ results: 0, ...label }, ...this.labels]
    return new Place(labels, this.depth - 1, this.callable)
  }
}

/** The text of the program of a seed. */
export const program = (seed, functions) => new Program(seed, functions).text()
