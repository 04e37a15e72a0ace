import { greet } from './greet.js'

// The larger kernel where the address says so, by the option or by the entry of its own.
const { Capfs } = location.search === '?full' ? await import('capfs/full') : await import('capfs')
const options = location.search === '?capabilities' ? { capabilities: true } : {}
document.body.dataset.outcome = await greet(Capfs, options).catch((error) => `failed: ${error.stack}`)
