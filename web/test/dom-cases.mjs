// What an agent can do with the part of a page that it was granted, what it can't, and what is left when it has ended: cases that
// run on a page, in any browser.

import { domBoundCases, LONGEST_TASK } from './dom-bound-cases.mjs'

/** For each way in the text of 1 MiB that has most to be done: tag, file and text; and whether it is drawn, and repeated for as long as there is room. */
function worst() {
  const MIB = 1 << 20
  const fill = (piece, length = MIB) => piece.repeat(Math.floor(length / piece.length))
  const numbered = (make) => {
    const pieces = []
    for (let at = 0, length = 0; length < MIB - 64; at++) length += pieces[pieces.push(make(at)) - 1].length
    return pieces.join('')
  }
  const long = fill('a', MIB - 100)
  return {
    'a name in a style': ['p', 'style', `font-family: ${long}`],
    'a name in the value of an unknown property': ['p', 'style', `--x: ${long}`],
    'names in a style': ['p', 'style', `font-family: ${fill('a,', MIB / 8)}b`],
    'a string in a style': ['p', 'style', `content: "${long}"`],
    'properties in a style': ['p', 'style', numbered((at) => `--a${at}:b;`)],
    'parentheses in a style': ['p', 'style', `width: ${fill('(')}`],
    'parentheses of a style in markup': ['div', 'html', `<p style='width: ${fill('&#40', MIB - 100)}'>x</p>`],
    'a style as an attribute': ['p', 'attrs', `style font-family: ${long}`],
    'a style in markup': ['div', 'html', `<p style="font-family: ${long}">x</p>`],
    'styles in markup': ['div', 'html', fill('<p style="color:red">', MIB / 4)],
    'attributes in markup': ['div', 'html', `<p ${numbered((at) => `a${at} `)}>x</p>`],
    'quoted attributes in markup': ['div', 'html', `<!-- <p title="--><p/${numbered((at) => `a${at}=">"`)}>x</p>`],
    'attributes without an end': ['div', 'html', `<p ${numbered((at) => `a${at}/`)}`],
    'declarations in markup': ['div', 'html', `<p style='${numbered((at) => `--a${at}:b;`)}'>x</p>`],
    'referenced declarations in markup': ['div', 'html', `<p style=${numbered((at) => `--a${at}:b&#59`)}>x</p>`],
    'nested elements in markup': ['div', 'html', fill('<div>')],
    'nested spans in markup': ['div', 'html', fill('<b>')],
    'elements whose ends are comments': ['div', 'html', fill('<b><!--</b>-->')],
    'elements whose ends are texts': ['div', 'html', fill('<b><xmp></b></xmp>')],
    'elements whose ends are values': ['div', 'html', fill('<b><i title="</b></i>"></i>')],
    'elements that are opened again': ['div', 'html', `<p>${Array.from({ length: 500 }, (_, at) => `<b title=${at}>`).join('')}${fill('<p>x', MIB - 9_000)}`],
    'ends of nothing in markup': ['div', 'html', `${'<i>'.repeat(1_000)}${fill('</x>', MIB - 3_000)}`],
    'elements in markup': ['div', 'html', fill('<br>', MIB / 8)],
    'elements with attributes in markup': ['div', 'html', fill(`<p ${Array.from({ length: 255 }, (_, at) => `a${at}`).join(' ')}>`)],
    'references in markup': ['div', 'html', fill('&notit;')],
    'columns within each other': ['div', 'html', `${'<div style="columns: 2">'.repeat(12)}${'<p>x'.repeat(200)}`, 'drawn'],
    'columns within each other by their widths': ['div', 'html', `${'<div style="column-width: 9px">'.repeat(12)}${'<p>x'.repeat(200)}`, 'drawn'],
    ...Object.fromEntries(
      ['<input type=datetime-local>', '<input type=range>', '<video controls></video>', '<select><option>a</select>', '<details><summary>a</summary>b</details>', '<textarea></textarea>'].flatMap((markup) => [
        [`${markup} for as long as there is room`, ['div', 'html', markup, 'repeated']],
        [`${markup} in one text`, ['div', 'html', fill(markup), 'drawn']],
      ]),
    ),
    'a text': ['p', 'text', fill('x ')],
    'a value': ['textarea', 'value', fill('x\n')],
    'classes': ['p', 'attrs', `class ${numbered((at) => `c${at} `)}`],
    'the name of an attribute': ['p', 'attrs', `data-${long} x`],
    'the path of a link': ['a', 'attrs', `href https://example.com/${fill('a/../', MIB - 100)}`],
    'the user of a link': ['a', 'attrs', `href https://${fill('a@', MIB - 100)}`],
    'a picture': ['img', 'attrs', `src data:image/png;base64,${long}`],
    'a sound': ['audio', 'attrs', `src data:audio/${long}`],
  }
}

/** The cases by name. */
function domCases(capfs, module, picture, outside) {
  const same = (actual, expected) => {
    const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)]
    if (a !== b) throw new Error(`got ${a} instead of ${b}`)
  }
  /** An agent that does what it is told, a line at a time, on an element of its own. */
  const start = async (grant = 'dom', markup = '') => {
    const element = document.createElement('div')
    element.innerHTML = markup
    document.body.append(element)
    const agent = await capfs.spawn(module, { args: ['script'], stdin: 'pipe', grants: [grant], dom: element })
    const reader = agent.stdout.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    const tell = async (line) => {
      await agent.write(`${line}\n`)
      while (!text.includes('\n')) text += (await reader.read()).value
      const [answer, ...rest] = text.split('\n')
      text = rest.join('\n')
      return answer
    }
    const make = async (tag) => (await tell(`once /cap/dom/new/${tag}`)).slice(1, -1)
    return { agent, element, tell, make }
  }
  /** What of the page is nobody's to change: which button of its is chosen, where the focus is, what is seen in its corners. */
  const stand = () => {
    const page = document.createElement('div')
    page.innerHTML = '<p style="position: fixed; left: 0; bottom: 0; margin: 0">sentinel</p><input type=radio name=choice checked><input type=radio name=choice><input type=password value=secret>'
    document.body.append(page)
    const [first, second, password] = page.querySelectorAll('input')
    password.focus()
    return () => {
      const corners = [[2, innerHeight - 4], [innerWidth - 4, innerHeight - 4]].map(([x, y]) => document.elementFromPoint(x, y)?.localName)
      return [first.checked, second.checked, document.activeElement === password, password.value, corners]
    }
  }
  const drawn = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
  const [EACCES, EINVAL, ENOENT, EMFILE, EIO] = ['!2', '!28', '!44', '!33', '!29']
  const sanitises = async () => {
    const { agent, element, tell } = await start()
    window.ran = 0
    const evil = [
      '<img src=x onerror="ran++">', '<script>ran++</script>', '<a href="javascript:ran++">a</a>', '<svg onload="ran++"><script>ran++</script></svg>',
      '<iframe srcdoc="<script>parent.ran++</script>"></iframe>', '<p style="background: url(/style)">p</p>', '<p style="--x: url(/x); color: red">q</p>',
      '<form action="https://example.com"><button formaction="javascript:ran++">b</button></form>', '<math><mtext><style><img src=x onerror=ran++></style></mtext></math>',
      '<p id="location" onclick="ran++">c</p>', '<input type="password" autofocus onfocus="ran++">', '<base href="https://example.com">', '<meta http-equiv="refresh" content="0">',
      '<object data="data:text/html,x"></object>', '<x-custom>d</x-custom>', '<img src="/picture.png">', '<style>body { display: none }</style>', '<template><img src=x onerror="ran++"></template>',
    ]
    performance.clearResourceTimings()
    for (const markup of evil) {
      same(await tell(`set /cap/dom/1/html ${markup}<b>good</b>`), '=')
      same(element.querySelector('b')?.textContent, 'good')
      for (const inside of element.querySelectorAll('*')) {
        for (const { name, value } of inside.attributes) {
          if (/^on|^srcdoc$|^action$|^formaction$|^id$|^src$/.test(name) || /javascript:|url\(/.test(value)) throw new Error(`${name}="${value}" is left of ${markup}`)
        }
        if (/script|iframe|object|svg|math|style|meta|base|template|custom/.test(inside.localName)) throw new Error(`${inside.localName} is left of ${markup}`)
      }
      for (const inside of element.querySelectorAll('a, button, p')) inside.click()
    }
    await new Promise(requestAnimationFrame)
    same([window.ran, performance.getEntriesByType('resource').filter(({ name }) => /picture|style|\/x$/.test(name)).length], [0, 0])
    same(await tell('set /cap/dom/1/html <p class="note" title="t">A <a href="https://example.com/x">link</a>, <em>text</em> and</p><table><tr><td>cell</td></tr></table>'), '=')
    same(element.querySelector('a').rel, 'noopener noreferrer nofollow')
    same([element.querySelector('p').className, element.querySelector('td').textContent], ['note', 'cell'])
    await picture('sanitised')
    await agent.dispose()
  }
  /** Lets the page draw, loads something itself, and hears from the other server what it was asked for until then. */
  const asked = async () => {
    document.body.getBoundingClientRect()
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))
    const sign = document.createElement('div')
    const name = `sign-${Math.random()}`
    sign.style.cssText = `width: 9px; height: 9px; background: url(${outside}${name})`
    document.body.append(sign)
    for (const seen = []; ; ) {
      seen.push(...(await (await fetch(`${outside}seen`)).json()))
      if (seen.includes(`/${name}`)) return seen.filter((path) => !path.includes('/sign-'))
      await new Promise(requestAnimationFrame)
    }
  }
  /** Every name that hides a property of a form, as far as this browser has them. */
  const hiding = () => {
    const names = new Set()
    for (let at = HTMLFormElement.prototype; at; at = Object.getPrototypeOf(at)) for (const name of Object.getOwnPropertyNames(at)) names.add(name)
    return [...names]
  }
  /** That nothing in an element leads to the other server. */
  const leadsNowhere = (element, what) => {
    const inside = document.createTreeWalker(element, NodeFilter.SHOW_ELEMENT)
    for (let at = inside.nextNode(); at; at = inside.nextNode()) {
      for (const name of Element.prototype.getAttributeNames.call(at)) {
        const value = Element.prototype.getAttribute.call(at, name)
        if (value.includes(outside) && name !== 'title') throw new Error(`${name}="${value}" is left of ${what}`)
      }
    }
  }
  return {
    ...domBoundCases({ start, same }),
    async 'loads nothing by any markup'() {
      const { agent, element, tell } = await start()
      const list = btoa(`#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n${outside}list\n#EXT-X-ENDLIST\n`)
      const here = outside.replace('http://', '')
      const evil = [
        '<img src=OUT>', '<img srcset="OUT 1x">', '<img src=x srcset=OUT>', '<img attributionsrc=OUT>', '<img lowsrc=OUT dynsrc=OUT>', `<img src="http:${here}">`, '<img src="//OUT">', '<img src=" OUT">',
        '<picture><source srcset=OUT><img src=x></picture>', '<video src=OUT></video>', '<video poster=OUT></video>', '<audio src=OUT autoplay></audio>', '<video><source src=OUT></video>',
        '<video><track src=OUT default></video>', `<audio src="data:audio/mpegurl;base64,${list}" preload=auto></audio>`, `<video src="data:video/mp4;base64,${list}" preload=auto></video>`,
        `<video><source src="data:audio/x-mpegurl;base64,${list}"></video>`, '<input type=image src=OUT>', '<link rel=stylesheet href=OUT>', '<link rel=preload as=image href=OUT>', '<link rel=icon href=OUT>',
        '<link rel=prefetch href=OUT>', '<base href=OUT><img src=x>', '<meta http-equiv=refresh content="0;url=OUT">', '<iframe src=OUT></iframe>', '<iframe srcdoc="<img src=OUT>"></iframe>', '<embed src=OUT>',
        '<object data=OUT></object>', '<applet archive=OUT></applet>', '<frameset><frame src=OUT></frameset>', '<script src=OUT></script>', '<svg><image href=OUT /></svg>', '<svg><image xlink:href=OUT /></svg>',
        '<svg><use href="OUT#x"></svg>', '<svg><filter><feImage href=OUT /></filter></svg>', '<svg style="background:url(OUT)"></svg>', '<svg><style>*{background:url(OUT)}</style></svg>', '<svg><a><img src=OUT></a></svg>',
        '<math href=OUT><mi xlink:href=OUT style="background:url(OUT)">x</mi></math>', '<math><mtext><mglyph src=OUT></mtext></math>', '<style>@import "OUT"; *{background:url(OUT)}</style>',
        '<template><img src=OUT></template>', '<div><template shadowrootmode=open><img src=OUT></template></div>', '<table background=OUT><td background=OUT>x</table>', '<body background=OUT>', '<noscript><img src=OUT></noscript>',
        '<noembed><img src=OUT></noembed>', '<xmp><img src=OUT></xmp>', '<a ping=OUT href="https://example.invalid/">a</a>', '<a href="OUT" attributionsrc=OUT hidden>b</a>'.replace('href="OUT"', ''),
        '<form action=OUT><button formaction=OUT>b</button></form>', '<form method=dialog action=OUT><input type=submit formaction=OUT></form>', '<blockquote cite=OUT>q</blockquote>', '<del cite=OUT>d</del>',
        '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=OUT&gt;">', '<form><math><mtext></form><form><mglyph><style></math><img src=OUT>', '<select><style><img src=OUT></style></select>',
        '<p is=x-loads data-src=OUT>p</p>', '<img src=OUT onerror=1 style="background:url(OUT)">', '<b>'.repeat(100) + '<img src=OUT>', '<!--><img src=OUT>-->', '<?xml-stylesheet href=OUT ?><img src=OUT>',
      ]
      for (const markup of evil) {
        const line = markup.replaceAll('//OUT', `//${here}`).replaceAll('OUT', outside)
        same([markup, await tell(`set /cap/dom/1/html ${line}`)], [markup, '='])
        if (!markup.includes('data-src')) leadsNowhere(element, line)
        element.getBoundingClientRect()
        for (const inside of element.querySelectorAll('button, input')) HTMLElement.prototype.click.call(inside)
      }
      same(await asked(), [])
      await agent.dispose()
    },
    async 'loads nothing by any style'() {
      const { agent, element, tell, make } = await start()
      const evil = [
        'background:url(OUT)', 'BACKGROUND:URL(OUT)', 'background:url("OUT")', 'background:var(--none, url(OUT))', 'background:var(--none,/*"*/url(OUT)/*"*/)', `background:var(--none, '"' url(OUT) '"')`,
        'background:image-set("OUT" 1x)', 'background:-webkit-image-set(url(OUT) 1x)', 'background:src("OUT")', 'background:image("OUT")', 'background:cross-fade(url(OUT), red)', 'background:-webkit-cross-fade(url(OUT), url(OUT), 50%)',
        'background:u\\72l(OUT)', 'background:/**/url(OUT)', 'background:linear-gradient(red,red),url(OUT)', '--x:url(OUT);background:var(--x)', 'background:attr(title type(<url>))', 'background:if(else: url(OUT))',
        'background:element(#x)', 'background:paint(x)', 'background:--own(url(OUT))', 'cursor:url(OUT),auto', 'content:url(OUT)', 'content:"a" url(OUT)', 'list-style:url(OUT);display:list-item', 'border-image:url(OUT) 1',
        '-webkit-border-image:url(OUT) 1', 'mask:url(OUT)', '-webkit-mask-image:url(OUT)', '-webkit-mask-box-image:url(OUT)', 'filter:url(OUT#f)', 'backdrop-filter:url(OUT#f)', 'clip-path:url(OUT#f)', 'shape-outside:url(OUT);float:left',
        'offset-path:url(OUT#p)', 'marker-start:url(OUT#m)', 'fill:url(OUT#p)', 'behavior:url(OUT)', '-moz-binding:url(OUT)', '@import "OUT"', '-webkit-box-reflect:below 0 url(OUT)', 'background-image:url(OUT)!important', 'all:unset;background:url(OUT)',
        'animation:url(OUT)', 'src:url(OUT)', 'view-transition-name:root', 'anchor-name:--menu',
      ]
      const number = await make('p')
      same([await tell(`set /cap/dom/${number}/text x`), await tell(`put /cap/dom/1/ctl append ${number}`)], ['=', '='])
      for (const style of evil) {
        const text = style.replaceAll('OUT', outside)
        // What this browser doesn't know it takes for nothing; what it knows is refused.
        const known = document.createElement('p')
        known.style.cssText = text
        const answer = known.style.length > 0 ? [EACCES, EACCES] : ['=', '=']
        same([style, await tell(`set /cap/dom/${number}/style ${text}`), await tell(`put /cap/dom/${number}/attrs style ${text}`)], [style, ...answer])
        same(element.querySelector('p').style.length, 0)
        const inHtml = await start()
        same(await inHtml.tell(`set /cap/dom/1/html <p title="${outside}" style="${text.replaceAll('"', '&quot;')}">x</p>`), '=')
        leadsNowhere(inHtml.element, style)
        same([style, inHtml.element.querySelector('p').style.length], [style, 0])
        inHtml.element.getBoundingClientRect()
        await inHtml.agent.dispose()
      }
      for (const style of ['color: rgb(1, 2, 3)', 'transform: rotate(3deg) translateX(2px)', 'background: linear-gradient(red, blue)', 'width: calc(1px + (2px * 3))', 'content: "see (here)"', 'color: var(--accent, red)']) {
        same([style, await tell(`set /cap/dom/${number}/style ${style}`)], [style, '='])
      }
      same(await asked(), [])
      await agent.dispose()
    },
    async 'is misled by no name of a control'() {
      const { agent, element, tell, make } = await start()
      const names = hiding()
      if (!['attributes', 'parentElement', 'localName', 'style', 'childNodes', '__proto__', 'namespaceURI', 'remove'].every((name) => names.includes(name))) throw new Error(`of a form's names there are only ${names}`)
      for (let at = 0; at < names.length; at += 40) {
        const batch = names.slice(at, at + 40)
        const controls = (name) => ['select', 'input', 'button', 'textarea'].map((tag) => `<${tag} name="${name}" id="${name}"></${tag}>`).join('')
        const markup = batch.map((name) => `<form style="background:url(${outside}${name})" onclick=1 name=${name}>${controls(name)}<i name=${name}>x</i></form>`).join('')
        same(await tell(`set /cap/dom/1/html ${markup}`), '=')
        same(element.querySelectorAll('form').length, batch.length)
        leadsNowhere(element, batch)
        same(element.querySelector('[name], [id], [onclick]') === null, true)
      }
      for (const tag of ['select', 'input', 'button', 'textarea']) {
        const number = await make(tag)
        for (const name of names) same([name, await tell(`put /cap/dom/${number}/attrs name ${name}`)], [name, EACCES])
        same(await tell(`put /cap/dom/${number}/attrs name colour`), '=')
      }
      same(await asked(), [])
      await agent.dispose()
    },
    async "reads the platform's own properties of a form of the page"() {
      const names = hiding()
      const { agent, element, tell, make } = await start('dom,elements=2000', `<form class="own"><i>text</i>${names.map((name) => `<input name="${name}">`).join('')}</form>`)
      const form = element.firstElementChild
      same(Object.hasOwn(form, 'parentElement'), true)
      same(await tell('put /cap/dom/1/ctl listen click'), '=')
      form.firstElementChild?.dispatchEvent?.(new MouseEvent('click', { bubbles: true }))
      Element.prototype.querySelector.call(form, 'i').dispatchEvent(new MouseEvent('click', { bubbles: true }))
      same((await tell('once /cap/dom/1/event')).startsWith('=click 1 '), true)
      same(await tell('cat /cap/dom/1/children'), '=2|')
      same(await tell('cat /cap/dom/2/type'), '=form|')
      same(await tell('cat /cap/dom/2/attrs'), '=class own|')
      same(await tell('cat /cap/dom/2/text'), '=text|')
      same((await tell('cat /cap/dom/2/children')).split('|').length, names.length + 2)
      same(await tell('put /cap/dom/2/attrs title told'), '=')
      same(await tell('set /cap/dom/2/style color: red; background: url(/x)'), EACCES)
      same(await tell('set /cap/dom/2/style color: red'), '=')
      same(await tell('cat /cap/dom/2/style'), '=color: red;|')
      same(await tell('cat /cap/dom/2/value'), '!58')
      const child = await make('b')
      same(await tell(`put /cap/dom/2/ctl insert ${child} before 3`), '=')
      same(await tell('put /cap/dom/2/ctl append 3'), '=')
      same(await tell('put /cap/dom/2/ctl focus'), '=')
      same(await tell(`put /cap/dom/${child}/ctl append 2`), EINVAL)
      same(await tell('set /cap/dom/2/html <u>new</u>'), '=')
      same(await tell('cat /cap/dom/2/html'), '=<u>new</u>|')
      same(await tell('put /cap/dom/2/ctl remove'), '=')
      same(element.children.length, 0)
      same(await tell('put /cap/dom/1/ctl append 2'), '=')
      same(await tell('put /cap/dom/2/ctl delete'), '=')
      same(await tell('put /cap/dom/1/ctl unlisten click'), '=')
      await agent.dispose()
    },
    async 'keeps what is in an element within it, whatever it looks like'() {
      for (const [tag, style, boxed] of [['span', '', true], ['a', '', true], ['div', 'display: inline', true], ['div', 'display: flex', false]]) {
        const element = document.createElement(tag)
        if (style) element.style.cssText = style
        document.body.append(element)
        const before = element.outerHTML
        const agent = await capfs.spawn(module, { args: ['script'], stdin: 'pipe', grants: ['dom'], dom: element })
        same([tag, getComputedStyle(element).display], [tag, boxed ? 'inline-block' : 'flex'])
        same(element.style.contain, 'content')
        await agent.kill()
        same(element.outerHTML, before)
      }
      for (const markup of ['<div style="display: contents" class=x></div>', '<table><tbody class=x></table>', '<form><p class=x></p></form>', '<form class=x></form>', '<script class=x></script>', '<style class=x></style>']) {
        document.body.innerHTML = markup
        const error = await capfs.spawn(module, { grants: ['dom'], dom: document.querySelector('.x') }).catch((error) => error)
        same([markup, error.name, error.code], [markup, 'CapfsError', 'GRANT_INVALID'])
        same(document.querySelector('.x').style.contain, '')
      }
      document.body.innerHTML = '<svg class=x></svg>'
      for (const [dom, code] of [[document.querySelector('.x'), 'GRANT_INVALID'], [document, 'OPTION_INVALID'], ['x', 'OPTION_INVALID'], [{}, 'OPTION_INVALID']]) {
        same((await capfs.spawn(module, { grants: ['dom'], dom }).catch((error) => error)).code, code)
      }
    },
    async 'keeps what it leaves within the element, for as long as it is there'() {
      const bystander = stand()
      const before = bystander()
      const kept = await start('dom,cleanup=no')
      kept.element.style.contain = 'size'
      const number = await kept.make('p')
      same(await kept.tell(`set /cap/dom/${number}/text over all`), '=')
      same(await kept.tell(`set /cap/dom/${number}/style position: fixed; inset: 0; background: red; z-index: 2147483647`), '=')
      same(await kept.tell(`put /cap/dom/1/ctl append ${number}`), '=')
      same(bystander(), before)
      await kept.agent.closeStdin()
      await kept.agent.exit
      const contained = () => [kept.element.style.contain, kept.element.style.getPropertyPriority('contain')]
      same([kept.element.textContent, contained(), bystander()], ['over all', ['content', 'important'], before])
      // The page may do what it likes with the element, except by accident.
      kept.element.setAttribute('style', 'color: red')
      await drawn()
      same([contained(), bystander()], [['content', 'important'], before])
      // Another agent takes over, and leaves what the first one left.
      const later = await capfs.spawn(module, { args: ['script'], stdin: 'set /cap/dom/2/html <form><button>go</button></form>\nset /cap/dom/1/html <form><button>go</button></form>\n', grants: ['dom,cleanup=no'], dom: kept.element })
      same((await later.exit).code, 0)
      const address = location.href
      kept.element.querySelector('button').click()
      await drawn()
      same([location.href, contained(), bystander()], [address, ['content', 'important'], before])
      kept.element.replaceChildren()
      await drawn()
      same(kept.element.getAttribute('style'), 'color: red;')
      await later.dispose()
    },
    async 'keeps what is in an element within it, however the page shows it later'() {
      const rules = document.createElement('style')
      rules.textContent = '.line { display: inline } .none { display: none } .contents { display: contents } .open { contain: none !important }'
      document.head.append(rules)
      const bystander = stand()
      const { agent, element, tell, make } = await start()
      const before = bystander()
      const number = await make('p')
      same(await tell(`set /cap/dom/${number}/style position: fixed; inset: 0; background: red`), '=')
      element.className = 'none'
      await drawn()
      same(await tell(`put /cap/dom/1/ctl append ${number}`), EIO)
      same((await tell('cat /cap/dom/error')).includes('show it first'), true)
      element.className = ''
      await drawn()
      same(await tell(`put /cap/dom/1/ctl append ${number}`), '=')
      for (const name of ['none', 'line', 'contents', 'open', '']) {
        element.className = name
        await drawn()
        same([name, bystander()], [name, before])
      }
      await agent.kill()
      same(element.outerHTML, '<div class=""></div>')
      rules.remove()
    },
    async 'takes no focus from the page'() {
      const { agent, element, tell, make } = await start('dom', '<input>')
      const password = document.createElement('input')
      password.type = 'password'
      document.body.append(password)
      const field = await make('input')
      same(await tell(`put /cap/dom/1/ctl append ${field}`), '=')
      password.focus({ preventScroll: true })
      same([await tell(`put /cap/dom/${field}/ctl focus`), document.activeElement === password], [EACCES, true])
      for (const value of ['1', '+0', '00', '32767', '']) same([value, await tell(`put /cap/dom/${field}/attrs tabindex ${value}`)], [value, EACCES])
      for (const value of ['0', '-1']) same([value, await tell(`put /cap/dom/${field}/attrs tabindex ${value}`)], [value, '='])
      element.firstElementChild.focus({ preventScroll: true })
      same([await tell(`put /cap/dom/${field}/ctl focus`), document.activeElement === element.lastElementChild], ['=', true])
      document.activeElement.blur()
      await drawn()
      element.style.marginTop = '5000px'
      same([await tell(`put /cap/dom/${field}/ctl focus`), document.activeElement === element.lastElementChild, scrollY], ['=', true, 0])
      await agent.dispose()
    },
    async 'changes no choice of the page'() {
      const choices = document.createElement('p')
      choices.innerHTML = '<input type=radio name=pay value=card checked><input type=radio name=pay value=none>'
      document.body.append(choices)
      const { agent, element, tell, make } = await start()
      same(await tell('set /cap/dom/1/html <input type=radio name=pay checked><input name=pay type=radio>'), '=')
      const button = await make('input')
      for (const line of ['name pay', 'type radio', 'checked']) same(await tell(`put /cap/dom/${button}/attrs ${line}`), '=')
      same(await tell(`put /cap/dom/1/ctl append ${button}`), '=')
      same(choices.firstElementChild.checked, true)
      // Its own are one choice all the same, and it knows them by the names that it gave them.
      same([...element.querySelectorAll('input')].map(({ checked }) => checked), [false, false, true])
      same(await tell(`cat /cap/dom/${button}/attrs`), '=autocomplete off|name pay|type radio|checked |')
      same((await tell('cat /cap/dom/1/html')).match(/name="[^"]*"/g), ['name="pay"', 'name="pay"', 'name="pay"'])
      await agent.dispose()
    },
    async 'nests no deeper than it may'() {
      const { agent, element, tell, make } = await start('dom,elements=2000')
      const ENOSPC = '!51'
      let top = await make('div')
      for (let depth = 1; depth < 128; depth++) {
        const around = await make('div')
        same([depth, await tell(`put /cap/dom/${around}/ctl append ${top}`)], [depth, '='])
        top = around
      }
      same(await tell(`put /cap/dom/1/ctl append ${top}`), '=')
      const around = await make('div')
      same(await tell(`put /cap/dom/1/ctl append ${around}`), '=')
      same(await tell(`put /cap/dom/${around}/ctl append ${top}`), ENOSPC)
      same(await tell(`put /cap/dom/1/ctl insert ${top} before ${around}`), '=')
      same([await tell('set /cap/dom/2/html <b>x</b>'), await tell('set /cap/dom/2/text x')], [ENOSPC, '='])
      // Neither does one that is on no page.
      const off = await make('div')
      same(await tell(`put /cap/dom/${off}/ctl append ${top}`), ENOSPC)
      same([await tell('set /cap/dom/5/html <b>y</b>'), element.textContent], ['=', 'y'])
      await agent.dispose()
    },
    async 'takes markup of any usual kind for what it is, however long'() {
      const { markupProblem } = await import(new URL('/dist/page/dom/markup.js', location.href).href)
      const usual = {
        elements: '<p class="a">x <b>y</b></p><div><section><p>x</p></section></div><br>',
        'ends that are left out': '<ul><li>x <a href="https://example.com/?a=1&amp;b=2">z</a><li><p>y</ul><dl><dt>a<dd>b</dl><p>text',
        'rows without ends': '<table><tr><td>1<td>2<tr><td>3</table>',
        'texts and comments': '<textarea name=x>a &lt; b</textarea><!-- a <b> - -- --><select><option>1<option>2</select><!doctype x>',
        'what is no tag': 'a < b, 1<2, <3 </ > <!> <!-->',
      }
      // Of fields an agent may have fewer than that.
      const most = (markup) => Math.min((markup.includes('<select>') ? 1 << 17 : 1 << 20) / markup.length, 20_000 / (markup.match(/<[a-z!?/]/g)?.length ?? 1))
      for (const [what, markup] of Object.entries(usual)) same([what, markupProblem(markup.repeat(most(markup)))], [what, undefined])
      same([256, 257].map((count) => typeof markupProblem(`<p ${'a '.repeat(count)}>`)), ['undefined', 'string'])
    },
    async 'ends whatever the page does meanwhile'() {
      const elsewhere = document.createElement('p')
      document.body.append(elsewhere)
      const { agent, element, tell } = await start('dom', '<i>own</i>')
      same(await tell('set /cap/dom/1/html <input><b>one</b><b>two</b>'), '=')
      const field = element.querySelector('input')
      field.focus()
      // Some browsers say so while it is taken out.
      field.addEventListener('blur', () => elsewhere.append(...element.querySelectorAll('b')))
      const [first] = element.querySelectorAll('b')
      const errors = []
      const hear = (event) => {
        event.preventDefault()
        errors.push(event.error.message)
      }
      addEventListener('error', hear)
      Object.defineProperty(element, 'style', { get: () => { throw new Error('no style') } })
      const { removeEventListener } = EventTarget.prototype
      await agent.kill()
      removeEventListener.call(window, 'error', hear)
      same([errors, element.children.length, element.getAttribute('style'), element.contains(first)], [[], 0, null, false])
      await agent.dispose()
    },
    async 'holds the page up with nothing that it writes'() {
      const { domPart } = await import(new URL('/dist/page/dom/part.js', location.href).href)
      for (const [what, [tag, part, text, how]] of Object.entries(worst())) {
        const root = document.createElement('div')
        document.body.replaceChildren(root)
        const part1 = domPart(root, (markup) => markup)
        part1.begin({ raw: false, elements: 100_000, cleanup: true }, () => false, () => undefined)
        const number = part1.create(tag)
        part1.command(1, 'append', number)
        // Piece by piece, each of which is measured.
        const fillUp = () => {
          for (let longest = 0; ; ) {
            const inside = part1.create('div')
            part1.command(number, 'append', inside)
            const begun = performance.now()
            part1.set(inside, part, text.repeat(100))
            longest = Math.max(longest, performance.now() - begun)
            if (longest > LONGEST_TASK) throw new Error(`a hundred of ${what} take ${Math.round(longest)} ms`)
          }
        }
        const tasks = {
          writing: () => (how === 'repeated' ? fillUp() : part1.set(number, part, text)),
          ...(how && { laying: () => root.offsetHeight, drawing: drawn }),

          reading: () => ['html', 'attrs', 'style', 'text', 'children'].forEach((read) => part1.get(number, read)),
          counting: () => part1.command(number, 'listen', 'click'),
          ending: () => part1.end(),
        }
        for (const [task, run] of Object.entries(tasks)) {
          const begun = performance.now()
          try {
            await run()
          } catch (error) {
            if (error.name !== 'CapfsError') throw error
          }
          const took = performance.now() - begun
          if (took > LONGEST_TASK && !(how === 'repeated' && task === 'writing')) throw new Error(`${task} ${what} takes ${Math.round(took)} ms`)
        }
      }
    },
    async 'has no more of a page than it may'() {
      const { agent, element, tell, make } = await start()
      const ENOMEM = '!48'
      const many = '<br>'.repeat(5_000)
      const numbers = []
      let answer
      do {
        numbers.push(await make('p'))
        answer = await tell(`set /cap/dom/${numbers.at(-1)}/html ${many}`)
      } while (answer === '=' && numbers.length < 100)
      // Each is 5,000 nodes, and all of them together may be 65,536.
      same([answer, numbers.length > 10, numbers.length < 16], [ENOMEM, true, true])
      same((await tell('cat /cap/dom/error')).includes('characters on a page'), true)
      same(await tell(`set /cap/dom/${numbers.at(-1)}/text ${'x'.repeat(60_000)}`), '=')
      // What it has let go of it has room for again, at once.
      for (const number of numbers) same(await tell(`put /cap/dom/${number}/ctl delete`), '=')
      same([await tell(`set /cap/dom/1/html ${many}`), element.querySelectorAll('br').length], ['=', 5_000])
      await agent.dispose()
    },
    async 'sets an address as it was checked'() {
      const { host } = new URL(outside)
      const { agent, element, tell, make } = await start(`dom,load=http://${host}`)
      const [image, link] = [await make('img'), await make('a')]
      // Read by a page of the same scheme, this would be one of its own files.
      same(await tell(`put /cap/dom/${image}/attrs src http:${host}/picture`), '=')
      same(await tell(`put /cap/dom/${link}/attrs href ${location.protocol}example.com/x`), '=')
      same(await tell(`put /cap/dom/1/ctl append ${image}`), '=')
      same(await tell(`put /cap/dom/1/ctl append ${link}`), '=')
      same([element.querySelector('img').getAttribute('src'), element.querySelector('a').getAttribute('href')], [`http://${host}/picture`, `${location.protocol}//example.com/x`])
      same(await tell(`set /cap/dom/1/html <img src="http:${host}/picture">`), '=')
      same(element.querySelector('img').getAttribute('src'), `http://${host}/picture`)
      same(await asked(), ['/picture'])
      await agent.dispose()
    },
    async 'builds what a person sees'() {
      const { agent, element, tell, make } = await start()
      same((await tell('ls /cap/dom')).slice(1).trim().split(' ').sort(), ['1', 'error', 'new', 'policy'])
      const [heading, list] = [await make('h2'), await make('ul')]
      same([heading, list], ['2', '3'])
      same(await tell('set /cap/dom/2/text Groceries & more'), '=')
      for (const name of ['Bread', 'Milk', 'Figs']) {
        const item = await make('li')
        same(await tell(`set /cap/dom/${item}/text ${name}`), '=')
        same(await tell(`put /cap/dom/3/ctl append ${item}`), '=')
      }
      same(await tell('put /cap/dom/1/ctl append 3'), '=')
      same(await tell('put /cap/dom/1/ctl insert 2 before 3'), '=')
      same(await tell('put /cap/dom/3/ctl insert 6 before 4'), '=')
      same(await tell('put /cap/dom/2/attrs class title'), '=')
      same(await tell('set /cap/dom/2/style color: rgb(0, 90, 60); position: fixed; left: -500px'), '=')
      same(element.innerHTML.replace(/ style="[^"]*"/, ''), '<h2 class="title">Groceries &amp; more</h2><ul><li>Figs</li><li>Bread</li><li>Milk</li></ul>')
      same(await tell('cat /cap/dom/3/children'), '=6|4|5|')
      same(await tell('cat /cap/dom/2/attrs'), '=class title|style color: rgb(0, 90, 60); position: fixed; left: -500px;|')
      same(await tell('cat /cap/dom/6/type'), '=li|')
      same(await tell('set /cap/dom/2/style color: rgb(0, 90, 60)'), '=')
      await picture('built')
      await agent.dispose()
    },
    async 'hears of events, and waits for them'() {
      const { agent, element, tell, make } = await start()
      const [button, field] = [await make('button'), await make('input')]
      same(await tell(`set /cap/dom/${button}/text Press`), '=')
      for (const line of [`append ${button}`, `append ${field}`, 'listen click', 'listen input']) same(await tell(`put /cap/dom/1/ctl ${line}`), '=')
      const waiting = tell('once /cap/dom/1/event')
      element.querySelector('button').dispatchEvent(new MouseEvent('click', { bubbles: true, button: 0, shiftKey: true, clientX: element.getBoundingClientRect().left + 3, clientY: element.getBoundingClientRect().top + 4 }))
      same(await waiting, '=click 2 x=3 y=4 button=0 held=shift|')
      element.querySelector('input').value = 'two words 100%'
      element.querySelector('input').dispatchEvent(new InputEvent('input', { bubbles: true }))
      same(await tell('once /cap/dom/1/event'), '=input 3 value=two%20words%20100%25|')
      same(await tell('cat /cap/dom/3/value'), '=two words 100%|')
      same(await tell('set /cap/dom/3/value new'), '=')
      same(element.querySelector('input').value, 'new')
      same(await tell('put /cap/dom/3/ctl focus'), '=')
      same(document.activeElement === element.querySelector('input'), true)
      same(await tell('put /cap/dom/1/ctl unlisten click'), '=')
      element.querySelector('button').click()
      element.querySelector('input').dispatchEvent(new InputEvent('input', { bubbles: true }))
      same(await tell('once /cap/dom/1/event'), '=input 3 value=new|')
      await agent.dispose()
    },
    async 'sanitises markup'() {
      await sanitises()
    },
    async 'sets nothing that could run, load or lead astray'() {
      const { agent, element, tell, make } = await start()
      for (const tag of ['script', 'iframe', 'object', 'embed', 'style', 'link', 'base', 'meta', 'svg', 'template', 'body', 'html', 'frame']) {
        same([tag, await tell(`once /cap/dom/new/${tag}`)], [tag, EACCES])
      }
      same(await tell('once /cap/dom/new/x-custom'), ENOENT)
      const [link, image, input, button] = [await make('a'), await make('img'), await make('input'), await make('button')]
      const refused = {
        [link]: ['onclick alert(1)', 'href javascript:alert(1)', 'href JaVaScRiPt:alert(1)', 'href data:text/html,x', 'href /local', 'target _top', 'id x', 'ping https://example.com', 'style background:url(/x)', 'style color: red; background-image: u\\72l(/x)'],
        [image]: ['src /picture.png', 'src https://example.com/x.png', 'srcset /x.png 2x', 'onerror alert(1)', 'src data:image/svg+xml,<svg/>'],
        [input]: ['type password', 'type file', 'type image', 'list x', 'aria-labelledby x', 'formaction /x', 'autofocus', 'form x', 'is x-y'],
        [button]: ['aria-owns x', 'aria-flowto x', 'aria-controls x', 'aria-describedby x', 'aria-details x', 'aria-errormessage x', 'aria-activedescendant x', 'aria-modal true', 'commandfor x', 'form x', 'formaction javascript:alert(1)', 'popovertarget x', 'onfocus alert(1)'],
        1: ['class x', 'style position: fixed'],
      }
      for (const [element, lines] of Object.entries(refused)) for (const line of lines) same([line, await tell(`put /cap/dom/${element}/attrs ${line}`)], [line, EACCES])
      for (const style of ['background: url(/x)', '--a: b', 'background: image-set("x" 1x)', 'content: attr(title)']) same([style, await tell(`set /cap/dom/${link}/style ${style}`)], [style, EACCES])
      same((await tell('cat /cap/dom/error')).includes('attr()'), true)
      same(await tell(`put /cap/dom/${link}/attrs href https://example.com/`), '=')
      same(await tell(`put /cap/dom/${image}/attrs src data:image/png;base64,iVBORw0KGgo=`), '=')
      same(await tell(`put /cap/dom/${link}/attrs -target`), EACCES)
      same(await tell(`put /cap/dom/${link}/attrs -href`), '=')
      same(element.innerHTML, '')
      await agent.dispose()
    },
    async 'never leaves its element'() {
      const outside = document.createElement('p')
      document.body.append(outside)
      const { agent, element, tell, make } = await start('dom,elements=6', '<section><i>page\'s</i><script type="text/plain">own</script></section>')
      same(await tell('cat /cap/dom/1/children'), '=2|')
      same(await tell('cat /cap/dom/2/children'), '=3|4|')
      same(await tell('set /cap/dom/4/text alert(1)'), EACCES)
      const child = await make('p')
      same(await tell(`put /cap/dom/${child}/ctl append 1`), EACCES)
      same(await tell(`put /cap/dom/${child}/ctl append ${child}`), EINVAL)
      same(await tell('put /cap/dom/1/ctl append 77'), ENOENT)
      same(await tell('put /cap/dom/1/ctl remove'), EACCES)
      same(await tell('put /cap/dom/1/ctl insert 3 before 2'), '=')
      same(await tell('put /cap/dom/1/ctl insert 3 before 4'), EINVAL)
      same(await tell('put /cap/dom/1/ctl swap 3'), EINVAL)
      same(await tell('put /cap/dom/1/ctl listen on-click'), EINVAL)
      same(await tell(`put /cap/dom/1/ctl append ${child}`), '=')
      outside.append(element.querySelector('p'))
      same(await tell(`set /cap/dom/${child}/text mine`), ENOENT)
      same(outside.textContent, '')
      same([await make('p'), await tell('once /cap/dom/new/p')], ['6', EMFILE])
      same(await tell('put /cap/dom/6/ctl delete'), '=')
      same([await make('p'), await tell('cat /cap/dom/6/type')], ['7', ENOENT])
      element.remove()
      same(await tell('set /cap/dom/1/text gone'), EIO)
      await agent.dispose()
    },
    async 'leaves the element as it was'() {
      const { agent, element, tell, make } = await start('dom', '<b>before</b>')
      const child = await make('p')
      same(await tell(`put /cap/dom/1/ctl append ${child}`), '=')
      same(await tell('put /cap/dom/1/ctl listen click'), '=')
      same(await tell('set /cap/dom/2/html <i>more</i>'), '=')
      const again = await capfs.spawn(module, { grants: ['dom'], dom: element }).catch((error) => error.code)
      same(again, 'GRANT_INVALID')
      await agent.kill()
      same(element.outerHTML, '<div><b>before</b></div>')
      const kept = await start('dom,cleanup=no')
      same(await kept.tell('set /cap/dom/1/text result'), '=')
      await kept.agent.closeStdin()
      await kept.agent.exit
      same(kept.element.outerHTML, '<div style="contain: content !important;">result</div>')
      same(await capfs.spawn(module, { grants: ['dom'] }).catch((error) => error.code), 'GRANT_INVALID')
      same(await capfs.spawn(module, { grants: ['dom,html=maybe'], dom: element }).catch((error) => error.code), 'GRANT_INVALID')
      same(element.outerHTML, '<div><b>before</b></div>')
    },
    async 'has no element together with another agent'() {
      const { agent, element } = await start('dom', '<p><b>within</b></p><span>host</span>')
      const shadow = element.querySelector('span').attachShadow({ mode: 'open' })
      shadow.append(document.createElement('div'))
      const outer = document.createElement('section')
      element.replaceWith(outer)
      outer.append(element)
      for (const other of [element, element.querySelector('b'), shadow.firstChild, outer]) {
        same(await capfs.spawn(module, { grants: ['dom'], dom: other }).catch((error) => error.code), 'GRANT_INVALID')
      }
      await agent.dispose()
      const inside = await capfs.spawn(module, { args: ['script'], stdin: 'pipe', grants: ['dom'], dom: shadow.firstChild })
      same(await capfs.spawn(module, { grants: ['dom'], dom: outer }).catch((error) => error.code), 'GRANT_INVALID')
      await inside.dispose()
    },
    async 'is taken away while it waits'() {
      const { agent, element, tell } = await start()
      same(await tell('set /cap/dom/1/html <form><input name="password"></form>'), '=')
      const waiting = tell('once /cap/dom/1/event')
      await agent.revoke('/cap/dom')
      const ENODEV = '!43'
      same(await waiting, ENODEV)
      same(await tell('cat /cap/dom/policy'), ENODEV)
      // What it had put there is gone, and somebody else may be given the element, although it runs on.
      same(element.outerHTML, '<div></div>')
      const other = await capfs.spawn(module, { args: ['hello'], grants: ['dom'], dom: element })
      await other.exit
      await agent.dispose()
    },
    async 'sends no form anywhere'() {
      const { agent, element, tell } = await start()
      same(await tell('set /cap/dom/1/html <form><input name="q" value="v"><button>Go</button></form>'), '=')
      same(await tell('put /cap/dom/1/ctl listen submit'), '=')
      const before = location.href
      element.querySelector('button').click()
      same(await tell('once /cap/dom/1/event'), '=submit 1|')
      same(location.href, before)
      await agent.dispose()
    },
  }
}

/** Runs them; `outside` is the address of a server that nobody may ask for anything (web/test/outside.mjs), and `picture` may keep what a case shows. */
export async function runDomCases(Capfs, wait, guest, report, outside, picture = async () => {}, only = '') {
  const capfs = await Capfs.create({ variant: { wait }, capabilities: true })
  const module = await capfs.compile(guest)
  for (const [name, body] of Object.entries(domCases(capfs, module, picture, outside))) {
    if (!name.includes(only)) continue
    document.body.replaceChildren()
    await body().then(() => report(name), (error) => report(name, error))
  }
  capfs.close()
}
