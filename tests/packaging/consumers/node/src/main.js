import { Capfs } from 'capfs'
import { greet } from './greet.js'

console.log(await greet(Capfs))
