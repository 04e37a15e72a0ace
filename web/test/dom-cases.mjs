// What an agent can do with the part of a page that it was granted, what it can't, and what is left when it has ended: cases that
// run on a page, in any browser.

/** The cases by name. */
function domCases(capfs, module, picture) {
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
  return {
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
    async 'sanitises markup where the browser does not'() {
      const own = Object.getOwnPropertyDescriptor(Element.prototype, 'setHTML')
      delete Element.prototype.setHTML
      try {
        await sanitises()
      } finally {
        if (own) Object.defineProperty(Element.prototype, 'setHTML', own)
      }
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
        [input]: ['type password', 'type file', 'type image', 'formaction /x', 'autofocus', 'form x', 'is x-y'],
        [button]: ['formaction javascript:alert(1)', 'popovertarget x', 'onfocus alert(1)'],
        1: ['class x', 'style position: fixed'],
      }
      for (const [element, lines] of Object.entries(refused)) for (const line of lines) same([line, await tell(`put /cap/dom/${element}/attrs ${line}`)], [line, EACCES])
      for (const style of ['background: url(/x)', '--a: b', 'background: image-set("x" 1x)', 'content: attr(title)']) same([style, await tell(`set /cap/dom/${link}/style ${style}`)], [style, EACCES])
      same((await tell('cat /cap/dom/error')).includes('content'), true)
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
      same(kept.element.outerHTML, '<div>result</div>')
      same(await capfs.spawn(module, { grants: ['dom'] }).catch((error) => error.code), 'GRANT_INVALID')
      same(await capfs.spawn(module, { grants: ['dom,html=maybe'], dom: element }).catch((error) => error.code), 'GRANT_INVALID')
      same(element.outerHTML, '<div><b>before</b></div>')
    },
    async 'is taken away while it waits'() {
      const { agent, tell } = await start()
      const waiting = tell('once /cap/dom/1/event')
      await agent.revoke('/cap/dom')
      const ENODEV = '!43'
      same(await waiting, ENODEV)
      same(await tell('cat /cap/dom/policy'), ENODEV)
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

/** Runs them; `picture` may keep what a case shows. */
export async function runDomCases(Capfs, wait, guest, report, picture = async () => {}) {
  const capfs = await Capfs.create({ variant: { wait }, capabilities: true })
  const module = await capfs.compile(guest)
  for (const [name, body] of Object.entries(domCases(capfs, module, picture))) {
    document.body.replaceChildren()
    await body().then(() => report(name), (error) => report(name, error))
  }
  capfs.close()
}
