// `node hold-node.mjs PROGRAM WANTED`: holds as WANTED (JSON) says, says in a line of JSON what it holds, and goes on until it is killed.

import { readFile } from 'node:fs/promises'
import { Capfs } from '../../web/dist/node.js'
import { hold } from './hold.mjs'

const [program, wanted] = process.argv.slice(2)
console.log(JSON.stringify(await hold(Capfs, await readFile(program), JSON.parse(wanted))))
process.stdin.resume()
