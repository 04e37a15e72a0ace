import { Capfs } from 'capfs'
import { greet } from './greet.js'

document.body.dataset.outcome = await greet(Capfs, { assets: '/static/capfs' }).catch((error) => `failed: ${error.stack}`)
