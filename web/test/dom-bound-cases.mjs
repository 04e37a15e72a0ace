// What an agent's part of a page may take of it: of drawing, of nodes, of characters, of its thread. Cases that run on a page, in any browser.

/** Milliseconds that what one write or read has the page's thread do may take, on a slow machine. Without a bound it takes minutes. */
export const LONGEST_TASK = 5_000

const EACCES = '!2'

/** The cases by name; `start` starts an agent, `same` compares. */
export function domBoundCases({ start, same }) {
  return {
    async 'keeps no page from being drawn'() {
      const many = (count, piece, between = ' ') => Array(count).fill(piece).join(between)
      const heavy = {
        'blurs one after the other': [`filter: ${many(6, 'blur(500px)')}`],
        'blurs within each other': ['filter: blur(8px)', 64],
        'shadows of a shape': [`filter: ${many(6, 'drop-shadow(0 0 500px red)')}`],
        'blurs of what is behind': [`position: relative; height: 300px; backdrop-filter: ${many(6, 'blur(500px)')}`],
        'filters of what is behind': ['backdrop-filter: brightness(1.1)'],
        'shadows of texts': [`text-shadow: ${many(150, '0 0 999px red', ',')}`],
        'a shadow of a text': ['text-shadow: 0 0 1px red'],
        'shadows of boxes': [`height: 99px; border-radius: 30px / 9px; box-shadow: ${many(150, '0 0 999px 99px red', ',')}`],
        'five shadows of a box': [`box-shadow: ${many(5, '0 0 1px red', ',')}`],
        'a shadow of a box that reaches far': ['box-shadow: 0 0 49px red'],
        'a shadow of a box that reaches so far as is reckoned': ['box-shadow: 0 0 calc(1px * 999) red'],
        "a shadow of a box in its text's size": ['font-size: 999px; box-shadow: 0 0 1em red'],
        'a shadow of a box as the page likes': ['box-shadow: 0 0 var(--x) red'],
        'a shadow of a box as that around it has': ['box-shadow: inherit'],
        'pictures as the element around it has': ['background: inherit'],
        'all that the element around it has': ['all: inherit'],
        'pictures of colours': [`background: ${many(17, 'linear-gradient(red, blue) 0 0 / 3px 3px', ',')}`],
      }
      const LONG = `the page is not drawn again within ${LONGEST_TASK} ms`
      const frames = (what) =>
        new Promise((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`${what}: ${LONG}`)), LONGEST_TASK)
          const frame = (left) => (left > 0 ? requestAnimationFrame(() => frame(left - 1)) : (clearTimeout(timer), resolve()))
          frame(10)
        })
      for (const [what, [style, deep]] of Object.entries(heavy)) {
        const { agent, tell, make } = await start()
        const number = await make('p')
        const answer = style.split(';').every((declaration) => CSS.supports(declaration.split(':')[0].trim(), declaration.split(':')[1].trim())) ? EACCES : '='
        same([what, await tell(`set /cap/dom/${number}/style ${style}`)], [what, answer])
        same([what, await tell(`set /cap/dom/1/html ${many(deep ?? 1, `<div style="${style}">`, '')}xxxxxxxx`)], [what, '='])
        await frames(what)
        await agent.kill()
        await frames(`${what}, and the agent has ended`)
      }
      // As much as there may be of what is drawn slowest.
      const { domPart } = await import(new URL('/dist/page/dom/part.js', location.href).href)
      const most = {
        'shadows of boxes': `height: 99px; border-radius: 30px / 9px; box-shadow: ${many(4, '0 0 48px 48px red', ',')}`,
        'shadows in boxes': `height: 99px; border-radius: 30px / 9px; box-shadow: ${many(4, 'inset 0 0 48px 48px red', ',')}`,
        'pictures of colours': `height: 300px; background: ${many(16, 'conic-gradient(red, transparent) 0 0 / 3px 3px', ',')}`,
        'masks': `height: 300px; background: red; mask: ${many(15, 'linear-gradient(red, transparent) 0 0 / 3px 3px', ',')}`,
        'mixtures of elements': 'position: absolute; inset: 0; background: red; mix-blend-mode: difference; filter: brightness(1.1)',
      }
      for (const [what, style] of Object.entries(most)) {
        const root = document.createElement('div')
        document.body.replaceChildren(root)
        const part = domPart(root, (markup) => markup)
        part.begin({ raw: false, elements: 10_000, cleanup: true }, () => false, () => undefined)
        let count = 0
        try {
          for (; count < 2_000; count++) {
            const number = part.create('p')
            part.set(number, 'style', style)
            part.command(1, 'append', number)
          }
        } catch (error) {
          same([what, error.code], [what, 'ENOMEM'])
        }
        same([what, count > 200, root.lastElementChild.style.length > 0], [what, true, true])
        await frames(`${count} elements with ${what}`)
        part.end()
        await frames(`${count} elements with ${what}, and the agent has ended`)
      }
      const { agent, tell, make } = await start()
      const number = await make('p')
      for (const style of ['box-shadow: 0 2px 6px rgba(0, 0, 0, 0.3), inset 0 0 0 1px red', 'box-shadow: none', 'filter: brightness(1.1) saturate(50%)', 'background: inherit; background: linear-gradient(red, blue)', 'color: inherit; font: inherit']) {
        same([style, await tell(`set /cap/dom/${number}/style ${style}`)], [style, '='])
      }
      await agent.dispose()
    },
    async 'has as much as is there, however often it was replaced'() {
      const { domPart } = await import(new URL('/dist/page/dom/part.js', location.href).href)
      const begin = () => {
        const root = document.createElement('div')
        document.body.replaceChildren(root)
        const part = domPart(root, (markup) => markup)
        part.begin({ raw: false, elements: 10_000, cleanup: true }, () => false, () => undefined)
        return { root, part }
      }
      const MIB = 1 << 20
      // Each of these makes more than 64 Mi characters one after the other, and much less of them is there at any time; of markup, which takes
      // browsers long, more than is left beside texts that are there.
      const [long, other] = ['x'.repeat(MIB), 'y'.repeat(MIB)]
      const BESIDE = 60
      const beside = new Set(['markup', 'elements of an element'])
      const often = {
        'a text': ({ part }) => part.set(1, 'text', long),
        'an attribute': ({ part, field }) => part.set(field, 'attrs', `title ${long}`),
        'a style': ({ part, field }) => part.set(field, 'style', `font-family: ${long}`),
        'a value': ({ part, field }, at) => part.set(field, 'value', at % 2 ? long : other),
        'a kind of input': ({ part, field }, at) => part.set(field, 'attrs', `type ${at % 2 ? 'date' : 'text'}`),
        'markup': ({ part }) => part.set(1, 'html', `<p title="${long}">a <a href="https://example.com/">b</a></p>`),
        'elements': ({ part }) => part.command(part.create('audio'), 'delete'),
        'elements with something in them': ({ part }) => {
          const number = part.create('div')
          part.set(number, 'text', long)
          part.command(number, 'delete')
        },
        'elements of an element': ({ part, field }) => {
          part.set(1, 'html', `<b>${long}</b>`)
          part.command(1, 'append', field)
        },
        'events that are listened for': ({ part, field }) => ['listen', 'unlisten'].forEach((command) => part.command(field, command, 'click')),
      }
      for (const [what, change] of Object.entries(often)) {
        const { root, part } = begin()
        const field = part.create('input')
        for (let at = 0; beside.has(what) && at < BESIDE; at++) part.set(part.create('p'), 'text', long)
        const times = { markup: 70 - BESIDE, 'elements of an element': 70 - BESIDE,  'events that are listened for': 70_000, 'a kind of input': 1_100, elements: 140 }[what] ?? 70
        try {
          for (let at = 0; at < times; at++) change({ part, field }, at)
        } catch (error) {
          throw new Error(`${what}: ${error.message}`)
        }
        part.end()
        same([what, root.innerHTML], [what, ''])
      }
      // What is refused is not counted, either.
      const { part } = begin()
      const number = part.create('p')
      for (let at = 0; at < 35; at++) {
        for (const [file, text] of [['style', `--x: ${long}`], ['attrs', `onclick ${long}`]]) {
          try {
            part.set(number, file, text)
            throw new Error(`${file} was set`)
          } catch (error) {
            same([file, error.code], [file, 'EACCES'])
          }
        }
      }
      // What a number leads to is still there, with all that is around it, though it was replaced: some 64 such texts are all that there may be.
      let kept = 0
      const keeping = begin()
      try {
        for (; kept < 100; kept++) {
          keeping.part.set(1, 'html', `<p>${long}<b></b></p>`)
          keeping.part.get(Number(keeping.part.get(1, 'children')), 'children')
        }
      } catch (error) {
        same(error.code, 'ENOMEM')
      }
      same([kept > 55, kept < 65], [true, true])
      keeping.part.end()
      part.end()
    },
    async 'counts what it adds to elements of the page\'s own, also when all is counted anew'() {
      const { domPart } = await import(new URL('/dist/page/dom/part.js', location.href).href)
      const MIB = 1 << 20
      const root = document.createElement('div')
      const own = Array.from({ length: 100 }, () => document.createElement('p'))
      own[0].title = 'z'.repeat(3 * MIB)
      root.replaceChildren(...own)
      document.body.replaceChildren(root)
      const part = domPart(root, (markup) => markup)
      part.begin({ raw: false, elements: 10_000, cleanup: true }, () => false, () => undefined)
      const numbers = part.get(1, 'children').trim().split('\n').map(Number)
      const fill = () => {
        let count = 0
        try {
          for (; count < own.length; count++) part.set(numbers[count], 'attrs', `title ${'x'.repeat(MIB)}`)
        } catch (error) {
          same(error.code, 'ENOMEM')
        }
        return count
      }
      // The page's own characters don't count, and give no room for more.
      const first = fill()
      same([first >= 60, first <= 64], [true, true])
      // It is counted again when that may be.
      const later = performance.now() + 2_000
      while (performance.now() < later) {
        await new Promise((resolve) => requestAnimationFrame(resolve))
        same(fill() <= 64, true)
      }
      for (const number of numbers.slice(0, first)) part.set(number, 'attrs', '-title')
      same(fill() >= 60, true)
      part.end()
    },
    async 'adds to a text as often as it likes'() {
      const { agent, element, tell } = await start()
      // Or WebKit lays it out each time.
      document.body.style.display = 'none'
      same(await tell('adds /cap/dom/1/text 10000 hello'), '=')
      document.body.style.display = ''
      same(element.textContent, 'hello'.repeat(10_000))
      await agent.dispose()
    },
    async 'makes no more nodes at once than the page has time for'() {
      const { domPart } = await import(new URL('/dist/page/dom/part.js', location.href).href)
      const NODES = 20_000
      const root = document.createElement('div')
      document.body.replaceChildren(root)
      const part = domPart(root, (markup) => markup)
      part.begin({ raw: false, elements: 10_000, cleanup: true }, () => false, () => undefined)
      const took = (run) => {
        const begun = performance.now()
        run()
        return performance.now() - begun
      }
      // As long as the page itself takes for as many; the first time it takes longer.
      const own = () => {
        const element = document.createElement('div')
        document.body.append(element)
        for (let at = 0; at < NODES; at++) element.append(document.createElement('p'))
        element.offsetHeight
        element.remove()
      }
      own()
      const usual = Math.max(took(own), took(own))
      const set = (markup) => {
        let code
        const time = took(() => {
          try {
            part.set(1, 'html', markup)
            root.offsetHeight
          } catch (error) {
            code = error.code
          }
        })
        return [code, time]
      }
      const MIB = 1 << 20
      const cases = {
        'as many as there may be': ['<p>'.repeat(NODES), undefined],
        'one more': ['<p>'.repeat(NODES + 1), 'EFBIG'],
        'texts between them': ['<br>x'.repeat(NODES / 2 + 1), 'EFBIG'],
        'as many as there is room for': ['<p>'.repeat(MIB / 3), 'EFBIG'],
        'ends that make some': ['</p>'.repeat(MIB / 4), 'EFBIG'],
        'comments': ['<!>'.repeat(MIB / 3), 'EFBIG'],
        'cells, each with a row and a table around it': ['<table><td>'.repeat(NODES / 2), 'EFBIG'],
        'what the parser opens again': [`<p>${'<b>'.repeat(100)}${'<p>x'.repeat(MIB / 4 - 200)}`, 'EFBIG'],
      }
      for (const [what, [markup, expected]] of Object.entries(cases)) {
        const [code, time] = set(markup)
        same([what, code], [what, expected])
        if (time > 40 * usual) throw new Error(`${what} takes ${Math.round(time)} ms, and the page itself takes ${Math.round(usual)} ms for ${NODES} elements`)
      }
      part.end()
    },
    async 'lets the page have its turn between what it writes'() {
      const { agent, element, tell } = await start()
      const many = '<p>x'.repeat(9_000)
      let [ticking, ticks] = [true, 0]
      const tick = () => {
        if (ticking) setTimeout(tick)
        ticks += 1
      }
      setTimeout(tick)
      const seen = []
      const changes = new MutationObserver(() => seen.push(ticks))
      changes.observe(element, { childList: true })
      same(await tell(`again /cap/dom/1/html 12 ${many}`), '=')
      ticking = false
      changes.disconnect()
      // No two of them without a turn between: a timer of the page's comes that often, too.
      same([seen.length, seen.every((at, index) => index === 0 || at > seen[index - 1])], [12, true])
      await agent.dispose()
    },
  }
}
