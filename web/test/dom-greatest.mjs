// What an agent may put on a page at its greatest: every attribute of every tag, and the styles that browsers take longest for, each as often as one write may
// have it, and nested as deeply as it may be.

const repeated = (count, piece) => Array(count).fill(piece).join('')
/** Elements that have no end tag. */
const VOID = new Set('br col hr img input source wbr'.split(' '))
/** What is around an element that is only something there, and what is in it where that has most to be done. */
const AROUND = { td: ['<table><tr>', '</table>'], th: ['<table><tr>', '</table>'], col: ['<table>', '</table>'], colgroup: ['<table>', '</table>'], li: ['<ol>', '</ol>'] }
const WITHIN = { select: '<option>x<option>y', ol: '<li>x<li>y', colgroup: '', details: '<summary>x</summary>y', td: '', th: '' }
/** The greatest values: of attributes that are numbers, and of the others that are words. */
const GREATEST = '1000000000'
const LARGEST_SPAN = '1000'
const valueOf = (name) => ({ colspan: LARGEST_SPAN, rowspan: LARGEST_SPAN, span: LARGEST_SPAN, min: `-${GREATEST}`, step: '0.000001', type: '', href: 'https://example.com/', src: 'data:image/png;base64,AA==', name: 'x', wrap: 'hard', decoding: 'sync', loading: 'eager', preload: 'auto', accept: '*', scope: 'col' })[name] ?? GREATEST

/** Markup by name: what is in front, what is repeated for as long as there is room, and what is behind. */
export function greatestMarkup({ ATTRIBUTES, INPUT_TYPES }) {
  const cases = {}
  const of = (tag, attributes) => {
    const [before, after] = AROUND[tag] ?? ['', '']
    return [before, `<${tag} ${attributes}>${VOID.has(tag) ? '' : `${WITHIN[tag] ?? 'x'}</${tag}>`}`, after]
  }
  for (const [tag, names] of Object.entries(ATTRIBUTES)) {
    const own = names.split(' ').filter((name) => name !== '' && name !== 'type')
    cases[`${tag} with all that it may have`] = of(tag, own.map((name) => `${name}="${valueOf(name)}"`).join(' '))
    if (AROUND[tag]) for (const name of own) for (const value of ['1000', '30', '4']) cases[`${tag} ${name}=${value}`] = of(tag, `${name}=${value}`)
  }
  for (const type of INPUT_TYPES) cases[`input of the type ${type}`] = of('input', `type=${type} value=1 max=${GREATEST} min=-${GREATEST} step=0.000001 size=${GREATEST}`)
  const rows = ['<tr><td></td>', '</table>']
  const all = (before, piece, after) => Object.assign([before, piece, after], { often: Infinity })
  cases['rows below cells that span columns'] = all(`<table><tr>${repeated(16, '<td colspan=1000></td>')}</tr>`, ...rows)
  cases['rows below columns'] = all(`<table>${repeated(16, '<col span=1000>')}`, ...rows)
  cases['rows beside cells that span rows'] = all(`<table><tr>${repeated(16, '<td rowspan=1000></td>')}</tr>`, ...rows)
  cases['rows beside cells that span all'] = all(`<table><tr>${repeated(4_000, '<td rowspan=0></td>')}</tr>`, ...rows)
  cases['items behind numbered ones'] = all('<ol>', `<li value=1></li>${repeated(20, '<li></li>')}`, '</ol>')
  cases['items of numbered lists'] = ['<ol start=5>', '<ol start=5><li></ol>', '</ol>']
  return cases
}

