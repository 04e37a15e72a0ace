import { Capfs } from 'capfs'
import { greet } from './greet.js'

// The larger kernel where the address says so.
const options = location.search === '?capabilities' ? { capabilities: true } : {}
document.body.dataset.outcome = await greet(Capfs, options).catch((error) => `failed: ${error.stack}`)
