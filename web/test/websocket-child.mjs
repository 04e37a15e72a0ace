// What a WebSocket of an agent comes to, in a process that has them: `node --experimental-websocket websocket-child.mjs PROGRAM PORT`.
import { Capfs } from '../dist/node.js'

const [program, port] = process.argv.slice(2)
const capfs = await Capfs.create({ capabilities: true })
const connect = async (terms, host) => {
  const agent = await capfs.spawn(program, { args: ['script'], stdin: 'pipe', grants: [{ device: 'ws', ...terms }] })
  const number = (await agent.readText('/cap/ws/new')).trim()
  const { code } = await agent.writeFile(`/cap/ws/${number}/ctl`, `connect ws://${host}:${port}/`).then(() => ({ code: 'connected' }), (error) => error)
  const why = await agent.readText(`/cap/ws/${number}/error`)
  await agent.dispose()
  return [code, why.includes('not public and not granted')]
}
const outcomes = []
for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:7f00:1]']) outcomes.push(await connect({ origin: '*' }, host))
outcomes.push(await connect({ origin: '*', network: '10.0.0.0/8' }, '127.0.0.1'))
outcomes.push(await connect({ origin: `ws://127.0.0.1:${port}` }, '127.0.0.1'))
outcomes.push(await connect({ origin: `ws://localhost:${port}` }, 'localhost'))
capfs.close()
console.log(JSON.stringify(outcomes))