/** Styles: of each element, and, where there is a second one, of each of those that are in the one that has the first. */
export const GREATEST_STYLES = {
  'columns of a grid': ['display: grid; grid-template-columns: repeat(10000, 1fr)'],
  'rows of a grid': ['display: grid; grid-template-rows: repeat(10000, minmax(0, 1fr) 1px)'],
  'both of a grid': ['display: grid; grid-template: repeat(10000000, 1px) / repeat(10000000, 1px)'],
  'as many columns as there is room for': ['display: grid; grid-template-columns: repeat(auto-fill, 0.01px)'],
  'as many rows as there is room for': ['display: grid; height: 30000000px; grid-template-rows: repeat(auto-fill, 1px)'],
  'columns that are written out': [`display: grid; grid-template-columns: ${repeated(300, '1fr ')}`],
  'areas of a grid': [`display: grid; grid-template-areas: '${repeated(1_000, 'a ')}'`],
  'names of lines': ['display: grid; grid-template-columns: repeat(1000, [a] 1px)', 'grid-column: a 9000'],
  'far places': ['display: grid', 'grid-area: 1000000 / 1000000'],
  'far places of many': ['', 'display: grid', 'grid-row: -9999; grid-column: 9999'],
  'long spans': ['display: grid', 'grid-row: span 1000000; grid-column: span 1000000'],
  'spans of a dense grid': ['display: grid; grid-auto-flow: dense', 'grid-row: span 1000; grid-column: span 999'],
  'items of a dense grid': ['display: grid; grid-auto-flow: row dense; grid-template-columns: repeat(100, 1fr)', 'grid-row: 1'],
  'items that span columns': ['display: grid; grid-template-columns: repeat(1000, max-content)', 'grid-column: 1 / span 900'],
  'sticky elements': ['overflow: auto; height: 99px', 'position: sticky; top: 0'],
  'elements that scroll': ['overflow: scroll; height: 9px; width: 9px'],
  'elements that stand out': ['position: relative; z-index: 1000000000; opacity: 0.9; will-change: transform'],
  'elements in space': ['transform-style: preserve-3d; perspective: 9px', 'transform: rotate3d(1, 1, 1, 45deg) scale(1000)'],
  'polygons': [`clip-path: polygon(${Array(300).fill('0% 0%, 100% 50%').join(', ')})`],
  'paths': [`clip-path: path("M0 0${repeated(100, ' L1 1 A 9 9 0 1 1 9 90')}")`],
  'shapes': ['', 'float: left; shape-outside: ellipse(30% 40%); width: 30px; height: 30px'],
  'huge letters': ['font-size: 1000000px; line-height: 1000000000'],
  'huge borders': ['border: 1000000px dotted red; border-radius: 1000000px'],
  'lines below text': ['text-decoration: underline wavy red; text-underline-offset: 1000000px'],
  'counters': ['counter-reset: x 1000000000', 'counter-increment: x 1000000000; counter-set: y 1000000000'],
  'numbers of items': ['counter-reset: list-item 5', 'display: list-item; counter-increment: list-item 1000000000'],
  'flexible elements': ['display: flex; flex-wrap: wrap', 'flex: 1000000000 1 0; order: 1000000000'],
  'elements out of turn': ['display: flex; flex-flow: column wrap-reverse; height: 9px', 'min-width: min-content; align-self: last baseline'],
  'elements by their proportion': ['aspect-ratio: 1 / 1000000; width: 100%'],
  'zoomed elements': ['zoom: 1000000'],
  'parts of their own': ['contain: strict; content-visibility: auto; container-type: size'],
  'mixtures': ['mix-blend-mode: difference; isolation: isolate'],
  'elements beside floating ones': ['', 'float: left; width: 33%; clear: inherit; display: flow-root'],
  'widows': ['widows: 1000000; orphans: 1000000; break-inside: avoid; text-wrap: balance; hyphens: auto'],
  'first letters': ['initial-letter: 1000; -webkit-initial-letter: 1000'],
  'anchored elements': ['position: absolute; inset: 0; width: fit-content; position-try-fallbacks: flip-block, flip-inline, flip-start'],
}

/** Tags that open, nested as deeply as there may be any. */
export const NESTED = {
  'tables': '<table style="height: 100%"><tr><td>',
  'cells': '<div style="height: 100%"><td>',
  'tables by their style': '<div style="display: table; height: 100%">',
  'tables in lines': '<div style="display: inline-table">',
  'grids': '<div style="display: grid; height: 100%">x',
  'grids in lines': '<div style="display: inline-grid; grid-template-columns: min-content max-content">x',
  'grids of their parents': '<div style="display: grid; grid-template: subgrid / subgrid">x',
  'flexible elements': '<div style="display: flex; flex-wrap: wrap; height: 100%">x',
  'flexible columns': '<div style="display: inline-flex; flex-direction: column; flex-wrap: wrap">x',
  'flexible elements in grids': '<div style="display: grid; height: 100%"><div style="display: flex; height: 100%">x',
  'directions of writing': '<div style="writing-mode: vertical-rl; display: flex">x<div style="writing-mode: horizontal-tb">y',
  'ruby': '<ruby>x<rt>y',
  'ruby by its style': '<div style="display: ruby">x',
  'floating elements': '<div style="float: left; shape-outside: circle(50%)">x',
  'absolute elements': '<div style="position: absolute; width: fit-content; inset: 0; position-try-fallbacks: flip-block, flip-inline, flip-start">x',
  'scrolling elements': '<div style="overflow: auto; max-height: 90%; min-width: min-content; display: flex">x',
  'translucent elements': '<div style="opacity: 0.9; mix-blend-mode: multiply">x',
  'elements in space': '<div style="transform-style: preserve-3d; transform: rotateX(1deg); perspective: 9px">x',
  'cut elements': '<div style="mask: linear-gradient(red, transparent); clip-path: circle(50%)">x',
  'lines below text': '<p><u style="text-decoration-style: wavy">x',
  'directions of text': '<bdi dir=auto>x',
  'fields': '<fieldset style="height: 100%"><legend>x</legend>',
  'details': '<details open><summary>x</summary>',
  'dialogs': '<dialog open style="width: fit-content; height: 100%">x',
  'first letters': '<div style="initial-letter: 2; -webkit-initial-letter: 2">x',
  'clamped lines': '<div style="-webkit-line-clamp: 3; display: -webkit-box; -webkit-box-orient: vertical; overflow: hidden">x',
  'proportions': '<div style="aspect-ratio: 1; width: min-content; height: fit-content; display: flex">x',
  'containers': '<div style="container-type: inline-size; display: flex">x<div style="width: 50cqw">',
}

/** Every markup of these: what is in front, what is repeated, and what is behind; nested ones once. */
export function greatest(policy) {
  const cases = greatestMarkup(policy)
  const styled = (style, within) => `<p style="${style.replaceAll('"', '&quot;')}">${within}</p>`
  for (const [what, [outer, inner, innermost]] of Object.entries(GREATEST_STYLES)) {
    const piece = inner === undefined ? styled(outer, '') : `<div style="${inner}">${innermost === undefined ? '' : `<b style="${innermost}">x</b>`}x</div>`
    cases[what] = inner === undefined ? ['', piece, ''] : [`<div style="${outer}">`, piece, '</div>']
  }
  for (const [what, open] of Object.entries(NESTED)) cases[`nested ${what}`] = { open }
  return cases
}

/**
 * Puts something on a page many times in one write, or, with `full`, as often as there may be any at all: how often that is, and the milliseconds that the longest task of
 * each kind took of the page's thread.
 */
export async function cost(domPart, how, full) {
  const [MIB, NODES, DEEP, OFTEN] = [1 << 20, 19_990, 120, how.often ?? 1_000]
  const frames = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  const root = document.createElement('div')
  document.body.replaceChildren(root)
  const part = domPart(root, (markup) => markup)
  part.begin([false, 10_000, true], () => false, () => undefined)
  const tasks = {}
  const timed = async (task, run) => {
    const begun = performance.now()
    await run()
    tasks[task] = Math.max(tasks[task] ?? 0, performance.now() - begun)
  }
  const markup = (times) => (how.open ? how.open.repeat(times) : how[0] + how[1].repeat(times) + how[2])
  const nodes = (text) => {
    const box = document.implementation.createHTMLDocument('').createElement('div')
    box.innerHTML = text
    let count = -1
    for (const all = document.createNodeIterator(box); all.nextNode(); ) count += 1
    return count
  }
  let times = how.open ? DEEP : Math.floor(Math.min(full ? Infinity : OFTEN, MIB / how[1].length, (NODES - nodes(markup(1))) / (nodes(markup(2)) - nodes(markup(1)))))
  let count = 0
  for (let writes = 0; times >= 1 && writes < (full ? 99 : 1); ) {
    const number = part.create('div')
    part.command(1, 'append', number)
    await timed('writing', () => {
      try {
        part.set(number, 'html', markup(times))
        writes += 1
        count += times
      } catch (error) {
        if (!['EFBIG', 'ENOMEM', 'ENOSPC'].includes(error.code)) throw error
        times = Math.floor(times / 2)
      }
    })
    await timed('laying out', () => root.offsetHeight)
    await timed('drawing', frames)
  }
  root.style.width = '77%'
  await timed('laying out again', () => root.offsetHeight)
  await timed('ending', async () => {
    part.end()
    await frames()
  })
  return { ...tasks, count }
}
